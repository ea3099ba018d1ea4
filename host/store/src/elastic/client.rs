//! The connection to Elasticsearch, over its official client: requests, and what their answers
//! mean.
//!
//! # Guarantees
//! 1. What is refused for the moment (429, 502, 503, 504, no connection) is tried again, with
//!    growing pauses, for [`Settings::retry_for`] at most; then [`StoreError::Unavailable`].
//! 2. No secret stands in an error or in what `Debug` shows.
//!
//! # What a repeated request means
//! A connection may be cut after the request was carried out. So every write that is sent from
//! here must be one that may be repeated: compare-and-set, a document under an id of its own, a
//! deletion. Whoever is told of a conflict looks whether his own write is there.

mod request;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use elasticsearch::auth::Credentials as ClientCredentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Url;
use elasticsearch::http::headers::HeaderMap;
use elasticsearch::http::transport::{MultiNodeConnectionPool, Transport, TransportBuilder};
use rand::RngExt;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::telemetry;
pub(crate) use request::{Answer, Authorization, Cause, Request};

/// The first pause before a request is repeated; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Where Elasticsearch is, and who the host is to it.
#[derive(Clone)]
pub struct Settings {
    /// Addresses of its nodes, `http://` or `https://`; asked in turns.
    pub urls: Vec<String>,
    /// As whom the host reads and writes what is its own.
    pub credentials: Credentials,
    /// Certificates (PEM) of authorities to trust besides those of the system.
    pub authority: Option<Vec<u8>>,
    /// After so long without an answer a request has failed.
    pub request_timeout: Duration,
    /// So long a request that is refused for the moment is repeated.
    pub retry_for: Duration,
}

impl Settings {
    /// One node, and the usual times.
    #[must_use]
    pub fn new(url: &str, credentials: Credentials) -> Self {
        Self {
            urls: vec![url.to_owned()],
            credentials,
            authority: None,
            request_timeout: Duration::from_secs(30),
            retry_for: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.urls.iter().map(|url| without_user(url)).collect();
        f.debug_struct("Settings")
            .field("urls", &urls)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Who somebody is to Elasticsearch.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A user's name and password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// An API key as Elasticsearch encodes it: base64 of `id:key`.
    ApiKey(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(f, "Basic({username}, …)"),
            Self::ApiKey(_) => f.write_str("ApiKey(…)"),
        }
    }
}

/// The connection.
#[derive(Clone)]
pub(crate) struct Client {
    transport: Transport,
    request_timeout: Duration,
    retry_for: Duration,
    sent: Arc<Mutex<Sent>>,
}

/// How many requests were sent of each kind, as [`Request::kind`] names it.
pub(crate) type Sent = BTreeMap<&'static str, u64>;

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The transport would show its credentials.
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Connects when it is first asked something.
    pub(crate) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let urls: Result<Vec<Url>, StoreError> =
            settings.urls.iter().map(|url| address(url)).collect();
        let urls = urls?;
        if urls.is_empty() {
            return Err(unavailable("no address of Elasticsearch was given"));
        }
        let credentials = match settings.credentials.clone() {
            Credentials::Basic { username, password } => {
                ClientCredentials::Basic(username, password)
            }
            Credentials::ApiKey(encoded) => ClientCredentials::EncodedApiKey(encoded),
        };
        // The crate's own pool of one address is the same with less to choose from.
        let pool = MultiNodeConnectionPool::round_robin(urls, None);
        let mut builder = TransportBuilder::new(pool)
            .disable_proxy()
            .auth(credentials);
        if let Some(pem) = &settings.authority {
            let trusted = Certificate::from_pem(pem)
                .map_err(|_| unavailable("the certificates of the authority are not PEM"))?;
            builder = builder.cert_validation(CertificateValidation::Full(trusted));
        }
        let transport = builder
            .build()
            .map_err(|error| unavailable(&chain(&error)))?;
        Ok(Self {
            transport,
            request_timeout: settings.request_timeout,
            retry_for: settings.retry_for,
            sent: Arc::default(),
        })
    }

    /// How many requests were sent of each kind, repeated ones among them.
    pub(crate) fn sent(&self) -> Sent {
        self.counts().clone()
    }

    fn counts(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request until it has an answer that is not for the moment alone; whatever its
    /// status is then.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, StoreError> {
        let until = Instant::now() + request.retry_for.unwrap_or(self.retry_for);
        let mut pause = PAUSE_MIN;
        let mut repeated = false;
        loop {
            let failure = match self.send_once(request).await {
                Ok(mut answer) if !answer.is_for_the_moment() => {
                    answer.repeated = repeated;
                    return Ok(answer);
                }
                Ok(answer) => answer.error(),
                Err(failure) => failure,
            };
            let wait = jittered(pause);
            if Instant::now() + wait >= until {
                return Err(failure);
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(PAUSE_MAX);
            repeated = true;
        }
    }

    /// As [`Self::send`], in somebody's name. While Elasticsearch starts it knows nobody, and says
    /// so of everybody: that it does not know somebody counts where it knows the host, and still
    /// says so then.
    pub(crate) async fn send_by(&self, request: &Request) -> Result<Answer, StoreError> {
        let answer = self.send(request).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let own = Request::get("_security/_authenticate").retried_for(Duration::ZERO);
        if self.send(&own).await?.status != 200 {
            return Err(unavailable(
                "Elasticsearch knows nobody for the moment, the host neither: it may be starting",
            ));
        }
        self.send(request).await
    }

    /// As [`Self::send`], for an answer with one of these statuses; any other is an error.
    pub(crate) async fn expect(
        &self,
        request: &Request,
        statuses: &[u16],
    ) -> Result<Answer, StoreError> {
        let answer = self.send(request).await?;
        if statuses.contains(&answer.status) {
            Ok(answer)
        } else {
            Err(answer.error())
        }
    }

    async fn send_once(&self, request: &Request) -> Result<Answer, StoreError> {
        telemetry::measured(request.kind(), self.exchange(request)).await
    }

    async fn exchange(&self, request: &Request) -> Result<Answer, StoreError> {
        *self.counts().entry(request.kind()).or_default() += 1;
        let headers: HeaderMap = request.headers();
        let timeout = request.timeout.unwrap_or(self.request_timeout);
        let sent = self.transport.send(
            request.method,
            &request.path,
            headers,
            request.query(),
            request.body.clone(),
            Some(timeout),
        );
        let response = sent.await.map_err(|error| unavailable(&chain(&error)))?;
        let status = response.status_code().as_u16();
        let body = response.bytes().await;
        let body = body.map_err(|error| unavailable(&chain(&error)))?;
        Ok(Answer {
            status,
            body,
            repeated: false,
        })
    }
}

