//! One request and its answer, from hop to hop.
//!
//! # Guarantees
//! 1. Each hop is judged as the first one was: by both sides' rules, by its secrets, and by the
//!    very addresses that are connected to.
//! 2. A redirect whose URL has a secret in it is not followed: no URL of a hop has one, nor have
//!    the errors and log lines that name it.
//! 3. Each hop has a connection of its own, which is closed with the answer's last byte, and when
//!    this future is dropped. Nothing of one request is left to the next one.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use taskhost_model::capabilities::Capabilities;
use taskhost_model::task::Usage;

use super::addresses::{METADATA, range_of};
use super::destination::{Destination, Rules};
use super::headers::{self, Header};
use super::network::{Network, NoConnection};
use super::{Request, Response};
use crate::answer_head::UntilHead;
use crate::denied::{Denial, Denials};
use crate::error::{ClientError, ErrorCode};
use crate::request::no_options;
use crate::room::{NoRoom, Room};
use crate::secrets::RunSecrets;

/// Redirects that are followed; the next one is answered as it came.
const REDIRECTS_MAX: u32 = 5;
/// Requests of one attempt, redirects counted as well.
const REQUESTS_MAX: u64 = 1_000;
/// The body of a request.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// What a request has when it does not say.
const TIMEOUT_MS: u64 = 30_000;
const TIMEOUT_MS_MAX: u64 = 120_000;
/// The head of an answer.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Who asks, when the task does not say.
const USER_AGENT: &str = concat!("taskhost/", env!("CARGO_PKG_VERSION"));

/// What one attempt may send, and has sent.
#[derive(Debug)]
pub(crate) struct Outbound {
    network: Network,
    rules: Rules,
    secrets: Arc<RunSecrets>,
    denials: Denials,
    sent: AtomicU64,
}

/// The next thing to send.
#[derive(Debug)]
struct Hop {
    method: Method,
    to: Destination,
    /// The origins of the hops before: what they know of secrets may come along.
    from: Vec<String>,
    headers: Vec<Header>,
    body: Option<Bytes>,
}

enum Answer {
    Whole(Response),
    Elsewhere(StatusCode, Destination),
}

impl Outbound {
    pub(crate) fn new(
        network: Network,
        (asked, allowed): (&Capabilities, &Capabilities),
        denials: Denials,
        used: Usage,
    ) -> Self {
        let names = (asked.secrets.clone(), allowed.secrets.clone());
        let secrets = RunSecrets::new(network.secrets(), names, denials.clone());
        Self {
            network,
            rules: Rules::new(asked, allowed),
            secrets: Arc::new(secrets),
            denials,
            sent: AtomicU64::new(used.http_requests),
        }
    }

    /// How many requests the attempt has sent.
    pub(crate) fn requests(&self) -> u64 {
        self.sent.load(Ordering::Relaxed).min(REQUESTS_MAX)
    }

    pub(crate) fn secrets(&self) -> Arc<RunSecrets> {
        Arc::clone(&self.secrets)
    }

