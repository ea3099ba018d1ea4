//! Language models, through connectors that an operator has set up.
//!
//! # Guarantees
//! 1. A run reaches the models that its descriptor asks for and the operator allows, and no others.
//! 2. What one call may send, keep and cost is bounded before anything goes out (`budget`).
//! 3. Whoever is asked to wait is told so, and never waits here: a pause that a server wants is the
//!    caller's to pass on.
//! 4. When a run is asked to stop, its requests are given up and their connections closed.
//! 5. Nothing that comes back, is logged or printed has a connector's key in it, and nothing that a
//!    guest sees has its address.

mod answer;
mod budget;
mod connectors;
mod request;
mod server;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::{Label, Space};

pub use answer::Embeddings;
pub use connectors::{Connector, ConnectorLimits, Connectors, Key};
pub use server::{HttpServer, ModelServer, NoReply, Reply};
pub use url::Url;

use crate::beside::Beside;
use crate::caps::{COMPLETIONS_BYTES_MAX, COMPLETIONS_MAX, INFERENCE_ANSWER_BYTES_MAX};
use crate::denied::{Denial, Denials};
use crate::error::{ClientError, ErrorCode, cut};
use crate::room::Room;
use crate::scope::Scope;
use answer::Judged;
use budget::{Payer, Reservation, RunAccount};
use connectors::Trouble;
use request::{Prepared, Wanted};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Of a server that wants a pause and does not say how long.
const PAUSE_DEFAULT: Duration = Duration::from_secs(10);
/// Of a server's own sentence.
const SENTENCE_BYTES_MAX: usize = 1024;

/// The interface `inference`.
#[derive(Debug, Clone)]
pub struct Inference(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: Arc<Scope>,
    grant: Option<InferenceGrant>,
    /// Requests and answers become trees one after the other.
    trees: Beside,
}

/// What a run may ask, and what it has used.
#[derive(Debug)]
pub(crate) struct InferenceGrant {
    pub(crate) connectors: Connectors,
    pub(crate) asked: Vec<Label>,
    /// Whatever is allowed counts as asked for.
    pub(crate) any: bool,
    pub(crate) allowed: Vec<Label>,
    pub(crate) denials: Denials,
    pub(crate) space: Space,
    /// The most tokens of the run, by its descriptor.
    pub(crate) tokens_max: Option<u64>,
    pub(crate) account: RunAccount,
}

/// How a request is read, where it goes, and how its answer is judged.
struct Kind<T> {
    path: &'static str,
    read: fn(&str) -> Result<Prepared, ClientError>,
    judge: fn(&[u8], &Wanted, usize) -> Judged<T>,
}

const COMPLETION: Kind<String> = Kind {
    path: "chat/completions",
    read: Prepared::completion,
    judge: answer::completion,
};
const EMBEDDING: Kind<Embeddings> = Kind {
    path: "embeddings",
    read: Prepared::embedding,
    judge: answer::embeddings,
};

impl InferenceGrant {
    /// A run that has used so many tokens in former attempts.
    pub(crate) fn account(tokens_used: u64) -> RunAccount {
        let account = RunAccount::default();
        account
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .used = tokens_used;
        account
    }

    /// The connector of that name, or the first one that is granted.
    fn connector(&self, name: Option<&Label>) -> Result<&Connector, Denial> {
        let (asked, allowed) = (&self.asked, &self.allowed);
        let first = || {
            asked
                .iter()
                .find(|name| allowed.contains(name))
                .or(allowed.first().filter(|_| self.any))
                .or(asked.first())
        };
        let Some(name) = name.or_else(first) else {
            let message = "the type's descriptor asks for no model: name it in \
                           `capabilities.models`";
            return Err(Denial::new(message.to_owned()));
        };
        if !self.any && !asked.contains(name) {
            return Err(Denial::new(format!(
                "the type's descriptor does not ask for the model `{name}`: name it in \
                 `capabilities.models`"
            )));
        }
        if !allowed.contains(name) {
            let message = format!("the operator has not allowed the type the model `{name}`");
            let lacking = Capabilities {
                models: vec![name.clone()],
                ..Capabilities::default()
            };
            return Err(Denial::not_allowed(
                &message,
                self.denials.setting(&lacking),
            ));
        }
        self.connectors.get(name).ok_or_else(|| {
            let message = format!("this host has no connector `{name}` to a model");
            let setting = format!("[connectors.{name}]\nurl = \"…\"\nmodel = \"…\"\n");
            Denial::not_allowed(&message, setting)
        })
    }