/// Some of a pause: callers that were refused together do not come back together.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.5..1.0))
}

fn address(text: &str) -> Result<Url, StoreError> {
    let wrong = |why: &str| {
        let shown = without_user(text);
        unavailable(&format!("the address of Elasticsearch, {shown}, {why}"))
    };
    let mut url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("is not one of http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // It would stand in every error that names the address.
        return Err(wrong(
            "has a user in it: give user and password apart from it",
        ));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// The address without what may be a password in it.
fn without_user(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}…{}", &url[..scheme + 3], &url[at..])
        }
        (None, Some(at)) => format!("…{}", &url[at..]),
        _ => url.to_owned(),
    }
}

pub(super) fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable {
        reason: reason.to_owned(),
    }
}

/// An error with its causes: the first alone says little more than that there was one.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = format!("Elasticsearch: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let basic = Credentials::Basic {
            username: "host".to_owned(),
            password: "s3cret".to_owned(),
        };
        for credentials in [basic, Credentials::ApiKey("s3cret".to_owned())] {
            let mut settings = Settings::new("http://127.0.0.1:1", credentials);
            let client = Client::new(&settings).unwrap();
            assert!(!format!("{client:?} {settings:?}").contains("s3cret"));
            settings.urls = vec!["http://somebody:s3cret@127.0.0.1:1".to_owned()];
            let refused = Client::new(&settings).unwrap_err();
            assert!(!format!("{refused} {refused:?} {settings:?}").contains("s3cret"));
        }
        let authorization = Authorization::new("Bearer s3cret").unwrap();
        let request = Request::get("_search").by(&authorization);
        assert!(!format!("{authorization:?} {request:?}").contains("s3cret"));
    }

    #[test]
    fn an_address_is_a_folder_of_http() {
        assert_eq!(address("http://a:1").unwrap().as_str(), "http://a:1/");
        assert_eq!(address("https://a/es").unwrap().as_str(), "https://a/es/");
        for bad in ["", "a:1", "ftp://a", "http://", "http://u@a"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_said_after_a_bounded_time() {
        let credentials = Credentials::ApiKey("eDp5".to_owned());
        // Port 1 has nobody who listens.
        let mut settings = Settings::new("http://127.0.0.1:1", credentials);
        settings.retry_for = Duration::from_millis(100);
        let client = Client::new(&settings).unwrap();
        let begun = Instant::now();
        let failed = client.send(&Request::get("_search")).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