    /// Sends a request, follows where it is redirected, and answers with what came at last.
    pub(super) async fn send(
        &self,
        request: Request,
        room: &Room,
    ) -> Result<Response, ClientError> {
        no_options(request.options.as_deref())?;
        let timeout_ms = request.timeout_ms.unwrap_or(TIMEOUT_MS);
        if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
            let problem = format!("has to be from 1 to {TIMEOUT_MS_MAX}, and is {timeout_ms}");
            return Err(ClientError::invalid("timeout-ms", &problem));
        }
        let hop = Hop::first(request)?;
        let to = hop.to.clone();
        let limit = Duration::from_millis(timeout_ms);
        let answer = tokio::time::timeout(limit, self.follow(hop, room)).await;
        answer.unwrap_or_else(|_| {
            Err(unavailable(
                &to,
                &format!("no answer within {timeout_ms} ms"),
            ))
        })
    }

    async fn follow(&self, mut hop: Hop, room: &Room) -> Result<Response, ClientError> {
        let mut redirects = 0;
        loop {
            let may_follow = redirects < REDIRECTS_MAX;
            match self.exchange(&hop, room, may_follow).await? {
                Answer::Whole(response) => return Ok(response),
                Answer::Elsewhere(status, to) => hop.redirect(status, to),
            }
            redirects += 1;
        }
    }

    async fn exchange(
        &self,
        hop: &Hop,
        room: &Room,
        may_follow: bool,
    ) -> Result<Answer, ClientError> {
        let request = self.permitted(hop)?;
        let _turn = self.network.turn().await;
        let stream = self.network.connect(&hop.to).await;
        let stream = stream.map_err(|why| self.not_connected(&hop.to, why))?;
        let (stream, head) = UntilHead::new(stream);
        let failed = |error| match head.was_too_long() {
            true => endless_head(&hop.to),
            false => broken(&hop.to, &error),
        };
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(failed)?;
            head.is_there();
            if answer.status().is_informational() {
                let why = "it answers as if another protocol had been asked for";
                return Err(unavailable(&hop.to, why));
            }
            match self.elsewhere(hop, &answer, may_follow)? {
                Some(to) => Ok(Answer::Elsewhere(answer.status(), to)),
                None => self.read(hop, answer, room).await.map(Answer::Whole),
            }
        };
        // How the connection ends, the exchange hears as well.
        let carried = async {
            connection.await.ok();
            std::future::pending().await
        };
        tokio::select! {
            answer = exchange => answer,
            never = carried => never,
        }
    }

    /// The request as it goes out, if both sides allow it.
    fn permitted(&self, hop: &Hop) -> Result<hyper::Request<Full<Bytes>>, ClientError> {
        let Hop {
            method,
            to,
            from: _,
            headers,
            body,
        } = hop;
        if let Some(denial) = self.rules.denial(method.as_str(), to, &self.denials) {
            return Err(self.denials.deny(denial));
        }
        let mut parts = hyper::Request::builder()
            .method(method.clone())
            .uri(to.path_and_query())
            .header(header::HOST, to.authority());
        let mut has_secret = false;
        for (name, text) in headers {
            let swapped = self.secrets.swapped(text, &to.origin)?;
            has_secret |= swapped.is_some();
            let value = HeaderValue::from_bytes(swapped.as_deref().unwrap_or(text).as_bytes());
            let mut value = value.map_err(|_| not_sendable("a header"))?;
            value.set_sensitive(swapped.is_some());
            parts = parts.header(name, value);
        }
        if let Some(headers) = parts.headers_mut() {
            complete(headers, has_secret);
        }
        // Counted once nothing but the network can keep it from being sent.
        if self.sent.fetch_add(1, Ordering::Relaxed) >= REQUESTS_MAX {
            let message = format!(
                "the attempt has sent {REQUESTS_MAX} requests, redirects included, which is the \
                 limit: ask for more at once, or go on in another run"
            );
            return Err(ClientError::new(ErrorCode::QuotaExceeded, message));
        }
        let body = Full::new(body.clone().unwrap_or_default());
        parts.body(body).map_err(|_| not_sendable("the URL"))
    }

    /// Where the answer sends us, if it does and may.
    fn elsewhere(
        &self,
        hop: &Hop,
        answer: &hyper::Response<Incoming>,
        may_follow: bool,
    ) -> Result<Option<Destination>, ClientError> {
        let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        if !is_redirect || !may_follow {
            return Ok(None);
        }
        let location = answer.headers().get(header::LOCATION);
        let location = location.and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        if location.is_some_and(|location| self.shows_secret(hop, location.as_bytes())) {
            let from = hop.to.shown();
            let message = format!(
                "{from} redirects to a URL that has a secret of this task in it, which is not \
                 followed: the secret would stand in logs, and go to wherever that leads"
            );
            return Err(self.denials.deny(Denial::new(message)));
        }
        match location.and_then(|location| hop.to.then(location)) {
            None => Ok(None),
            Some(Ok(to)) => Ok(Some(to)),
            Some(Err(problem)) => {
                let from = hop.to.shown();
                let message = format!("{from} redirects to a URL that {problem}");
                Err(self.denials.deny(Denial::new(message)))
            }
        }
    }

    async fn read(
        &self,
        hop: &Hop,
        answer: hyper::Response<Incoming>,
        room: &Room,
    ) -> Result<Response, ClientError> {
        let (head, mut incoming) = answer.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| broken(&hop.to, &error))?;
            // Trailers are not for the task.
            if let Ok(part) = frame.into_data() {
                room.take(part.len()).map_err(no_room)?;
                body.extend_from_slice(&part);
            }
        }
        self.mask(hop, &mut body);
        let headers = head.headers.iter().map(|(name, value)| {
            (
                self.text(hop, name.as_str().as_bytes()),
                self.text(hop, value.as_bytes()),
            )
        });
        Ok(Response {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body,
            url: self.text(hop, hop.to.text().as_bytes()),
        })
    }

    /// Masks secrets in what comes from somebody who may know them. Elsewhere it would only tell a
    /// guest which of its guesses is one.
    fn mask(&self, hop: &Hop, bytes: &mut [u8]) {
        self.secrets.mask(bytes, |origins| hop.may_know(origins));
    }

    fn shows_secret(&self, hop: &Hop, bytes: &[u8]) -> bool {
        let mut masked = bytes.to_owned();
        self.mask(hop, &mut masked);
        masked != bytes
    }

    /// With secrets masked.
    fn text(&self, hop: &Hop, bytes: &[u8]) -> String {
        let mut bytes = bytes.to_owned();
        self.mask(hop, &mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn not_connected(&self, to: &Destination, why: NoConnection) -> ClientError {
        match why {
            NoConnection::Failed(why) => unavailable(to, &why),
            NoConnection::Refused { address, what } => {
                let message = format!("{} leads to {what}, which is not public", to.origin);
                // Whoever opens that knows why; nobody is told to.
                if what == METADATA {
                    return self.denials.deny(Denial::new(message));
                }
                // What address that is concerns the operator alone.
                let setting = format!(
                    "[outbound]\nopen_networks = [\"{}\"] # beside those that stand there",
                    range_of(address)
                );
                self.denials.deny(Denial::not_allowed(&message, setting))
            }
        }
    }
}

impl Hop {
    fn first(request: Request) -> Result<Self, ClientError> {
        let Request {
            method,
            url,
            headers,
            body,
            timeout_ms: _,
            options: _,
        } = request;
        let method = checked_method(&method)?;
        let to = Destination::parse(&url)?;
        let headers = headers::checked(headers)?;
        let size = body.as_ref().map_or(0, Vec::len);
        if size > BODY_BYTES_MAX {
            let most = BODY_BYTES_MAX as u64;
            return Err(ClientError::too_large("the body", size, "bytes", most));
        }
        let misplaced = |field, text: &[u8]| match RunSecrets::has_placeholder(text) {
            true => Err(ClientError::invalid(
                field,
                "has a placeholder of a secret, which is replaced in the values of headers alone",
            )),
            false => Ok(()),
        };
        misplaced("url", to.text().as_bytes())?;
        misplaced("body", body.as_deref().unwrap_or_default())?;
        Ok(Self {
            method,
            to,
            from: Vec::new(),
            headers,
            body: body.map(Bytes::from),
        })
    }

    /// As the Fetch standard has it.
    fn redirect(&mut self, status: StatusCode, to: Destination) {
        let becomes_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::GET && self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = None;
            headers::keep_without_body(&mut self.headers);
        }
        if to.origin != self.to.origin {
            headers::keep_for_another_origin(&mut self.headers);
        }
        let from = std::mem::replace(&mut self.to, to);
        self.from.push(from.origin);
    }

    /// Whether somebody who may know a secret with these origins has a hand in the answer.
    fn may_know(&self, origins: &[String]) -> bool {
        origins.contains(&self.to.origin) || origins.iter().any(|it| self.from.contains(it))
    }
}

