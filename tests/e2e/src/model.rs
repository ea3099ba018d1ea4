//! A server that speaks OpenAI's protocol, and answers what its test says.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinHandle;

/// What the server answers to a request.
#[derive(Debug)]
pub enum Said {
    /// JSON with status 200.
    Json(Value),
    /// Another status, headers, and a body.
    Status(u16, Vec<(&'static str, String)>, String),
    /// Nothing, until the client goes away.
    Nothing,
    /// The answer, once so many requests wait for theirs together.
    Together(Arc<Barrier>, Value),
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// `/v1/chat/completions`
    pub path: String,
    /// The header, or nothing.
    pub authorization: String,
    /// JSON.
    pub body: Value,
}

type Script = Box<dyn Fn(&Seen, usize) -> Said + Send + Sync>;

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    state: Arc<Scripted>,
    serving: JoinHandle<()>,
}

struct Scripted {
    script: Script,
    seen: Mutex<Vec<Seen>>,
    now: AtomicUsize,
    most: AtomicUsize,
    given_up: AtomicUsize,
    changed: Notify,
}

/// A request that is being answered. Dropped before that, its client has gone.
struct UnderWay<'a> {
    state: &'a Scripted,
    is_answered: bool,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl ModelServer {
    /// Starts a server. `script` is handed each request and its number, from 0.
    ///
    /// # Panics
    /// When the system has no port.
    pub async fn start(script: impl Fn(&Seen, usize) -> Said + Send + Sync + 'static) -> Self {
        let state = Arc::new(Scripted {
            script: Box::new(script),
            seen: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            given_up: AtomicUsize::new(0),
            changed: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&state));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            address,
            state,
            serving,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every request so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The most requests at once so far.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state.most.load(Ordering::SeqCst)
    }

    /// Returns when so many requests have come.
    pub async fn until_seen(&self, count: usize) {
        self.until(|| self.seen().len() >= count).await;
    }

    /// Returns when the clients of so many requests have gone before they were answered.
    pub async fn until_given_up(&self, count: usize) {
        self.until(|| self.state.given_up.load(Ordering::SeqCst) >= count)
            .await;
    }

    async fn until(&self, is_so: impl Fn() -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.state.changed.notified());
            changed.as_mut().enable();
            if is_so() {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl<'a> UnderWay<'a> {
    fn new(state: &'a Scripted) -> Self {
        let now = state.now.fetch_add(1, Ordering::SeqCst) + 1;
        state.most.fetch_max(now, Ordering::SeqCst);
        Self {
            state,
            is_answered: false,
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.state.now.fetch_sub(1, Ordering::SeqCst);
        let given_up = usize::from(!self.is_answered);
        self.state.given_up.fetch_add(given_up, Ordering::SeqCst);
        self.state.changed.notify_waiters();
    }
}

async fn answer(
    State(state): State<Arc<Scripted>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut under_way = UnderWay::new(&state);
    let authorization = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let seen = Seen {
        path: uri.path().to_owned(),
        authorization: authorization.unwrap_or_default().to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let said = {
        let mut all = state.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let said = (state.script)(&seen, all.len());
        all.push(seen);
        said
    };
    state.changed.notify_waiters();
    let response = match said {
        Said::Json(answer) => axum::Json(answer).into_response(),
        Said::Status(status, headers, body) => {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            let headers: HeaderMap = headers
                .iter()
                .filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)))
                .collect();
            (status, headers, body).into_response()
        }
        Said::Nothing => std::future::pending().await,
        Said::Together(barrier, answer) => {
            barrier.wait().await;
            axum::Json(answer).into_response()
        }
    };
    under_way.is_answered = true;
    response
}

/// A completion with that text, for 5 tokens and 7.
#[must_use]
pub fn text(text: &str) -> Value {
    message(&json!({"role": "assistant", "content": text}), "stop")
}

/// A completion with that message, for 5 tokens and 7.
#[must_use]
pub fn message(message: &Value, finish_reason: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "tiny-1",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
    })
}
