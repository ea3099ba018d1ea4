//! An answer of the host, and what tests expect of one.

use reqwest::header::HeaderMap;
use serde_json::Value;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The request, for messages.
    pub asked: String,
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Answer {
    /// Reads a response to its end.
    ///
    /// # Errors
    /// When the connection ends before.
    pub async fn read(asked: String, response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self {
            asked,
            status,
            headers,
            text: response.text().await?,
        })
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// A header; empty when it is missing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or_default())
    }

    /// The body as JSON, after the status code was what it has to be.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        if self.text.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The problem document, after it was looked through: status and code are what they have to
    /// be, and there are words for people.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.expect(status);
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        assert_eq!(
            (&body["status"], &body["code"]),
            (&status.into(), &code.into()),
            "{self:?}"
        );
        for key in ["type", "title", "detail", "instance"] {
            assert!(
                body[key].as_str().is_some_and(|text| !text.is_empty()),
                "{key} in {self:?}"
            );
        }
        assert!(body["retryable"].is_boolean(), "{self:?}");
        body
    }

    /// Like [`Self::problem`] for a request that is wrong in this field.
    pub fn names(&self, field: &str) {
        let body = self.problem(400, "invalid");
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        assert!(
            errors.iter().any(|error| error["field"] == field),
            "`{field}` in {self:?}"
        );
    }
}
