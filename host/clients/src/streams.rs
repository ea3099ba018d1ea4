//! The documents of the run's streams, read with the rights of whoever asked for the run: of the
//! one that the task was scheduled on, or of those that its params name.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use taskhost_model::ids::{StreamKey, StreamName};
use taskhost_model::requester::Requester;
use taskhost_store::streams as store;
use taskhost_store::streams::StreamStore;

use crate::caps::{SAMPLES_MAX, batch_bytes_max};
use crate::context::RunInfo;
use crate::error::ClientError;
use crate::request;
use crate::scope::Scope;
use crate::turns::Turns;

/// Samples of one `sample-many` that are drawn at once.
const SAMPLES_AT_ONCE: usize = 4;

/// Documents, and what had to stay out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// JSON texts.
    pub documents: Vec<String>,
    /// How many match in all, where it is known.
    pub matched: Option<u64>,
    /// Whether bytes cut it.
    pub truncated: bool,
    /// The cursor of the next batch.
    pub next: Option<String>,
    /// JSON text: what stayed out.
    pub details: Option<String>,
}

/// The interface `streams`.
#[derive(Debug, Clone)]
pub struct Streams(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: Arc<Scope>,
    grants: Vec<StreamGrant>,
}

/// One stream, and whose rights it is read with.
#[derive(Debug)]
pub(crate) struct StreamGrant {
    pub(crate) store: Arc<dyn StreamStore>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) key: StreamKey,
    pub(crate) requester: Requester,
}

impl StreamGrant {
    /// Of a run, for the streams of these names in its space.
    pub(crate) fn of_each(
        info: &RunInfo,
        names: impl Iterator<Item = StreamName>,
        store: &Arc<dyn StreamStore>,
        turns: &Arc<Turns>,
    ) -> Vec<Self> {
        let grant = |name| Self {
            store: Arc::clone(store),
            turns: Arc::clone(turns),
            key: StreamKey {
                space: info.task.space.clone(),
                name,
            },
            requester: info.requester.clone(),
        };
        names.map(grant).collect()
    }
}

impl Streams {
    pub(crate) fn new(scope: Arc<Scope>, grants: Vec<StreamGrant>) -> Self {
        Self(Arc::new(Inner { scope, grants }))
    }

    /// What the stream is and holds, as JSON text.
    ///
    /// # Errors
    /// `denied`, `not-found`, `canceled`, `deadline`, `unavailable`, as everywhere here.
    pub async fn describe(&self, name: &str) -> Result<String, ClientError> {
        let grant = self.granted("streams.describe", name)?;
        let read = async {
            let stream = grant.store.get(&grant.requester, &grant.key).await?;
            let stream =
                stream.ok_or_else(|| taskhost_store::error::StoreError::UnknownStream {
                    name: name.to_owned(),
                })?;
            let mut about = json!({
                "name": stream.name,
                "documents": stream.documents,
                "bytes": stream.bytes.unwrap_or_default(),
            });
            if let Some(text) = stream.settings.description {
                about["description"] = json!(text);
            }
            if let Some(at) = stream.first_at {
                about["first_ms"] = json!(at.as_ms());
            }
            if let Some(at) = stream.last_at {
                about["last_ms"] = json!(at.as_ms());
            }
            Ok(about.to_string())
        };
        self.0.scope.unless_stopped(read).await
    }

    /// How many documents match, as JSON text.
    ///
    /// # Errors
    /// Also `invalid` and `too-large` for the query.
    pub async fn count(&self, name: &str, query: &str) -> Result<String, ClientError> {
        let grant = self.granted("streams.count", name)?;
        let query = request::query(query)?;
        let count = async {
            let _turn = grant.turns.turn().await;
            let count = grant
                .store
                .count(&grant.requester, &grant.key, &query)
                .await?;
            Ok(json!({"value": count.value, "relation": count.relation.as_str()}).to_string())
        };
        self.0.scope.unless_stopped(count).await
    }

    /// A random sample.
    ///
    /// # Errors
    /// Also `invalid` and `too-large` for the request.
    pub async fn sample(&self, name: &str, request: &str) -> Result<Batch, ClientError> {
        let grant = self.granted("streams.sample", name)?;
        self.0
            .scope
            .unless_stopped(grant.sample(request, self.bytes_max()))
            .await
    }

