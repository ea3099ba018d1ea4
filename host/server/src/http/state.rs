//! What every handler is handed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::{HeaderMap, Request};
use taskhost_model::time::Timestamp;
use taskhost_service::Service;
use taskhost_service::nudge::Seals;
use taskhost_service::spans::SpanSink;
use taskhost_store::error::StoreError;
use taskhost_store::open::Stores;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::codes::Code;
use super::cookie::SessionCookie;
use super::problem::Problem;
use super::rates::Rates;
use super::request;
use crate::settings::HttpSettings;

/// Large bodies that are held in memory at once; more wait.
const UPLOADS_AT_ONCE: usize = 4;

/// The same for JSON above [`SMALL_JSON_BYTES`].
const LARGE_JSON_AT_ONCE: usize = 32;
const SMALL_JSON_BYTES: u64 = 64 * 1024;
/// Somebody may send so many seconds' requests at once.
const AT_ONCE: u32 = 2;
/// How long a request waits for its place.
const PLACE_WITHIN: Duration = Duration::from_secs(10);

/// Handed to every handler. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Service,
    stores: Stores,
    about: About,
    folder_judged: AtomicBool,
    hearing: OnceLock<Hearing>,
    spans: OnceLock<Arc<dyn SpanSink>>,
    stopping: CancellationToken,
    body_timeout: Duration,
    is_behind_proxy: bool,
    cookie: SessionCookie,
    rates: Rates,
    json_bytes_max: u64,
    uploads: Semaphore,
    pushes: Semaphore,
    large_json: Semaphore,
    watchers: Arc<Semaphore>,
    watchers_max: usize,
}

/// What `/v1/info` says of this host.
#[derive(Debug, Clone)]
pub struct About {
    /// The host's name.
    pub host: String,
    /// Which store it uses, as in its settings.
    pub store: &'static str,
    /// When it started.
    pub started_at: Timestamp,
}

/// How hints for this host are told from others.
#[derive(Debug, Clone)]
pub struct Hearing {
    /// Opens them.
    pub seals: Arc<Seals>,
    /// The address that this host tells others.
    pub address: String,
}

/// The content type of components.
pub(crate) const WASM: &str = "application/wasm";

impl State {
    /// `params_bytes_max` is the limit of a task's params; a body may be so much larger as
    /// JSON can be written wastefully.
    #[must_use]
    pub fn new(
        service: Service,
        stores: Stores,
        about: About,
        params_bytes_max: u64,
        http: &HttpSettings,
    ) -> Self {
        let watchers_max = (http.connections_max * 3 / 4).max(1);
        let is_here = http.listen.ip().is_loopback();
        let is_secure = !is_here || http.tls.is_some() || http.behind_proxy;
        Self(Arc::new(Inner {
            service,
            stores,
            about,
            folder_judged: AtomicBool::new(false),
            hearing: OnceLock::new(),
            spans: OnceLock::new(),
            stopping: CancellationToken::new(),
            body_timeout: http.body_timeout,
            is_behind_proxy: http.behind_proxy,
            cookie: SessionCookie { is_secure },
            rates: Rates::new(http.requests_a_second, AT_ONCE),
            json_bytes_max: params_bytes_max.saturating_mul(2).saturating_add(64 * 1024),
            uploads: Semaphore::new(UPLOADS_AT_ONCE),
            pushes: Semaphore::new(UPLOADS_AT_ONCE),
            large_json: Semaphore::new(LARGE_JSON_AT_ONCE),
            watchers: Arc::new(Semaphore::new(watchers_max)),
            watchers_max,
        }))
    }

    /// Says that every file in the watched folder has been activated or refused.
    pub fn folder_is_judged(&self) {
        self.0.folder_judged.store(true, Ordering::SeqCst);
    }

    /// Set when the host stops: streams of events end.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    /// From now on what other hosts say is heard.
    pub fn hear_hints(&self, hearing: Hearing) {
        // Whoever puts the host together says it once.
        let _ = self.0.hearing.set(hearing);
    }

    /// From now on what is answered is told to whoever collects traces.
    pub fn trace_to(&self, spans: Arc<dyn SpanSink>) {
        // Whoever puts the host together says it once.
        let _ = self.0.spans.set(spans);
    }

