//! Reads of one stream with the rights of whoever asks, and what Elasticsearch's refusals mean.

use std::time::Duration;

use serde_json::{Value, json};
use taskhost_model::ids::StreamName;
use taskhost_model::query::Query;
use taskhost_model::requester::{Credential, Requester};

use super::client::{Answer, Authorization, Client, Request, unavailable};
use super::query::{self, Bound, TIMESTAMP, Times};
use super::query_fields::{self, Fields};
use crate::error::StoreError;
use crate::matching::Matcher;

/// The server ends a search after so long …
pub(crate) const SEARCH_TIME: &str = "10s";
/// … and somewhat later it is no longer waited for.
const REQUEST_TIME: Duration = Duration::from_secs(20);
/// A refusal for the moment is waited out for so long: whoever waits has a deadline.
const RETRIED_FOR: Duration = Duration::from_secs(5);

/// Who reads which stream.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) client: Client,
    by: Option<Authorization>,
    name: StreamName,
}

/// What is to be read.
#[derive(Debug)]
pub(crate) struct Plan {
    /// When.
    pub(crate) times: Times,
    /// In Elasticsearch's words: every document of that time that may match.
    pub(crate) bound: Bound,
    /// It says all; else [`Self::matcher`] decides.
    pub(crate) exact: bool,
    /// The condition.
    pub(crate) matcher: Option<Matcher>,
}

impl Plan {
    /// Whether a document that was found matches.
    pub(crate) fn matches(&self, body: &str) -> bool {
        self.exact || crate::matching::all_or_matching(self.matcher.as_ref(), body)
    }
}

impl Reader {
    pub(crate) fn new(
        client: &Client,
        requester: &Requester,
        name: &StreamName,
    ) -> Result<Self, StoreError> {
        let by = match &requester.credential {
            // The one person at the machine may do what the host may.
            Credential::SingleUser => None,
            Credential::Own(own) => Some(Authorization::of(own)?),
        };
        Ok(Self {
            client: client.clone(),
            by,
            name: name.clone(),
        })
    }

    pub(crate) fn unknown(&self) -> StoreError {
        StoreError::UnknownStream {
            name: self.name.to_string(),
        }
    }

    pub(crate) fn unfit(&self, reason: &str) -> StoreError {
        StoreError::UnfitStream {
            name: self.name.to_string(),
            reason: reason.to_owned(),
        }
    }

    /// The path of an API of the stream, with what keeps its name from meaning several.
    pub(crate) fn post(&self, api: &str) -> Request {
        Request::post(format!("{}/{api}", self.name))
            .with("expand_wildcards", "none")
            .with("allow_no_indices", "false")
    }

    fn get(&self, api: &str) -> Request {
        Request::get(format!("{}/{api}", self.name))
            .with("expand_wildcards", "none")
            .with("allow_no_indices", "false")
    }

    /// Asks as whoever reads; the answer's status is whatever it is.
    async fn ask(&self, request: Request) -> Result<Answer, StoreError> {
        let request = request.within(REQUEST_TIME).retried_for(RETRIED_FOR);
        let request = match &self.by {
            Some(by) => request.by(by),
            None => request,
        };
        let answer = self.client.send_by(&request).await?;
        if answer.status == 401 {
            let reason = answer.cause().reason.unwrap_or_default();
            return Err(StoreError::Unauthorized { reason });
        }
        Ok(answer)
    }

    /// Asks as whoever reads; whatever is no success is an error.
    pub(crate) async fn answer(&self, request: Request) -> Result<Answer, StoreError> {
        let answer = self.ask(request).await?;
        match answer.status {
            200 => Ok(answer),
            _ => Err(self.refused(&answer)),
        }
    }

    /// As [`Self::answer`]; none where the query itself is what Elasticsearch does not take.
    pub(crate) async fn answer_unless_refused(
        &self,
        request: Request,
    ) -> Result<Option<Answer>, StoreError> {
        let answer = self.ask(request).await?;
        match answer.status {
            200 => Ok(Some(answer)),
            400 => Ok(None),
            _ => Err(self.refused(&answer)),
        }
    }

