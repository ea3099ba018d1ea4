//! Requests to the outside.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::http;
use crate::error::Error;
use crate::json::{answer, encode};

/// Requests to the outside, to origins that the descriptor asks for
/// ([`Descriptor::http`](crate::Descriptor::http)) and the operator allows. Reached as
/// `clients.http`.
///
/// A connection is made for each request; redirects are followed five times, each checked as the
/// first address was. To another origin go `accept`, `accept-encoding`, `accept-language`,
/// `content-type` and `user-agent`, and no other header. An attempt may send 1,000 requests.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// use taskhost_sdk::HttpRequest;
///
/// let key = clients.secrets.placeholder("api-key")?;
/// let request = HttpRequest::post("https://api.example.org/v1/search")
///     .header("authorization", format!("Bearer {key}"))
///     .json(&serde_json::json!({"q": "taskhost"}))?;
/// let response = clients.http.send(request)?.ok()?;
/// let found: serde_json::Value = response.json()?;
/// taskhost_sdk::info!("{} bytes, {found}", response.body().len());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Http;

impl Http {
    /// Sends a request. An answer with any status is an answer; [`HttpResponse::ok`] makes errors
    /// of those above 299.
    ///
    /// # Errors
    /// `denied` (the descriptor does not ask for it, the operator does not allow it, or the name
    /// leads to an address that is not public), `invalid`, `too-large`, `quota-exceeded`,
    /// `canceled`, `deadline`, `unavailable` (retryable).
    pub fn send(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        ask_host("http.send");
        let HttpRequest(request) = request;
        Ok(HttpResponse(http::send(&request)?))
    }

    /// Sends up to 64 requests, several at once, and answers in order, each for itself. Their
    /// answers together may be as large as one.
    ///
    /// # Errors
    /// `denied` from `describe`, `too-large`, `canceled`, `deadline`; each answer as in
    /// [`Self::send`].
    pub fn send_many(
        &self,
        requests: Vec<HttpRequest>,
    ) -> Result<Vec<Result<HttpResponse, Error>>, Error> {
        ask_host("http.send_many");
        let requests: Vec<_> = requests.into_iter().map(|request| request.0).collect();
        let answers = http::send_many(&requests)?;
        let each = answers.into_iter();
        Ok(each.map(|one| Ok(HttpResponse(one?))).collect())
    }
}

/// What to send.
///
/// ```
/// use std::time::Duration;
/// use taskhost_sdk::HttpRequest;
///
/// let request = HttpRequest::new("PUT", "https://api.example.org/v1/things/7")
///     .header("content-type", "text/plain")
///     .body("seven")
///     .timeout(Duration::from_secs(5));
/// assert_eq!(request.method(), "PUT");
/// assert_eq!(request.url(), "https://api.example.org/v1/things/7");
/// ```
#[derive(Debug, Clone)]
pub struct HttpRequest(http::Request);

impl HttpRequest {
    /// `method` in upper case; `url` absolute, without user and password.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self(http::Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout_ms: None,
            options: None,
        })
    }

    /// `GET`
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// `POST`
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header; at most 100, 32 KiB in all. `host`, `content-length` and the headers of one
    /// connection are the host's. A value may hold placeholders of secrets.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// The body; at most 1 MiB.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = Some(body.into());
        self
    }

    /// A body of JSON, and the header that says so.
    ///
    /// # Errors
    /// `not-json` where the value cannot be JSON.
    pub fn json(self, value: &impl Serialize) -> Result<Self, Error> {
        let text = encode(value, "the body")?;
        let request = self.header("content-type", "application/json");
        Ok(request.body(text))
    }

    /// How long it may take, redirects included; 30 s by default, at most 120 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.timeout_ms = Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// As it was given.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// As it was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }
}

/// What came back. Secrets of the run are overwritten with `*` in it.
#[derive(Debug, Clone)]
pub struct HttpResponse(http::Response);

impl HttpResponse {
    /// `200` and so on.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The first header of that name, which is in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.0.headers.iter();
        let found = headers.find(|(of, _)| of.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// All headers, their names in lower case.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    /// Where it came from, after redirects.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let details: serde_json::Value = serde_json::from_str(self.0.details.as_ref()?).ok()?;
        Some(details.get("url")?.as_str()?.to_owned())
    }

    /// As it came: nothing is decompressed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.0.body
    }

    /// The body as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `unexpected-answer` where it is not a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        answer(&self.text(), "the answer")
    }

    /// The answer, unless its status says that it is none that was wanted.
    ///
    /// # Errors
    /// `http-status` for all but `2xx`, with `{"status": …}`; retryable for `429` and `5xx`, which
    /// may go away, and after the seconds that the server wants.
    pub fn ok(self) -> Result<Self, Error> {
        let status = self.status();
        if (200..300).contains(&status) {
            return Ok(self);
        }
        let error = Error::failed("http-status", format!("the server answered with {status}"))
            .with_details(serde_json::json!({"status": status}));
        if status != 429 && status < 500 {
            return Err(error);
        }
        let seconds = self
            .header("retry-after")
            .and_then(|text| text.parse::<u64>().ok());
        Err(match seconds {
            Some(seconds) => error
                .retryable()
                .retry_after_ms(seconds.saturating_mul(1000)),
            None => error.retryable(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, retry_after: &str) -> HttpResponse {
        HttpResponse(http::Response {
            status,
            headers: vec![("retry-after".to_owned(), retry_after.to_owned())],
            body: b"{\"a\":1}".to_vec(),
            details: Some(r#"{"url":"https://api.example.org/"}"#.to_owned()),
        })
    }

    #[test]
    fn a_status_above_299_is_an_error_where_one_is_wanted() {
        let fine = response(204, "7").ok().unwrap();
        assert_eq!(fine.header("Retry-After"), Some("7"));
        assert_eq!(fine.url().unwrap(), "https://api.example.org/");
        assert_eq!(fine.json::<serde_json::Value>().unwrap()["a"], 1);
        for (status, is_retryable) in [(301, false), (404, false), (429, true), (503, true)] {
            let error = response(status, "7").ok().unwrap_err();
            assert_eq!(
                (error.code(), error.is_retryable()),
                ("http-status", is_retryable)
            );
            assert_eq!(error.details().unwrap()["status"], status);
        }
    }
}
