//! What every handler is handed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request};
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;
use taskhost_service::Service;
use taskhost_store::error::StoreError;
use taskhost_store::open::Stores;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use super::request;

/// Large bodies that are held in memory at once; more wait.
const UPLOADS_AT_ONCE: usize = 4;

/// Handed to every handler. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Service,
    stores: Stores,
    about: About,
    folder_judged: AtomicBool,
    stopping: CancellationToken,
    by: Requester,
    body_timeout: Duration,
    json_bytes_max: u64,
    uploads: Semaphore,
    pushes: Semaphore,
}

/// What `/v1/info` says of this host.
#[derive(Debug, Clone)]
pub struct About {
    /// The host's name.
    pub host: String,
    /// When it started.
    pub started_at: Timestamp,
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
        body_timeout: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            service,
            stores,
            about,
            folder_judged: AtomicBool::new(false),
            stopping: CancellationToken::new(),
            by: Requester::single_user(),
            body_timeout,
            json_bytes_max: params_bytes_max.saturating_mul(2).saturating_add(64 * 1024),
            uploads: Semaphore::new(UPLOADS_AT_ONCE),
            pushes: Semaphore::new(UPLOADS_AT_ONCE),
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

    /// Whoever asks: in single-user mode there is one.
    pub(crate) fn by(&self) -> &Requester {
        &self.0.by
    }

    /// The body of a request that carries JSON, or nothing.
    pub(crate) async fn json_body(
        &self,
        request: Request<Body>,
    ) -> Result<(HeaderMap, Bytes), Problem> {
        let (parts, body) = request.into_parts();
        let bytes_max = self.0.json_bytes_max;
        let bytes = request::body(&parts.headers, body, bytes_max, self.0.body_timeout).await?;
        if !bytes.is_empty() {
            request::check_content_type(&parts.headers, &["application/json"])?;
        }
        Ok((parts.headers, bytes))
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
        let _place = places.acquire().await;
        let bytes = request::body(&parts.headers, body, bytes_max, self.0.body_timeout).await?;
        then(bytes).await
    }
}