    fn payer(&self, connector: &Connector, now_ms: i64) -> Payer {
        let limits = &connector.limits;
        let run_max = [self.tokens_max, limits.tokens_per_run]
            .into_iter()
            .flatten()
            .min();
        Payer {
            run: Arc::clone(&self.account),
            run_max,
            space: (connector.name.clone(), self.space.clone()),
            day_max: limits.tokens_per_space_per_day,
            today: now_ms.div_euclid(DAY_MS),
        }
    }
}

impl Inference {
    pub(crate) fn new(scope: Arc<Scope>, grant: Option<InferenceGrant>) -> Self {
        Self(Arc::new(Inner {
            scope,
            grant,
            trees: Beside::default(),
        }))
    }

    /// A turn of a chat, JSON text in and out.
    ///
    /// # Errors
    /// `denied`, `invalid`, `too-large`, `quota-exceeded`, `rate-limited`, `bad-answer`,
    /// `canceled`, `deadline`, `unavailable`, as everywhere here.
    pub async fn complete(&self, request: String) -> Result<String, ClientError> {
        let grant = self.granted("inference.complete")?;
        let room = self.0.scope.room(INFERENCE_ANSWER_BYTES_MAX);
        self.waited(self.ask(grant, &COMPLETION, request, &room))
            .await
    }

    /// Several at once, answered in order, each for itself.
    ///
    /// # Errors
    /// Of the whole call: `denied` in `describe`, `too-large`, `canceled`, `deadline`.
    pub async fn complete_many(
        &self,
        requests: Vec<String>,
    ) -> Result<Vec<Result<String, ClientError>>, ClientError> {
        let grant = self.granted("inference.complete-many")?;
        if requests.len() > COMPLETIONS_MAX {
            let (many, most) = (requests.len(), COMPLETIONS_MAX as u64);
            return Err(ClientError::too_large("the call", many, "requests", most));
        }
        let bytes = requests.iter().map(String::len).sum();
        if bytes > COMPLETIONS_BYTES_MAX {
            let most = COMPLETIONS_BYTES_MAX as u64;
            return Err(ClientError::too_large(
                "the requests together",
                bytes,
                "bytes",
                most,
            ));
        }
        let room = self.0.scope.room(INFERENCE_ANSWER_BYTES_MAX);
        let each = requests
            .into_iter()
            .map(|one| self.ask(grant, &COMPLETION, one, &room));
        let all = async { Ok(join_all(each).await) };
        self.waited(all).await
    }

    /// Vectors of texts, in order.
    ///
    /// # Errors
    /// As [`Self::complete`].
    pub async fn embed(&self, request: String) -> Result<Embeddings, ClientError> {
        let grant = self.granted("inference.embed")?;
        let room = self.0.scope.room(INFERENCE_ANSWER_BYTES_MAX);
        self.waited(self.ask(grant, &EMBEDDING, request, &room))
            .await
    }

    /// Tokens that the run may still use with that model, or with the first one that it was
    /// granted; 0 for one that it was not, none where nobody limits them.
    #[must_use]
    pub fn budget_remaining(&self, model: Option<&str>) -> Option<u64> {
        self.0.scope.calls.note("inference.budget-remaining");
        let grant = self.0.grant.as_ref()?;
        let name = match model.map(Label::parse) {
            None => None,
            Some(Ok(name)) => Some(name),
            Some(Err(_)) => return Some(0),
        };
        let Ok(connector) = grant.connector(name.as_ref()) else {
            return Some(0);
        };
        let payer = grant.payer(connector, self.0.scope.clock.now().as_ms());
        grant.connectors.ledger().left(&payer)
    }

