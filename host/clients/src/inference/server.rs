//! Servers that speak the protocol of OpenAI, as far as posting JSON and judging the status goes.
//!
//! # Why this way
//! `async-openai` (0.43) reads answers of any length into memory, says of a refused request neither
//! `retry-after` nor any other header, writes what a failing server sends to the log, and refuses
//! answers that are not OpenAI's own to the letter. What is left of it is one POST.
//!
//! A connection for each request: dropping it is all that giving up needs, and next to what a model
//! takes to answer, a connection costs nothing.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::connectors::Key;
use crate::answer_head::UntilHead;
use crate::error::ClientError;
use crate::lookups::Lookups;
use crate::room::{NoRoom, Room};

/// Of an answer that is an error: a sentence is wanted, and no page.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Of an answer's status and headers.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// For a connection alone; the connector's own limit holds for all of a request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A pause beyond it is a mistake.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A shorter key could stand in an answer by chance.
const MASKED_BYTES_MIN: usize = 8;

/// Who answers for a model: a server over HTTP, or in tests of a task type a script.
#[async_trait]
pub trait ModelServer: Debug + Send + Sync {
    /// Posts JSON to `path` below the server's base address, `chat/completions` for one.
    /// When it is dropped, the request is given up.
    ///
    /// # Errors
    /// [`NoReply`].
    async fn post(
        &self,
        path: &'static str,
        body: String,
        timeout: Duration,
        room: &Room,
    ) -> Result<Reply, NoReply>;

    /// The settings that are to be looked at, of the address and of the key: an operator's words.
    fn settings(&self) -> (String, String);
}

/// What a server answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status of HTTP.
    pub status: u16,
    /// The pause that it wants.
    pub retry_after: Option<Duration>,
    /// Of a failure only its beginning.
    pub body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoReply {
    /// No connection; in the words of an operator.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The connection broke off; in the words of an operator.
    #[error("the connection broke off: {0}")]
    Broken(String),
    /// It took longer than it may.
    #[error("no answer in time")]
    Late,
    /// The answer is larger than the room for it.
    #[error("the answer is too large")]
    TooLarge,
    /// All runs together have no memory for it.
    #[error("{}", .0.message)]
    NoMemory(ClientError),
}

impl From<NoRoom> for NoReply {
    fn from(why: NoRoom) -> Self {
        match why {
            NoRoom::OfCall(_) => Self::TooLarge,
            NoRoom::OfAll(error) => Self::NoMemory(error),
        }
    }
}

/// A server over HTTP, at whatever address its operator wrote.
pub struct HttpServer {
    /// Where it encrypts.
    tls: Option<TlsConnector>,
    base: Url,
    lookups: Lookups,
    key: Option<Key>,
    authorization: Option<HeaderValue>,
    setting: String,
}

