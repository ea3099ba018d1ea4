//! People of a cluster: who they are, what they may do, and keys that are granted in their name.
//! Elasticsearch's own security is asked, each time.
//!
//! # What somebody may do
//! Roles are application privileges of application `taskhost`: `viewer`, `operator` and `admin`, on
//! resources `space:NAME`, or on `*` for every space. A stream may be read by whoever has the index
//! privilege `read` on that name. In a role of the cluster:
//!
//! ```json
//! { "indices": [{ "names": ["logs-*"], "privileges": ["read"] }],
//!   "applications": [{ "application": "taskhost", "privileges": ["operator"],
//!                      "resources": ["space:default"] }] }
//! ```
//!
//! # What the host needs
//! Besides all rights on its own indices: the cluster privileges `monitor`, `grant_api_key` (it
//! grants keys in people's names) and `manage_api_key` (it ends them), and to manage the
//! application privileges of `taskhost`. In a role of the cluster:
//!
//! ```json
//! { "cluster": ["monitor", "grant_api_key", "manage_api_key"],
//!   "global": { "application": { "manage": { "applications": ["taskhost"] } } },
//!   "indices": [{ "names": [".streams*"], "privileges": ["all"] }] }
//! ```
//!
//! # Why the host grants
//! Somebody who makes a key himself needs a cluster privilege that people who look at streams
//! rarely have. The host shows the person's password or token, and Elasticsearch makes a key
//! with the person's rights. It does so for nobody who comes with an API key.

mod credentials;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::ids::StreamName;
use taskhost_model::requester::Authorization;
use taskhost_model::rights::{Right, Role};

use super::client::{self, Answer, Client, Request, unavailable};
use super::names::unique;
use super::schema::privileges::{self, APPLICATION, Registered};
use super::streams_reader::leads_inside;
use crate::authority::{Authority, GrantedKey, Person};
use crate::error::StoreError;
use credentials::grant;

/// An answer is not waited for longer: whoever waits is at a request of his own.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// A refusal for the moment is waited out for so long.
const RETRIED_FOR: Duration = Duration::from_secs(5);
/// A path is no longer than a request's first line may be, 4 KiB, with something to spare.
const PATH_BYTES_MAX: usize = 3_000;
/// So much of a purpose stands in a key's name, which has 256 characters at most.
const PURPOSE_CHARS: usize = 150;

/// A cluster's security.
#[derive(Debug)]
pub(crate) struct Security {
    client: Client,
}

impl Security {
    /// The security of this cluster, which knows taskhost's privileges from now on; none where it
    /// has none, and so no people.
    pub(crate) async fn open(client: Client) -> Result<Option<Self>, StoreError> {
        match privileges::register(&client).await? {
            Registered::Yes => {}
            Registered::Refused => tracing::warn!(
                "Elasticsearch does not let the host register the application privileges of \
                 `{APPLICATION}`, so roles may grant nobody anything here: give the host's role \
                 \"global\": {{\"application\": {{\"manage\": {{\"applications\": \
                 [\"{APPLICATION}\"]}}}}}}, or the cluster privilege manage_security"
            ),
            Registered::NoSecurity => return Ok(None),
        }
        let lacks = privileges::lacks(&client).await?;
        if !lacks.is_empty() {
            tracing::warn!(
                lacks = lacks.join(", "),
                "Elasticsearch does not let the host do all that it needs: runs get no keys of \
                 their own, or keep them after their end, until the host's role has these cluster \
                 privileges"
            );
        }
        Ok(Some(Self { client }))
    }

    /// Asks as somebody; whatever the answer is, they are accepted.
    async fn ask(&self, by: &Authorization, request: Request) -> Result<Answer, StoreError> {
        let by = client::Authorization::of(by)?;
        let request = request
            .by(&by)
            .within(REQUEST_TIME)
            .retried_for(RETRIED_FOR);
        let answer = self.client.send_by(&request).await?;
        match answer.status {
            401 => Err(StoreError::Unauthorized {
                reason: "Elasticsearch does not know it".to_owned(),
            }),
            _ => Ok(answer),
        }
    }

    /// Those of these streams whose name leads into what is the system's or the host's own, as an
    /// alias can.
    async fn leading_inside(
        &self,
        by: &Authorization,
        names: &[&StreamName],
    ) -> Result<Vec<StreamName>, StoreError> {
        let all = together(names).into_iter().map(async |names| {
            if !self.leads_inside(by, names).await? {
                return Ok::<_, StoreError>(Vec::new());
            }
            let mut leading = Vec::new();
            for name in names {
                if names.len() == 1 || self.leads_inside(by, &[name]).await? {
                    leading.push((*name).clone());
                }
            }
            Ok(leading)
        });
        Ok(try_join_all(all).await?.concat())
    }