    /// Tokens that the run has used, over its attempts.
    pub(crate) fn tokens(&self) -> u64 {
        let account = self.0.grant.as_ref().map(|grant| &grant.account);
        account.map_or(0, |account| {
            account
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .used
        })
    }

    fn granted(&self, call: &'static str) -> Result<&InferenceGrant, ClientError> {
        self.0.scope.calls.enter(call)?;
        let grant = self.0.grant.as_ref();
        let grant = grant.ok_or_else(|| ClientError::denied("`describe` cannot ask a model"))?;
        self.0.scope.check()?;
        Ok(grant)
    }

    /// Waits for a model, which is no standing still.
    async fn waited<T>(
        &self,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let _resting = self.0.scope.stillness.rest();
        self.0.scope.unless_stopped(work).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        grant: &InferenceGrant,
        kind: &Kind<T>,
        request: String,
        room: &Room,
    ) -> Result<T, ClientError> {
        let read = kind.read;
        let prepared = self.as_trees(move || read(&request)).await??;
        let connector = grant.connector(prepared.model.as_ref());
        let connector = connector.map_err(|denial| grant.denials.deny(denial))?;
        let payer = grant.payer(connector, self.0.scope.clock.now().as_ms());
        let wanted = budget::Wanted {
            prompt: prepared.prompt_tokens_max,
            answer: prepared.answer_tokens_max,
        };
        let kept = grant.connectors.ledger().reserve(&payer, wanted).await?;
        let reply = connector.post(kind.path, &prepared, &kept, room).await;
        let reply = match reply {
            Ok(reply) => reply,
            Err(failure) => {
                // Late or too large an answer has its price, and nobody says which.
                if !failure.may_have_cost {
                    kept.settle(0);
                }
                return Err(failure.error);
            }
        };
        let (judge, sent) = (kind.judge, prepared.bytes());
        let judged = self
            .as_trees(move || judge(&reply.body, &prepared.wanted, sent))
            .await?;
        kept.settle(judged.used.tokens());
        judged.answer
    }

    async fn as_trees<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        let done = self.0.trees.work(work).await;
        done.ok_or_else(|| ClientError::internal("what was asked or answered could not be read"))
    }
}

/// Why a request has no answer.
struct Failure {
    error: ClientError,
    /// The model may have worked for it.
    may_have_cost: bool,
}

impl Connector {
    async fn post(
        &self,
        path: &'static str,
        prepared: &Prepared,
        kept: &Reservation,
        room: &Room,
    ) -> Result<Reply, Failure> {
        let _turn = self.turn().await;
        let most = (kept.answer > 0).then_some((self.limits.answer_tokens_name, kept.answer));
        let body = prepared.body(&self.model, most);
        let reply = self
            .server
            .post(path, body, self.limits.timeout, room)
            .await;
        match reply {
            Ok(reply) if server::is_success(reply.status) => {
                self.works();
                Ok(reply)
            }
            Ok(reply) => Err(Failure {
                error: self.refused(&reply),
                may_have_cost: false,
            }),
            Err(why) => Err(Failure {
                may_have_cost: !matches!(why, NoReply::Unreachable(_)),
                error: self.without_reply(&why),
            }),
        }
    }