    /// Several samples, answered in order, each for itself. They share the bytes of one.
    ///
    /// # Errors
    /// Also `too-large` above 64 requests; each answer has errors of its own.
    pub async fn sample_many(
        &self,
        name: &str,
        requests: &[String],
    ) -> Result<Vec<Result<Batch, ClientError>>, ClientError> {
        let grant = self.granted("streams.sample-many", name)?;
        if requests.len() > SAMPLES_MAX {
            let what = "`sample-many`";
            return Err(ClientError::too_large(
                what,
                requests.len(),
                "requests",
                SAMPLES_MAX as u64,
            ));
        }
        let share = self.bytes_max() / requests.len().max(1) as u64;
        let samples: Vec<_> = requests
            .iter()
            .map(|request| grant.sample(request, share))
            .collect();
        let samples = stream::iter(samples)
            .buffered(SAMPLES_AT_ONCE)
            .collect::<Vec<_>>();
        self.0
            .scope
            .unless_stopped(async { Ok(samples.await) })
            .await
    }

    /// Which fields there are, of what types, and their most frequent values, as JSON text.
    ///
    /// # Errors
    /// Also `invalid` and `too-large` for the request, and `too-large` for the answer.
    pub async fn field_stats(&self, name: &str, request: &str) -> Result<String, ClientError> {
        let grant = self.granted("streams.field-stats", name)?;
        let query = request::query(request)?;
        let bytes_max = self.bytes_max();
        let stats = async {
            let _turn = grant.turns.turn().await;
            let stats = grant
                .store
                .field_stats(&grant.requester, &grant.key, &query)
                .await?;
            let text = json!(stats).to_string();
            if text.len() as u64 > bytes_max {
                let what = "the answer (ask for fewer `fields` or `max_values`)";
                return Err(ClientError::too_large(what, text.len(), "bytes", bytes_max));
            }
            Ok(text)
        };
        self.0.scope.unless_stopped(stats).await
    }

    /// Documents in order of time.
    ///
    /// # Errors
    /// Also `invalid` and `too-large` for the request.
    pub async fn search(&self, name: &str, request: &str) -> Result<Batch, ClientError> {
        let grant = self.granted("streams.search", name)?;
        let query = request::query(request)?;
        let bytes_max = self.bytes_max();
        let search = async {
            let _turn = grant.turns.turn().await;
            let found = grant
                .store
                .search(&grant.requester, &grant.key, &query, bytes_max)
                .await?;
            Ok(found.into())
        };
        self.0.scope.unless_stopped(search).await
    }

    /// Every method begins with this.
    fn granted(&self, call: &'static str, name: &str) -> Result<&StreamGrant, ClientError> {
        let Inner { scope, grants } = &*self.0;
        scope.calls.enter(call)?;
        if grants.is_empty() {
            return Err(ClientError::denied(
                "this run has no stream: schedule the task on one",
            ));
        }
        let is_named = |grant: &&StreamGrant| grant.key.name.as_str() == name;
        let grant = grants.iter().find(is_named).ok_or_else(|| {
            let names: Vec<_> = grants
                .iter()
                .map(|it| format!("`{}`", it.key.name))
                .collect();
            let what = if names.len() == 1 {
                "stream"
            } else {
                "streams"
            };
            let names = names.join(", ");
            ClientError::denied(format!("this run may read the {what} {names} alone"))
        })?;
        scope.check()?;
        Ok(grant)
    }

    fn bytes_max(&self) -> u64 {
        batch_bytes_max(self.0.scope.memory_bytes)
    }
}

impl StreamGrant {
    async fn sample(&self, request: &str, bytes_max: u64) -> Result<Batch, ClientError> {
        let query = request::query(request)?;
        let _turn = self.turns.turn().await;
        Ok(self
            .store
            .sample(&self.requester, &self.key, &query, bytes_max)
            .await?
            .into())
    }
}

impl From<store::Batch> for Batch {
    fn from(batch: store::Batch) -> Self {
        let details = (batch.left_out > 0).then(|| json!({"left_out": batch.left_out}).to_string());
        Self {
            documents: batch.documents,
            matched: batch.matched,
            truncated: batch.truncated,
            next: batch.next,
            details,
        }
    }
}
