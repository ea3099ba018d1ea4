//! Accepts connections and hands requests to the router: with a limit on connections, a limit
//! on how long a request's head may take, and an end that waits for what is being answered.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::metrics::{Label, SharedString, counter, histogram};
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use futures_util::StreamExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use taskhost_model::requester::Requester;
use taskhost_model::time::Clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::asked::{Peer, SessionUntil};
use super::codes::Code;
use super::described::Route;
use super::patient::Patient;
use super::problem::Problem;
use super::shares::Shares;
use super::state::State;
use super::traced::Traced;
use super::{asked, page, problem};
use crate::metrics;
use crate::settings::HttpSettings;

/// The pause after the system refused to accept a connection, mostly for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines about it: it may last.
const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// What a browser understands: it asks whoever sits before it, and sends what they say from then
/// on. Other programs are not told of it (see `problem`).
const CHALLENGE: &str = "Basic realm=\"taskhost\", charset=\"UTF-8\"";

/// Answers requests, from a connection or from this process: those of whoever may ask, and with a
/// problem document for whatever is refused. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Answers {
    state: State,
    router: TowerToHyperService<Router>,
}

impl Answers {
    pub(crate) fn of(router: Router, state: State) -> Self {
        let router = TowerToHyperService::new(router);
        Self { state, router }
    }

    /// Answers one request. Dropped before, it is as if the client had hung up.
    pub async fn answer(&self, mut request: Request<Body>) -> Response<Body> {
        let begun = Instant::now();
        let uri = request.uri().clone();
        let asks_for_page = is_asked_by_page(request.headers());
        let traced = Traced::begin(&self.state, &mut request);
        let mut response = match asked::admit(&self.state, &mut request).await {
            Ok(()) => self.routed(request).await,
            Err(problem) => problem.into_response(),
        };
        let route = response.extensions_mut().remove::<Route>();
        let is_page = page::is_page(uri.path()) || page::is_finished(&response);
        let mut response = match is_page {
            true => page::finish(&self.state, response, &uri),
            false => problem::finish(response, uri.path()),
        };
        // A token of this host is nothing that a browser could ask for.
        let is_asked = (is_page || asks_for_page) && !self.state.has_tokens();
        if response.status() == StatusCode::UNAUTHORIZED && is_asked {
            let headers = response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        if let Some(traced) = traced {
            traced.end(&self.state, route.as_ref(), response.status());
        }
        count(route, response.status(), begun.elapsed());
        response
    }

    /// Has a handler answer, as long as what its caller came with is accepted: so that no route
    /// that waits, or goes on telling, outlives it.
    async fn routed(&self, request: Request<Body>) -> Response<Body> {
        let by = request.extensions().get::<Requester>().cloned();
        let until = request.extensions().get::<SessionUntil>().copied();
        let answered = async {
            match self.router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        };
        let Some(by) = by.filter(|_| self.state.has_people()) else {
            return answered.await;
        };
        let by = Arc::new(by);
        let response = tokio::select! {
            biased;
            response = answered => response,
            () = over(self.state.clone(), Arc::clone(&by), until) => {
                let detail = "what you came with is accepted no more";
                return Problem::new(Code::Unauthorized, detail).into_response();
            }
        };
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        let ended = over(self.state.clone(), by, until);
        response.map(|body| {
            let parts = body.into_data_stream().take_until(Box::pin(ended));
            Body::from_stream(parts)
        })
    }
}

/// Returns when what somebody came with is accepted no more, or their session has ended.
async fn over(state: State, by: Arc<Requester>, until: Option<SessionUntil>) {
    let left = until.map(|until| until.0.since(Clock::System.now()));
    let session = async {
        match left {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = state.service().until_refused(&by) => {}
        () = session => {}
    }
}

/// Whatever comes of what comes after the head. What is refused before a route is looked for, or
/// has none, is counted together.
fn count(route: Option<Route>, status: StatusCode, took: Duration) {
    let class = match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    let (method, path) = match route {
        Some(route) => (route.method.into(), route.path.into()),
        None => (SharedString::from("none"), SharedString::from("none")),
    };
    let mut labels = vec![Label::new("method", method), Label::new("route", path)];
    histogram!(metrics::REQUEST_SECONDS, labels.clone()).record(took);
    labels.push(Label::new("status", class));
    counter!(metrics::REQUESTS, labels).increment(1);
}

/// Whether a page of this host asks, as browsers say and no script can.
fn is_asked_by_page(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|from| from == "same-origin")
}

/// How connections are spoken to.
#[derive(Clone)]
struct Speaking {
    http: http1::Builder,
    answers: Answers,
    tls: Option<TlsAcceptor>,
    header_timeout: Duration,
    write_timeout: Duration,
}

/// Serves until `stop` is canceled; then nothing is accepted any more, requests that are being
/// answered get `grace`, and what is left is cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    answers: Answers,
    settings: &HttpSettings,
    stop: CancellationToken,
    grace: Duration,
) {
    let permits = Arc::new(Semaphore::new(settings.connections_max));
    // Behind a proxy all come from it, and one user needs no share.
    let is_bounded = answers.state.has_people() && !settings.behind_proxy;
    let shares = Shares::new(settings.connections_max, is_bounded);
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout);
    let speaking = Speaking {
        http,
        answers,
        tls: settings
            .tls
            .as_ref()
            .map(|tls| TlsAcceptor::from(tls.config())),
        header_timeout: settings.header_timeout,
        write_timeout: settings.write_timeout,
    };
    let mut warned_at: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, from, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if warned_at.is_none_or(|at| at.elapsed() > WARN_INTERVAL) {
                    tracing::warn!(%error, "connections cannot be accepted");
                    warned_at = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Whoever has more than their share is hung up on: others find room.
        let Some(share) = shares.take(from) else {
            continue;
        };
        let (speaking, stop, cut) = (speaking.clone(), stop.clone(), cut.clone());
        connections.spawn(async move {
            let _held = (permit, share);
            tokio::select! {
                () = speaking.with(stream, from, stop) => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(grace, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(connections = connections.len(), "connections are cut off");
        cut.cancel();
        connections.wait().await;
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await;
    let (stream, from) = listener.accept().await?;
    let permit = permit.map_err(std::io::Error::other)?;
    Ok((stream, from.ip().to_canonical(), permit))
}

impl Speaking {
    async fn with(self, stream: TcpStream, from: IpAddr, stop: CancellationToken) {
        // Answers are small and written whole: waiting for more of them only delays.
        let _ = stream.set_nodelay(true);
        let stream = Patient::new(stream, self.write_timeout);
        let Some(tls) = &self.tls else {
            return self.serve(stream, from, stop).await;
        };
        let greeted = tokio::time::timeout(self.header_timeout, tls.accept(stream)).await;
        match greeted {
            Ok(Ok(stream)) => self.serve(stream, from, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "no TLS on a connection"),
            Err(_) => tracing::debug!("no TLS on a connection: its other end says nothing"),
        }
    }

    async fn serve<S>(&self, stream: S, from: IpAddr, stop: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answers = self.answers.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answers = answers.clone();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(from));
            async move { Ok::<_, Infallible>(answers.answer(request).await) }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