    async fn leads_inside(
        &self,
        by: &Authorization,
        names: &[&StreamName],
    ) -> Result<bool, StoreError> {
        let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let request = Request::post(format!("{}/_field_caps", names.join(",")))
            .with("fields", super::query::TIMESTAMP)
            .with("expand_wildcards", "none")
            .with("ignore_unavailable", "true");
        let answer = self.ask(by, request).await?;
        match answer.status {
            200 => Ok(leads_inside(&answer.json()?)),
            // What is not there, or cannot be read after all, leads nowhere.
            400 | 403 | 404 => Ok(false),
            _ => Err(answer.error()),
        }
    }

    /// Why no key was granted.
    async fn not_granted(&self) -> StoreError {
        let request = Request::post("_security/user/_has_privileges")
            .json(&json!({ "cluster": ["grant_api_key"] }))
            .retried_for(RETRIED_FOR);
        let told = self.client.expect(&request, &[200]).await;
        let may = told.and_then(|answer| answer.json::<Told>());
        match may {
            Ok(told) if told.has_all_requested => StoreError::Unauthorized {
                reason: "Elasticsearch grants no API key for it".to_owned(),
            },
            Ok(_) => unavailable(
                "Elasticsearch does not let the host grant API keys in people's names: give the \
                 host's role the cluster privilege grant_api_key",
            ),
            Err(error) => error,
        }
    }

    /// Ends the keys of this name but the one that is known: their answers were lost.
    async fn end_others(&self, name: &str, known: &str) -> Result<(), StoreError> {
        #[derive(Deserialize)]
        struct Keys {
            api_keys: Vec<Key>,
        }
        #[derive(Deserialize)]
        struct Key {
            id: String,
        }
        let request = Request::get("_security/api_key").with("name", name);
        let answer = self.client.expect(&request, &[200, 404]).await?;
        if answer.status == 404 {
            return Ok(());
        }
        let keys: Keys = answer.json()?;
        let others = keys.api_keys.into_iter().map(|key| key.id);
        let others: Vec<String> = others.filter(|id| id != known).collect();
        self.invalidate(&others).await
    }
}

/// What is told of rights.
#[derive(Debug, Deserialize)]
struct Told {
    has_all_requested: bool,
    #[serde(default)]
    index: Value,
    #[serde(default)]
    application: Value,
}

impl Told {
    fn has(&self, right: &Right) -> bool {
        let told = match right {
            Right::In(space, role) => self.role(&format!("space:{space}"), *role),
            Right::Everywhere(role) => self.role("*", *role),
            Right::ReadStream(name) => &self.index[name.as_str()]["read"],
        };
        *told == Value::Bool(true)
    }

    fn role(&self, resource: &str, role: Role) -> &Value {
        &self.application[APPLICATION][resource][role.name()]
    }
}

#[async_trait]
impl Authority for Security {
    async fn person(&self, authorization: &Authorization) -> Result<Person, StoreError> {
        #[derive(Deserialize)]
        struct Somebody {
            /// Of an API key it is its owner's: what the key is called is anybody's choice.
            username: String,
            authentication_type: String,
        }
        let request = Request::get("_security/_authenticate");
        let answer = self.ask(authorization, request).await?;
        if answer.status != 200 {
            return Err(answer.error());
        }
        let somebody: Somebody = answer.json()?;
        if somebody.authentication_type == "anonymous" {
            return Err(StoreError::Unauthorized {
                reason: "Elasticsearch knows nobody by it".to_owned(),
            });
        }
        Ok(Person {
            name: somebody.username,
            comes_with_key: somebody.authentication_type == "api_key",
            token: None,
        })
    }

    async fn has(
        &self,
        authorization: &Authorization,
        asked: &[Right],
    ) -> Result<Vec<bool>, StoreError> {
        let Some(question) = question(asked) else {
            return Ok(Vec::new());
        };
        let request = Request::post("_security/user/_has_privileges").json(&question);
        let answer = self.ask(authorization, request).await?;
        if answer.status != 200 {
            return Err(answer.error());
        }
        let told: Told = answer.json()?;
        let mut has: Vec<bool> = asked.iter().map(|right| told.has(right)).collect();
        let readable = asked.iter().zip(&has);
        let readable = readable.filter_map(|(right, has)| stream(right).filter(|_| *has));
        let readable: Vec<&StreamName> = readable.collect();
        let inside = self.leading_inside(authorization, &readable).await?;
        for (right, has) in asked.iter().zip(&mut has) {
            *has &= stream(right).is_none_or(|name| !inside.contains(name));
        }
        Ok(has)
    }

