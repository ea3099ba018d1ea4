//! Speaks to a host over HTTP, as any other client would.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use taskhost_model::ids::Space;

use super::failure::{Exit, Failure};
use super::{credential, text};
use crate::settings::is_here;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How a client reaches its host; every client command takes these.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// Address of the host.
    #[arg(long, env = "TASKHOST_URL", default_value = "http://127.0.0.1:7700")]
    pub url: String,
    /// The space to work in.
    #[arg(long, default_value = "default")]
    pub space: Space,
    /// Print JSON, as the host answers it.
    #[arg(long)]
    pub json: bool,
    /// File with a token, of the host or of Elasticsearch, for a host that has people. Without it
    /// come TASKHOST_TOKEN; or TASKHOST_API_KEY, as Elasticsearch encodes it; or TASKHOST_USERNAME
    /// and TASKHOST_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// A host that is spoken to. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: Url,
    space: Space,
    /// Goes with every request.
    credential: Option<HeaderValue>,
}

impl Client {
    pub(crate) fn new(target: &Target) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::wrong_use(format!("`{}` {why}", target.url));
        let url: Url = target.url.parse().map_err(|_| {
            wrong("is no address of a host: it looks like http://127.0.0.1:7700".to_owned())
        })?;
        if url.scheme() != "http" || url.host_str().is_none() {
            return Err(wrong(
                "has to begin with http:// and name a host".to_owned(),
            ));
        }
        // What a proxy would make of loopback is never this machine.
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .build();
        let http = http.map_err(|error| Failure::failed(error.to_string()))?;
        let token_file = target.token_file.as_deref();
        let credential = credential::of(token_file, &|name| std::env::var_os(name))?;
        if credential.is_some() && !is_here(&url) {
            let shown = text::shown(url.as_str());
            eprintln!(
                "warning: the credential goes to {shown} unencrypted: `ssh -L` would hide it"
            );
        }
        Ok(Self {
            http,
            url,
            space: target.space.clone(),
            credential,
        })
    }

    /// A request; the parts of the path are escaped.
    pub(crate) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.http.request(method, url);
        match &self.credential {
            Some(credential) => request.header(AUTHORIZATION, credential.clone()),
            None => request,
        }
    }

    /// A request below the space.
    pub(crate) fn in_space(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut whole = vec!["v1", "spaces", self.space.as_str()];
        whole.extend(path);
        self.request(method, &whole)
    }

    /// Sends a request; a failure to reach the host is told apart from everything else.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))
    }

    /// Sends a request and reads its answer as JSON; a problem document is a failure.
    pub(crate) async fn call(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let (status, value) = self.answer(request).await?;
        if status.is_success() {
            Ok(value)
        } else {
            Err(Failure::of_problem(&value))
        }
    }

    /// Sends a request and reads its answer as JSON, whatever its status.
    pub(crate) async fn answer(
        &self,
        request: RequestBuilder,
    ) -> Result<(StatusCode, Value), Failure> {
        let (status, bytes) = self.body(request).await?;
        if bytes.is_empty() {
            return Ok((status, Value::Null));
        }
        let value = serde_json::from_slice(&bytes).map_err(|_| self.no_taskhost(status))?;
        Ok((status, value))
    }

    /// Sends a request and reads its answer as JSON values one after the other; a problem document
    /// is one.
    pub(crate) async fn lines(
        &self,
        request: RequestBuilder,
    ) -> Result<(StatusCode, Vec<Value>), Failure> {
        let (status, bytes) = self.body(request).await?;
        let values = serde_json::Deserializer::from_slice(&bytes).into_iter();
        let values = values.collect::<Result<_, _>>();
        Ok((status, values.map_err(|_| self.no_taskhost(status))?))
    }

    async fn body(&self, request: RequestBuilder) -> Result<(StatusCode, Bytes), Failure> {
        let response = self.send(request).await?;
        let status = response.status();
        let bytes = response.bytes().await;
        Ok((status, bytes.map_err(|error| self.unreachable(&error))?))
    }

    fn no_taskhost(&self, status: StatusCode) -> Failure {
        let message = format!(
            "{} does not answer as a taskhost would ({status}, no JSON): check --url",
            self.url
        );
        Failure::new(Exit::Unreachable, message)
    }

    /// For a host that answers, and says that it starts or stops.
    pub(crate) fn not_ready(&self) -> Failure {
        Failure::unreachable(self.shown_url(), "it is starting or stopping")
    }

    fn shown_url(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// For an answer that has begun and does not end: the host was reached.
    pub(crate) fn broken_off(&self, what: &str, error: &reqwest::Error) -> Failure {
        let why = innermost(error);
        Failure::failed(format!(
            "{what} broke off: {why}. The host has ended, or its log says why: try again"
        ))
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> Failure {
        Failure::unreachable(self.shown_url(), innermost(error))
    }
}

/// The last cause: what the system said.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str) -> Result<Client, Failure> {
        let space = Space::parse("default").unwrap();
        Client::new(&Target {
            url: url.to_owned(),
            space,
            json: false,
            token_file: None,
        })
    }

    #[test]
    fn paths_are_escaped_below_the_address() {
        let client = client("http://127.0.0.1:7700/behind/").unwrap();
        let request = client
            .in_space(Method::GET, &["tasks", "a/b c"])
            .build()
            .unwrap();
        assert_eq!(
            request.url().as_str(),
            "http://127.0.0.1:7700/behind/v1/spaces/default/tasks/a%2Fb%20c"
        );
    }

    #[test]
    fn an_address_that_is_none_is_wrong_use() {
        for url in ["", "127.0.0.1:7700", "localhost", "ftp://x", "http://"] {
            assert_eq!(client(url).unwrap_err().exit, Exit::WrongUse, "{url}");
        }
    }
}