    /// What a status that is no success means.
    fn refused(&self, reply: &Reply) -> ClientError {
        let (name, sentence) = (&self.name, sentence(&reply.body));
        let (address, key) = self.server.settings();
        let status = reply.status;
        let fails = |why: String| self.fails(Trouble::Status(status), &why);
        let no_credit = || {
            fails(format!("its account has no credit left: {sentence}"));
            unavailable(format!(
                "the account of the model `{name}` has no credit left"
            ))
        };
        match (status, reply.retry_after) {
            (402, _) => no_credit(),
            (429, _) if has_no_credit(&reply.body) => no_credit(),
            (429, pause) => paused(name, pause.unwrap_or(PAUSE_DEFAULT)),
            (503, Some(pause)) => paused(name, pause),
            (401 | 403, _) => {
                fails(format!("it answered {status} to its key; look at {key}"));
                ClientError::internal(&format!(
                    "the model `{name}` refused this host's key: an operator finds the setting in \
                     the host's log"
                ))
            }
            (404 | 405 | 300..=399, _) => {
                let model = &self.model;
                fails(format!(
                    "it answered {status} ({sentence}); look at {address}, where redirects are \
                     not followed, and at model = {model:?}"
                ));
                ClientError::internal(&format!(
                    "the model `{name}` is not where this host looks for it: an operator finds \
                     the setting in the host's log"
                ))
            }
            (413, _) => ClientError::new(
                ErrorCode::TooLarge,
                format!("the request is too large for the model `{name}`: {sentence}"),
            ),
            (408 | 409 | 425 | 500.., _) => {
                fails(format!("it answered {status}: {sentence}"));
                unavailable(format!(
                    "the model `{name}` failed with status {status}: {sentence}"
                ))
            }
            _ => ClientError::invalid("", &format!("the model `{name}` refused it: {sentence}")),
        }
    }

    fn without_reply(&self, why: &NoReply) -> ClientError {
        let name = &self.name;
        let (address, _) = self.server.settings();
        let seconds = self.limits.timeout.as_secs();
        let (trouble, told, said) = match why {
            NoReply::NoMemory(error) => return error.clone(),
            NoReply::TooLarge => {
                let message = format!(
                    "the answer of the model `{name}` is larger than {INFERENCE_ANSWER_BYTES_MAX} \
                     bytes, those of other requests of the same call included: ask for less at once"
                );
                return ClientError::new(ErrorCode::TooLarge, message);
            }
            NoReply::Late => (
                Trouble::Late,
                format!("it did not answer within `timeout_s` = {seconds}"),
                format!("did not answer within {seconds} s"),
            ),
            NoReply::Unreachable(_) => (
                Trouble::Connection,
                format!("{why}; look at {address}"),
                "cannot be reached".to_owned(),
            ),
            NoReply::Broken(_) => (
                Trouble::Connection,
                format!("{why}; look at {address}"),
                "broke off its answer".to_owned(),
            ),
        };
        self.fails(trouble, &told);
        unavailable(format!("the model `{name}` {said}"))
    }
}

fn paused(name: &Label, pause: Duration) -> ClientError {
    let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    let message = format!(
        "the model `{name}` wants a pause of {ms} ms; a run that ends with this error goes on \
         after it"
    );
    ClientError {
        retryable: true,
        retry_after_ms: Some(ms),
        ..ClientError::new(ErrorCode::RateLimited, message)
    }
}

fn unavailable(message: String) -> ClientError {
    ClientError {
        retryable: true,
        ..ClientError::new(ErrorCode::Unavailable, message)
    }
}

/// A pause would not help.
fn has_no_credit(body: &[u8]) -> bool {
    let error: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    error.is_some_and(|error| error["error"]["code"] == "insufficient_quota")
}

/// What a server says of a refusal: `error.message` as OpenAI has it, or another word of its own.
fn sentence(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let places = ["/error/message", "/message", "/error", "/detail"];
    let said = places
        .iter()
        .find_map(|place| json.pointer(place)?.as_str());
    let sentence = cut(said.unwrap_or(&text).trim(), SENTENCE_BYTES_MAX);
    match sentence {
        "" => "it does not say why".to_owned(),
        said => said
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_sentence_is_found_cut_and_on_one_line() {
        for (body, expected) in [
            (r#"{"error":{"message":"no\nway","code":null}}"#, "no way"),
            (r#"{"error":"nope"}"#, "nope"),
            (r#"{"detail":"bad"}"#, "bad"),
            ("plain", "plain"),
            (" ", "it does not say why"),
        ] {
            assert_eq!(sentence(body.as_bytes()), expected);
        }
        assert_eq!(sentence(&[b'x'; 9_000]).len(), SENTENCE_BYTES_MAX);
        let no_credit = br#"{"error":{"message":"m","code":"insufficient_quota"}}"#;
        assert!(has_no_credit(no_credit) && !has_no_credit(b"{}"));
    }
}
