//! Carries hints to other hosts: sealed, in a POST each, on nobody's way.
//!
//! # Guarantees
//! 1. Whoever sends is not held up, whatever becomes of the request.
//! 2. To each host one request is under way at a time; what is to be said meanwhile goes together
//!    in the next one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use taskhost_service::nudge::{Sealed, Seals};
use taskhost_service::peers::{Hint, Messenger};
use tokio::runtime::Handle;

/// Where hints are heard.
pub(crate) const PATH: &str = "/internal/hosts/hint";
/// The header that carries a hint's seal.
pub(crate) const SEAL: &str = "taskhost-seal";

/// A host that takes longer finds by itself what it would have been told.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Hosts that are told something at once; what is to be told to more is left out.
const OUTBOXES_MAX: usize = 1_000;

/// Sends hints.
#[derive(Debug)]
pub(crate) struct Post {
    seals: Arc<Seals>,
    http: reqwest::Client,
    executor: Handle,
    /// What is to be said to the host at an address, while a request to it is under way.
    outboxes: Mutex<HashMap<String, Hint>>,
    /// The same, for whoever sends.
    this: std::sync::Weak<Self>,
}

impl Post {
    /// Within a runtime.
    ///
    /// # Errors
    /// When the system allows no client.
    pub(crate) fn new(seals: Arc<Seals>) -> Result<Arc<Self>, reqwest::Error> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .build()?;
        let executor = Handle::current();
        Ok(Arc::new_cyclic(|this| Self {
            seals,
            http,
            executor,
            outboxes: Mutex::default(),
            this: this.clone(),
        }))
    }

    /// Sends what is to be said to a host until nothing is left.
    async fn empty(&self, address: String) {
        while let Some(hint) = self.take(&address) {
            let Some(sealed) = self.seals.seal(&address, &hint) else {
                continue;
            };
            if let Err(error) = self.send_one(&address, sealed).await {
                tracing::debug!(%error, address, "a hint was not heard");
            }
        }
    }

    async fn send_one(&self, address: &str, sealed: Sealed) -> Result<(), reqwest::Error> {
        let request = self
            .http
            .post(format!("{address}{PATH}"))
            .header(CONTENT_TYPE, "application/json")
            .header(SEAL, sealed.seal)
            .body(sealed.body);
        request.send().await?.error_for_status().map(drop)
    }

    /// What is to be said now; with nothing left the outbox goes.
    fn take(&self, address: &str) -> Option<Hint> {
        let mut outboxes = self.outboxes.lock().unwrap_or_else(PoisonError::into_inner);
        let hint = std::mem::take(outboxes.get_mut(address)?);
        if hint == Hint::default() {
            outboxes.remove(address);
            return None;
        }
        Some(hint)
    }
}

impl Messenger for Post {
    fn send(&self, address: &str, hint: Hint) {
        let mut outboxes = self.outboxes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outbox) = outboxes.get_mut(address) {
            // Whoever sends to it finds this next.
            outbox.merge(hint);
            return;
        }
        let Some(this) = self
            .this
            .upgrade()
            .filter(|_| outboxes.len() < OUTBOXES_MAX)
        else {
            return;
        };
        outboxes.insert(address.to_owned(), hint);
        drop(outboxes);
        let address = address.to_owned();
        self.executor
            .spawn(async move { this.empty(address).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::extract::State;
    use axum::http::HeaderMap;
    use axum::routing::post;
    use taskhost_model::time::Clock;
    use tokio::sync::{Semaphore, mpsc};

    #[derive(Clone)]
    struct Hearer {
        heard: mpsc::UnboundedSender<(String, Vec<u8>)>,
        may_answer: Arc<Semaphore>,
    }

    async fn hear(State(it): State<Hearer>, headers: HeaderMap, body: axum::body::Bytes) {
        let seal = headers[SEAL].to_str().unwrap().to_owned();
        it.heard.send((seal, body.to_vec())).unwrap();
        it.may_answer.acquire().await.unwrap().forget();
    }

    #[tokio::test]
    async fn what_is_said_while_a_request_is_under_way_goes_together() {
        let (heard, mut all) = mpsc::unbounded_channel();
        let hearer = Hearer {
            heard,
            may_answer: Arc::new(Semaphore::new(0)),
        };
        let routes = Router::new()
            .route(PATH, post(hear))
            .with_state(hearer.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });

        let seals = || Arc::new(Seals::new(&[3; 32], Clock::System));
        let post = Post::new(seals()).unwrap();
        let hints = [(true, false), (false, true), (true, false)];
        let hint = |(types, hosts)| Hint {
            types,
            hosts,
            ..Hint::default()
        };
        post.send(&address, hint(hints[0]));
        let (seal, body) = all.recv().await.unwrap();
        let theirs = seals();
        assert_eq!(theirs.open(&address, &body, &seal), Ok(hint((true, false))));
        for next in &hints[1..] {
            post.send(&address, hint(*next));
        }
        hearer.may_answer.add_permits(2);
        let (seal, body) = all.recv().await.unwrap();
        assert_eq!(theirs.open(&address, &body, &seal), Ok(hint((true, true))));
        // The outbox is gone, and made again for the next one.
        while !post.outboxes.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        hearer.may_answer.add_permits(1);
        post.send(&address, hint((false, true)));
        let (seal, body) = all.recv().await.unwrap();
        assert_eq!(theirs.open(&address, &body, &seal), Ok(hint((false, true))));
    }
}