impl HttpServer {
    /// A server below `base`. `setting`: where the address is from, for an operator.
    ///
    /// # Errors
    /// In words, of the key or the system.
    pub fn new(base: Url, key: Option<Key>, setting: String) -> Result<Self, String> {
        let bearer = |key: &Key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.secret))
                .map_err(|_| "the key has characters that no header can have".to_owned())?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        };
        let authorization = key.as_ref().map(bearer).transpose()?;
        let tls = match base.scheme() {
            "https" => Some(TlsConnector::from(Arc::new(crate::tls::config()?))),
            _ => None,
        };
        Ok(Self {
            tls,
            base,
            lookups: Lookups::default(),
            key,
            authorization,
            setting,
        })
    }

    /// Where a path below the base address is.
    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.base.path().trim_end_matches('/'))
    }

    fn request(&self, path: &str, body: String) -> Result<Request<Full<Bytes>>, NoReply> {
        let mut request = Request::post(self.path(path))
            .header(HOST, self.base.authority())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("taskhost/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let request = request.body(Full::new(Bytes::from(body)));
        request.map_err(|error| NoReply::Unreachable(error.to_string()))
    }

    async fn connected(&self) -> Result<TcpStream, NoReply> {
        let port = self.base.port_or_known_default().unwrap_or_default();
        let connecting = async {
            match self.base.host() {
                Some(Host::Domain(name)) => {
                    let found = self.lookups.addresses(name).await?;
                    let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, port));
                    TcpStream::connect(addresses.collect::<Vec<_>>().as_slice()).await
                }
                Some(Host::Ipv4(address)) => TcpStream::connect((address, port)).await,
                Some(Host::Ipv6(address)) => TcpStream::connect((address, port)).await,
                None => Err(std::io::ErrorKind::AddrNotAvailable.into()),
            }
        };
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let stream = connected.map_err(|error| NoReply::Unreachable(error.to_string()))?;
        stream.set_nodelay(true).ok();
        Ok(stream)
    }

    async fn encrypted(
        &self,
        tls: &TlsConnector,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, NoReply> {
        let name = match self.base.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
            Some(Host::Ipv4(address)) => Some(ServerName::from(std::net::IpAddr::from(address))),
            Some(Host::Ipv6(address)) => Some(ServerName::from(std::net::IpAddr::from(address))),
            None => None,
        };
        let unreachable = |why: &str| NoReply::Unreachable(format!("TLS: {why}"));
        let name = name.ok_or_else(|| unreachable("no certificate can have this name"))?;
        let encrypting = tokio::time::timeout(CONNECT_TIMEOUT, tls.connect(name, stream)).await;
        let encrypted = encrypting.map_err(|_| unreachable("no answer in time"))?;
        encrypted.map_err(|error| unreachable(&error.to_string()))
    }

    /// Sends a request and reads its answer.
    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
        room: &Room,
    ) -> Result<Reply, NoReply> {
        let (stream, head) = UntilHead::new(stream);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        let exchange = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| broken(&error))?;
            head.is_there();
            let status = answer.status();
            let retry_after = retry_after(answer.headers(), SystemTime::now());
            let body = if status.is_success() {
                body_of(answer, room).await?
            } else {
                beginning_of(answer).await
            };
            Ok(Reply {
                status: status.as_u16(),
                retry_after,
                body: self.masked(body),
            })
        };
        // How the connection ends, the exchange hears as well.
        let carried = async {
            connection.await.ok();
            std::future::pending().await
        };
        tokio::select! {
            reply = exchange => reply,
            never = carried => never,
        }
    }

    /// Whatever comes back never has the key in it.
    fn masked(&self, body: Vec<u8>) -> Vec<u8> {
        let secret = self.key.as_ref().map(|key| &*key.secret);
        let Some(secret) = secret.filter(|secret| secret.len() >= MASKED_BYTES_MIN) else {
            return body;
        };
        let is_in = memchr::memmem::find(&body, secret.as_bytes()).is_some();
        match is_in {
            true => String::from_utf8_lossy(&body)
                .replace(secret, "***")
                .into_bytes(),
            false => body,
        }
    }
}

impl Debug for HttpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpServer({}, {:?})", self.base, self.key)
    }
}

#[async_trait]
impl ModelServer for HttpServer {
    async fn post(
        &self,
        path: &'static str,
        body: String,
        timeout: Duration,
        room: &Room,
    ) -> Result<Reply, NoReply> {
        let request = self.request(path, body)?;
        let whole = async {
            let stream = self.connected().await?;
            match &self.tls {
                None => self.exchange(stream, request, room).await,
                Some(tls) => {
                    let stream = self.encrypted(tls, stream).await?;
                    self.exchange(stream, request, room).await
                }
            }
        };
        let reply = tokio::time::timeout(timeout, whole).await;
        reply.unwrap_or(Err(NoReply::Late))
    }

    fn settings(&self) -> (String, String) {
        let key = match &self.key {
            Some(key) => key.setting.clone(),
            None => "`key_env` and `key_file` are not set".to_owned(),
        };
        (self.setting.clone(), key)
    }
}