    /// What the reader may not see is as if it were not there.
    fn refused(&self, answer: &Answer) -> StoreError {
        let cause = answer.cause();
        match (answer.status, cause.kind.as_str()) {
            (404, "search_context_missing_exception") => {
                unavailable("Elasticsearch has forgotten the search: it went on for too long")
            }
            (403 | 404, _) | (400, "invalid_index_name_exception") => self.unknown(),
            // It is no matter of time, as for one of a closed index.
            (400, kind) => {
                let root = cause.root_cause.first().and_then(|it| it.reason.as_deref());
                let reason = root.or(cause.reason.as_deref()).unwrap_or_default();
                self.unfit(&format!("Elasticsearch answers {kind}: {reason}"))
            }
            _ => answer.error(),
        }
    }

    /// An answer that is worth having, but that the reader may not be allowed.
    pub(crate) async fn permitted(&self, request: Request) -> Result<Option<Value>, StoreError> {
        let answer = self.ask(request).await?;
        match answer.status {
            200 => Ok(Some(answer.json()?)),
            400 | 403 | 404 => Ok(None),
            _ => Err(self.refused(&answer)),
        }
    }

    /// Sees to it that the stream is there for the reader, and compiles the query.
    pub(crate) async fn plan(&self, query: &Query) -> Result<Plan, StoreError> {
        let condition = query.condition.as_ref();
        let names = condition.map(query_fields::names).unwrap_or_default();
        let capabilities = self.capabilities(&names).await?;
        let fields = if names.is_empty() {
            Fields::default()
        } else {
            let (mapping, settings) = self.mapping(&names, &capabilities).await?;
            Fields::read(&names, &capabilities, mapping.as_ref(), settings.as_ref())
        };
        let compiled = query::compile(condition, &fields);
        let times = query_fields::types(&capabilities, TIMESTAMP);
        let times: Vec<&str> = times.map(|(name, _)| name).collect();
        if !times
            .iter()
            .all(|name| matches!(*name, "date" | "date_nanos"))
        {
            self.may_read().await?;
            return Err(self.unfit("its field `@timestamp` is no date"));
        }
        // A document without a time is in no range.
        let nothing = query.from >= query.to || times.is_empty();
        if nothing {
            self.may_read().await?;
        }
        Ok(Plan {
            times: Times::of(query, times.contains(&"date_nanos")),
            bound: if nothing { Bound::None } else { compiled.bound },
            exact: nothing || compiled.exact,
            matcher: query.condition.clone().map(Matcher::new),
        })
    }

    /// Sees to it that the reader may read, where nothing is read after: capabilities are told to
    /// whoever may look at metadata alone, for whom the stream is not there either.
    async fn may_read(&self) -> Result<(), StoreError> {
        let nothing = json!({"size": 0, "track_total_hits": false, "terminate_after": 1});
        let request = self.post("_search").json(&nothing);
        self.answer(request).await.map(drop)
    }

    /// What the stream's indices have of these fields, and of `@timestamp`.
    pub(crate) async fn capabilities(&self, names: &[String]) -> Result<Value, StoreError> {
        let names = names.iter().map(String::as_str).chain([TIMESTAMP]);
        let names = names.collect::<Vec<_>>().join(",");
        let request = self
            .post("_field_caps")
            .with("fields", names)
            .with("include_unmapped", "true");
        let capabilities: Value = self.answer(request).await?.json()?;
        if leads_inside(&capabilities) {
            return Err(self.unknown());
        }
        Ok(capabilities)
    }

    /// Mapping and analyzers, as far as they say more than the capabilities.
    async fn mapping(
        &self,
        names: &[String],
        capabilities: &Value,
    ) -> Result<(Option<Value>, Option<Value>), StoreError> {
        let mapped: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| query_fields::types(capabilities, name).next().is_some())
            .collect();
        if mapped.is_empty() {
            return Ok((None, None));
        }
        let fields = self.get(&format!("_mapping/field/{}", mapped.join(",")));
        let settings = self
            .get("_settings/index.analysis.*")
            .with("flat_settings", "true");
        tokio::try_join!(self.permitted(fields), self.permitted(settings))
    }

    /// When the stream's indices were made, where the reader may know.
    pub(crate) async fn creation(&self) -> Result<Option<Value>, StoreError> {
        let settings = self
            .get("_settings/index.creation_date")
            .with("flat_settings", "true");
        self.permitted(settings).await
    }
}

/// Whether one of the indices that these capabilities are of is the system's or the host's own: an
/// alias may lead there.
pub(crate) fn leads_inside(capabilities: &Value) -> bool {
    let is_own = |index: &str| index.starts_with('.') && !index.starts_with(".ds-");
    query_fields::indices(capabilities).any(is_own)
}