/// What a request has beside what the task has set.
fn complete(headers: &mut hyper::HeaderMap, has_secret: bool) {
    let plain = HeaderValue::from_static("identity");
    if has_secret {
        // What is compressed cannot be masked.
        headers.insert(header::ACCEPT_ENCODING, plain);
    }
    let agent = HeaderValue::from_static(USER_AGENT);
    headers.entry(header::USER_AGENT).or_insert(agent);
    // The connection is for this request alone.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
}

fn checked_method(text: &str) -> Result<Method, ClientError> {
    let is_method = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase());
    // One makes a tunnel of the connection, the other tells what was sent.
    let is_known = is_method && !matches!(text, "CONNECT" | "TRACE");
    let method = is_known.then(|| Method::from_bytes(text.as_bytes()).ok());
    method.flatten().ok_or_else(|| {
        let problem = "is no method in upper case, or one that a task may not use (CONNECT, TRACE)";
        ClientError::invalid("method", problem)
    })
}

fn unavailable(to: &Destination, why: &str) -> ClientError {
    let message = format!("{}: {why}", to.shown());
    ClientError {
        retryable: true,
        ..ClientError::new(ErrorCode::Unavailable, message)
    }
}

/// Interim answers without an end, or a head that goes on for ever.
fn endless_head(to: &Destination) -> ClientError {
    let message = format!("{}: the head of the answer does not end", to.shown());
    ClientError::new(ErrorCode::TooLarge, message)
}

/// The connection broke, or what came over it is not HTTP.
fn broken(to: &Destination, error: &hyper::Error) -> ClientError {
    if error.is_parse_too_large() {
        let message = format!(
            "{}: the head of the answer is larger than {HEAD_BYTES_MAX} bytes, or has more than \
             100 headers",
            to.shown()
        );
        return ClientError::new(ErrorCode::TooLarge, message);
    }
    let cause = error
        .source()
        .map_or_else(String::new, |cause| format!(": {cause}"));
    unavailable(to, &format!("{error}{cause}"))
}

fn no_room(why: NoRoom) -> ClientError {
    match why {
        NoRoom::OfAll(error) => error,
        NoRoom::OfCall(bytes_max) => {
            let message = format!(
                "the answer is too large: a call may bring {bytes_max} bytes, a quarter of the \
                 run's memory limit and 8 MiB at most"
            );
            ClientError::new(ErrorCode::TooLarge, message)
        }
    }
}

fn not_sendable(what: &str) -> ClientError {
    ClientError::new(
        ErrorCode::Invalid,
        format!("{what} cannot be sent over HTTP"),
    )
}