    async fn grant(
        &self,
        authorization: &Authorization,
        purpose: &str,
        valid_for: Duration,
    ) -> Result<GrantedKey, StoreError> {
        #[derive(Deserialize)]
        struct Made {
            id: String,
            encoded: String,
        }
        let Some(mut body) = grant(authorization) else {
            return Err(StoreError::Unauthorized {
                reason: "a key is granted for a password or a token alone".to_owned(),
            });
        };
        let shown: String = purpose.chars().take(PURPOSE_CHARS).collect();
        // No other has this name, so that one can be found of which nobody was told.
        let name = format!("{APPLICATION} {} {}", unique(), shown.trim());
        body["api_key"] = json!({
            "name": name.trim(),
            "expiration": format!("{}ms", valid_for.as_millis()),
            "metadata": { "application": APPLICATION, "purpose": purpose },
            // Nothing else, and nothing that is the system's or the host's own; less where the
            // person may do less.
            "role_descriptors": { "reads_streams": { "indices": [
                { "names": ["/[^.].*/"], "privileges": ["read", "view_index_metadata"] },
            ] } },
        });
        let request = Request::post("_security/api_key/grant")
            .json(&body)
            .within(REQUEST_TIME)
            .retried_for(RETRIED_FOR);
        // Where no answer comes at all there may be a key that ends by itself.
        let answer = self.client.send(&request).await?;
        match answer.status {
            200 => {}
            403 => return Err(self.not_granted().await),
            _ => return Err(answer.error()),
        }
        let made: Made = answer.json()?;
        if answer.repeated
            && let Err(error) = self.end_others(name.trim(), &made.id).await
        {
            tracing::warn!("a key that was granted twice ends by its expiration alone: {error}");
        }
        let header = format!("ApiKey {}", made.encoded);
        let authorization = Authorization::parse(&header)
            .map_err(|_| unavailable("Elasticsearch has granted a key that is no credential"))?;
        Ok(GrantedKey {
            id: made.id,
            authorization,
        })
    }

    async fn invalidate(&self, keys: &[String]) -> Result<(), StoreError> {
        #[derive(Deserialize)]
        struct Ended {
            error_count: u64,
        }
        if keys.is_empty() {
            return Ok(());
        }
        let request = Request::delete("_security/api_key").json(&json!({ "ids": keys }));
        let answer = self.client.expect(&request, &[200, 404]).await?;
        if answer.status == 404 {
            return Ok(());
        }
        let ended: Ended = answer.json()?;
        match ended.error_count {
            0 => Ok(()),
            count => Err(unavailable(&format!(
                "Elasticsearch has not ended {count} of {} API keys",
                keys.len()
            ))),
        }
    }
}

/// What is asked; none where nothing is.
fn question(asked: &[Right]) -> Option<Value> {
    let (mut resources, mut names) = (Vec::new(), Vec::new());
    for right in asked {
        match right {
            Right::In(space, _) => resources.push(format!("space:{space}")),
            Right::Everywhere(_) => resources.push("*".to_owned()),
            Right::ReadStream(name) => names.push(name),
        }
    }
    resources.sort();
    resources.dedup();
    names.sort();
    names.dedup();
    let mut question = json!({});
    if !resources.is_empty() {
        question["application"] = json!([{
            "application": APPLICATION, "privileges": Role::ALL.map(Role::name),
            "resources": resources,
        }]);
    }
    if !names.is_empty() {
        question["index"] = json!([{ "names": names, "privileges": ["read"] }]);
    }
    (!asked.is_empty()).then_some(question)
}

fn stream(right: &Right) -> Option<&StreamName> {
    match right {
        Right::ReadStream(name) => Some(name),
        Right::In(..) | Right::Everywhere(_) => None,
    }
}

/// Names in groups that have room in one path each.
fn together<'a, 'b>(mut names: &'a [&'b StreamName]) -> Vec<&'a [&'b StreamName]> {
    let mut groups = Vec::new();
    while !names.is_empty() {
        let mut bytes = 0;
        let count = names.iter().take_while(|name| {
            bytes += name.as_str().len() + 1;
            bytes <= PATH_BYTES_MAX
        });
        let (group, rest) = names.split_at(count.count().max(1));
        groups.push(group);
        names = rest;
    }
    groups
}