    pub(crate) fn spans(&self) -> Option<&Arc<dyn SpanSink>> {
        self.0.spans.get()
    }

    pub(crate) fn hearing(&self) -> Option<&Hearing> {
        self.0.hearing.get()
    }

    /// Time for the next part of a request's body to arrive.
    pub(crate) fn body_timeout(&self) -> Duration {
        self.0.body_timeout
    }

    pub(crate) fn is_folder_judged(&self) -> bool {
        self.0.folder_judged.load(Ordering::SeqCst)
    }

    /// Whether a write would succeed now.
    pub(crate) async fn is_writable(&self) -> Result<(), StoreError> {
        self.0.stores.writable().await
    }

    pub(crate) fn service(&self) -> &Service {
        &self.0.service
    }

    pub(crate) fn about(&self) -> &About {
        &self.0.about
    }

    /// Whether everybody who asks is somebody; otherwise there is one user.
    pub(crate) fn has_people(&self) -> bool {
        self.0.stores.people.is_some()
    }

    /// Whether they have tokens of this host.
    pub(crate) fn has_tokens(&self) -> bool {
        let people = self.0.stores.people.as_ref();
        people.is_some_and(|people| people.tokens.is_some())
    }

    /// Whether a proxy says where requests come from.
    pub(crate) fn is_behind_proxy(&self) -> bool {
        self.0.is_behind_proxy
    }

    pub(crate) fn cookie(&self) -> SessionCookie {
        self.0.cookie
    }

    pub(crate) fn rates(&self) -> &Rates {
        &self.0.rates
    }

    /// The body of a request that carries JSON, or nothing.
    pub(crate) async fn json_body(
        &self,
        request: Request<Body>,
    ) -> Result<(HeaderMap, Bytes), Problem> {
        self.body(request, &["application/json"]).await
    }

    /// The body of a request that carries a text of these types, or nothing.
    pub(crate) async fn body(
        &self,
        request: Request<Body>,
        accepted: &[&str],
    ) -> Result<(HeaderMap, Bytes), Problem> {
        let (parts, body) = request.into_parts();
        let bytes_max = self.0.json_bytes_max;
        let is_small = body
            .size_hint()
            .upper()
            .is_some_and(|most| most <= SMALL_JSON_BYTES);
        let _place = match is_small {
            true => None,
            false => Some(place(&self.0.large_json).await?),
        };
        let bytes = request::body(&parts.headers, body, bytes_max, self.0.body_timeout).await?;
        if !bytes.is_empty() {
            request::check_content_type(&parts.headers, accepted)?;
        }
        Ok((parts.headers, bytes))
    }

    /// A place for a request that stays open until something changes: some connections are left
    /// for everybody else.
    pub(crate) fn watcher(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.0.watchers).try_acquire_owned();
        place.map_err(|_| Problem::new(Code::Busy, "too many requests wait for changes already"))
    }

    /// How many such requests there are.
    pub(crate) fn watchers(&self) -> usize {
        self.0.watchers_max - self.0.watchers.available_permits()
    }

    /// A place for a large body that is read and dealt with piece by piece.
    pub(crate) async fn upload_place(&self) -> Result<SemaphorePermit<'_>, Problem> {
        place(&self.0.uploads).await
    }

    /// The largest body with the params of one task.
    pub(crate) fn json_bytes_max(&self) -> u64 {
        self.0.json_bytes_max
    }

    /// A large body, handed to `then` while few others are held in memory.
    pub(crate) async fn upload<T, F>(
        &self,
        request: Request<Body>,
        accepted: &[&str],
        bytes_max: u64,
        then: impl FnOnce(Bytes) -> F,
    ) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, Problem>>,
    {
        let (parts, body) = request.into_parts();
        request::check_content_type(&parts.headers, accepted)?;
        // A component may take minutes to compile: documents do not wait for it.
        let places = if accepted.contains(&WASM) {
            &self.0.pushes
        } else {
            &self.0.uploads
        };
        let _place = place(places).await?;
        let bytes = request::body(&parts.headers, body, bytes_max, self.0.body_timeout).await?;
        then(bytes).await
    }
}

async fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    match tokio::time::timeout(PLACE_WITHIN, places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(Problem::new(
            Code::Busy,
            "the host reads as many large bodies as it can",
        )),
    }
}