async fn body_of(answer: Response<Incoming>, room: &Room) -> Result<Vec<u8>, NoReply> {
    let (mut parts, mut body) = (answer.into_body(), Vec::new());
    while let Some(part) = parts.frame().await {
        let part = part.map_err(|error| broken(&error))?;
        let Ok(part) = part.into_data() else { continue };
        room.take(part.len())?;
        body.extend_from_slice(&part);
    }
    Ok(body)
}

async fn beginning_of(answer: Response<Incoming>) -> Vec<u8> {
    let (mut parts, mut body) = (answer.into_body(), Vec::new());
    while let Some(Ok(part)) = parts.frame().await {
        let Ok(part) = part.into_data() else { continue };
        let left = ERROR_BYTES_MAX - body.len();
        body.extend_from_slice(&part[..part.len().min(left)]);
        if part.len() >= left {
            break;
        }
    }
    body
}

fn broken(error: &hyper::Error) -> NoReply {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    NoReply::Broken(cause.to_string())
}

/// The pause that an answer asks for: in milliseconds, seconds, or until a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |value: &HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    let ms = headers.get("retry-after-ms").and_then(text);
    let ms = ms
        .and_then(|text| text.parse().ok())
        .map(Duration::from_millis);
    let after = || {
        let text = headers.get(RETRY_AFTER).and_then(text)?;
        match text.parse() {
            Ok(seconds) => Some(Duration::from_secs(seconds)),
            Err(_) => {
                let date = httpdate::parse_http_date(&text).ok()?;
                Some(date.duration_since(now).unwrap_or_default())
            }
        }
    };
    ms.or_else(after).map(|pause| pause.min(PAUSE_MAX))
}

/// Whether a status is a success.
pub(crate) fn is_success(status: u16) -> bool {
    StatusCode::from_u16(status).is_ok_and(|status| status.is_success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(base: &str) -> HttpServer {
        let key = Key::new("sk-very-secret", "key_env = \"K\"");
        HttpServer::new(Url::parse(base).unwrap(), Some(key), "url".to_owned()).unwrap()
    }

    #[test]
    fn paths_go_below_the_base_address() {
        for base in ["http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1/"] {
            let request = server(base).request("chat/completions", String::new());
            let request = request.unwrap();
            assert_eq!(request.uri(), "/v1/chat/completions");
            assert_eq!(request.headers()["host"], "127.0.0.1:1");
        }
        assert_eq!(server("http://a.example").path("embeddings"), "/embeddings");
    }

    #[test]
    fn nobody_prints_the_key() {
        let server = server("http://127.0.0.1:1/v1");
        let printed = format!("{server:?} {:#?}", server.settings());
        assert!(!printed.contains("very-secret"), "{printed}");
        let masked = server.masked(b"{\"a\":\"sk-very-secret!\"}".to_vec());
        assert_eq!(masked, b"{\"a\":\"***!\"}");
        assert_eq!(server.masked(b"other".to_vec()), b"other");
    }

    #[test]
    fn a_pause_is_read_in_each_of_its_forms() {
        let now = httpdate::parse_http_date("Fri, 27 Nov 2026 10:00:00 GMT").unwrap();
        let pause = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            retry_after(&headers, now).map(|pause| pause.as_millis())
        };
        for (name, value, ms) in [
            ("retry-after", "2", Some(2_000)),
            ("retry-after", " 0 ", Some(0)),
            ("retry-after", "Fri, 27 Nov 2026 10:00:07 GMT", Some(7_000)),
            ("retry-after", "Fri, 27 Nov 2026 09:00:00 GMT", Some(0)),
            ("retry-after", "999999999", Some(86_400_000)),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
            ("retry-after-ms", "250", Some(250)),
            ("x-else", "2", None),
        ] {
            assert_eq!(pause(name, value), ms, "{name}: {value}");
        }
    }
}
