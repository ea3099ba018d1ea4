//! Outbound HTTP.
//!
//! # Guarantees
//! 1. Nothing is sent, and no name is looked up, for a request that the descriptor does not ask for
//!    or the operator does not allow: by origin, method and beginning of the path.
//! 2. What is connected to is an address that was judged, on every hop (`network`).
//! 3. Secrets go where they may and come back masked ([`crate::secrets`]).
//! 4. Sizes, time and number are limited, whatever the other side sends. Nothing is decompressed,
//!    no cookie is kept.
//!
//! # Why this way
//! A connection for each request, made here: with a client that keeps connections, follows
//! redirects and looks up names by itself, each of these guarantees would hang on its settings. It
//! costs a round trip or two.

mod addresses;
mod destination;
mod headers;
mod network;
mod exchange;

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};

pub use addresses::{Range, range_of, refusal};
pub use destination::{origin, other_spellings};
pub(crate) use exchange::Outbound;
pub use network::{Connection, Names, Network, Outside};

use crate::encoded;
use crate::error::ClientError;
use crate::room::Room;
use crate::scope::Scope;

/// Requests of one `send-many`.
const REQUESTS_MAX: usize = 64;
/// Of these, under way at once.
const REQUESTS_AT_ONCE: usize = 8;
/// Bodies of a call's answers together; a quarter of the run's memory holds as well.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What to send.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// With placeholders of secrets.
    pub headers: Vec<(String, String)>,
    /// None: without.
    #[serde(serialize_with = "encoded::optional")]
    pub body: Option<Vec<u8>>,
    /// For the whole request, redirects included.
    pub timeout_ms: Option<u64>,
    /// JSON text, an object without keys so far.
    pub options: Option<String>,
}

impl Request {
    /// Of its texts and its body together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let header = |(name, value): &(String, String)| name.len() + value.len();
        self.method.len()
            + self.url.len()
            + size_of_val(self.headers.as_slice())
            + self.headers.iter().map(header).sum::<usize>()
            + self.body.as_ref().map_or(0, Vec::len)
            + self.options.as_ref().map_or(0, String::len)
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// `200` and so on.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came.
    #[serde(with = "encoded")]
    pub body: Vec<u8>,
    /// Where it came from, after redirects.
    pub url: String,
}

/// The interface `http`.
#[derive(Debug, Clone)]
pub struct Http {
    scope: Arc<Scope>,
    outbound: Option<Arc<Outbound>>,
}

impl Http {
    pub(crate) fn new(scope: Arc<Scope>, outbound: Option<Arc<Outbound>>) -> Self {
        Self { scope, outbound }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// As the contract has them: `denied`, `invalid`, `too-large`, `quota-exceeded`, `canceled`,
    /// `deadline`, `unavailable`.
    pub async fn send(&self, request: Request) -> Result<Response, ClientError> {
        let outbound = self.granted("http.send")?;
        let room = self.room();
        let _resting = self.scope.stillness.rest();
        self.scope
            .unless_stopped(outbound.send(request, &room))
            .await
    }

    /// Sends several, answered in order, each for itself. They share the bytes of one.
    ///
    /// # Errors
    /// Also `too-large` above 64 requests; each answer has errors of its own.
    pub async fn send_many(
        &self,
        requests: Vec<Request>,
    ) -> Result<Vec<Result<Response, ClientError>>, ClientError> {
        let outbound = self.granted("http.send-many")?;
        if requests.len() > REQUESTS_MAX {
            let (count, most) = (requests.len(), REQUESTS_MAX as u64);
            return Err(ClientError::too_large(
                "`send-many`",
                count,
                "requests",
                most,
            ));
        }
        let room = self.room();
        let _resting = self.scope.stillness.rest();
        let each = requests
            .into_iter()
            .map(|request| outbound.send(request, &room));
        let answers = stream::iter(each.collect::<Vec<_>>())
            .buffered(REQUESTS_AT_ONCE)
            .collect::<Vec<_>>();
        self.scope.unless_stopped(async { Ok(answers.await) }).await
    }

    /// Every method begins with this.
    fn granted(&self, call: &'static str) -> Result<&Outbound, ClientError> {
        self.scope.calls.enter(call)?;
        let Some(outbound) = &self.outbound else {
            return Err(ClientError::denied("nothing can be sent outside of a run"));
        };
        self.scope.check()?;
        Ok(outbound)
    }

    fn room(&self) -> Room {
        self.scope
            .room(ANSWER_BYTES_MAX.min(self.scope.memory_bytes / 4))
    }
}
