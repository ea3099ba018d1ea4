//! Problem documents (RFC 9457): the one form in which the interface says no.
//!
//! A handler answers a [`Problem`]; [`finish`] writes it when the response leaves, because only
//! then the path is known, and also gives a document to the refusals that axum makes itself.

use std::num::NonZeroU16;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::response::Parts;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use taskhost_model::ids::InvalidId;
use taskhost_service::error::{FieldError, ServiceError};

use super::codes::Code;

/// What may be sent. `Basic` is taken and not named: a browser would ask for it, keep it, and from
/// then on send it along with whatever a page of another origin makes it ask for.
const CHALLENGE: &str = "ApiKey realm=\"taskhost\", Bearer realm=\"taskhost\"";

/// Why a request was not fulfilled.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    task_id: Option<String>,
    run_id: Option<String>,
    params: Option<Box<RawValue>>,
    errors: Vec<FieldError>,
    /// Another try makes sense after so many seconds, where that is not its code's. Small, as what
    /// is handed up everywhere.
    retry_after_s: Option<NonZeroU16>,
}

/// Why a request was not fulfilled, as it is written (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Document<'a> {
    /// A URN with the code.
    r#type: String,
    /// What kind of problem it is, in a few words.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// What happened, why, and what to do.
    detail: &'a str,
    /// The path that was asked for.
    #[serde(skip_serializing_if = "str::is_empty")]
    instance: &'a str,
    /// What kind of problem it is, for programs.
    code: &'a str,
    /// The task that stands against the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<&'a str>,
    /// Its run.
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
    /// The params of that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    params: Option<&'a RawValue>,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// Each mistake of a request that is not valid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Mistake<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Mistake<'a> {
    /// The path of the field: `params.name`.
    field: &'a str,
    /// What is wrong with it.
    problem: &'a str,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            code,
            detail,
            task_id: None,
            run_id: None,
            params: None,
            errors: Vec::new(),
            retry_after_s: None,
        }
    }

    /// Says when another try makes sense.
    pub(crate) fn retried_after(mut self, after: Duration) -> Self {
        let seconds = u16::try_from(after.as_secs()).unwrap_or(u16::MAX);
        self.retry_after_s = NonZeroU16::new(seconds.saturating_add(1));
        self
    }

    /// One mistake in one field.
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        ServiceError::invalid(field, problem).into()
    }

    /// An id in the path that has not the promised form.
    pub(crate) fn invalid_id(field: &str, error: &InvalidId) -> Self {
        let problem = format!("is `{}`: it has to match {}", error.given, error.pattern);
        Self::invalid(field, problem)
    }

    pub(crate) fn too_large(what: &'static str, bytes_max: u64) -> Self {
        let detail = format!("{what} is larger than the limit of {bytes_max} bytes");
        Self::new(Code::TooLarge, detail)
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// In words.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// For somebody who sees which form it is about: each mistake, or else the whole.
    pub(crate) fn words(&self) -> String {
        if self.errors.is_empty() {
            return self.detail.clone();
        }
        let mistake = |error: &FieldError| format!("`{}` {}", error.field, error.problem);
        let words: Vec<String> = self.errors.iter().map(mistake).collect();
        words.join("; ")
    }

    /// In a few words.
    pub(crate) fn title(&self) -> &'static str {
        self.code.row().title
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.code.row().status
    }

    /// Says of which of many things it speaks, by the name that people know.
    pub(crate) fn about(mut self, name: &str) -> Self {
        self.detail = format!("{name}: {}", self.words());
        self.errors.clear();
        self
    }

    /// As it stands in an answer that has many.
    pub(crate) fn as_json(&self) -> serde_json::Value {
        serde_json::to_value(self.document("")).unwrap_or_default()
    }

    /// Says which task, and which of its runs, stands against the request.
    pub(crate) fn of_task(mut self, id: &str, run: Option<String>) -> Self {
        self.task_id = Some(id.to_owned());
        self.run_id = run;
        self
    }

    /// Adds the params, JSON text, of the run that stands against the request.
    pub(crate) fn of_params(mut self, params: &str) -> Self {
        self.params = RawValue::from_string(params.to_owned()).ok();
        self
    }

    fn document<'a>(&'a self, path: &'a str) -> Document<'a> {
        let row = self.code.row();
        let mistake = |error: &'a FieldError| Mistake {
            field: &error.field,
            problem: &error.problem,
        };
        Document {
            r#type: format!("urn:taskhost:problem:{}", row.code),
            title: row.title,
            status: row.status.as_u16(),
            detail: &self.detail,
            instance: path,
            code: row.code,
            task_id: self.task_id.as_deref(),
            run_id: self.run_id.as_deref(),
            params: self.params.as_deref(),
            retryable: row.retry_after_s.is_some(),
            errors: self.errors.iter().map(mistake).collect(),
        }
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let (code, detail) = (Code::of(&error), error.to_string());
        if code == Code::Internal {
            tracing::error!(error = %detail, "a request failed");
        }
        let errors = match error {
            ServiceError::Invalid { errors } => errors,
            ServiceError::InvalidComponent { mistakes } => {
                let field = |problem| FieldError {
                    field: "component".to_owned(),
                    problem,
                };
                mistakes.into_iter().map(field).collect()
            }
            _ => Vec::new(),
        };
        Self {
            errors,
            ..Self::new(code, detail)
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let row = self.code.row();
        let mut response = row.status.into_response();
        let own = self.retry_after_s.map(|seconds| u32::from(seconds.get()));
        let seconds = own.or(row.retry_after_s);
        if let Some(seconds) = seconds {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if row.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(CHALLENGE);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Takes the problem out of a response that is no success.
pub(crate) fn taken(
    mut response: Response<Body>,
    path: &str,
) -> Result<Response<Body>, Box<(Parts, Problem)>> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return Ok(response);
    }
    let problem = response.extensions_mut().remove::<Problem>();
    let problem = problem.unwrap_or_else(|| of_axum(&response, path));
    let (mut parts, _) = response.into_parts();
    parts.status = problem.status();
    parts.headers.remove(axum::http::header::CONTENT_LENGTH);
    Err(Box::new((parts, problem)))
}

/// Gives a response that is no success its problem document.
pub(crate) fn finish(response: Response<Body>, path: &str) -> Response<Body> {
    let (mut parts, problem) = match taken(response, path) {
        Ok(response) => return response,
        Err(refused) => *refused,
    };
    let document = serde_json::to_vec(&problem.document(path)).unwrap_or_default();
    parts.headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    super::answer::no_store(&mut parts.headers);
    Response::from_parts(parts, Body::from(document))
}

/// A refusal that no handler made: an unknown route, a wrong method, a path that is not UTF-8.
fn of_axum(response: &Response<Body>, path: &str) -> Problem {
    match response.status() {
        StatusCode::NOT_FOUND => {
            Problem::new(Code::NotFound, format!("there is nothing at {path}"))
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = response
                .headers()
                .get(ALLOW)
                .and_then(|value| value.to_str().ok());
            let detail = format!("{path} takes {}", allowed.unwrap_or("other methods"));
            Problem::new(Code::MethodNotAllowed, detail)
        }
        status if status.is_client_error() => {
            Problem::new(Code::Invalid, "the request's path or head is malformed")
        }
        _ => Problem::new(Code::Internal, "the host could not answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    async fn written(problem: Problem) -> (Response<()>, Value) {
        let response = finish(problem.into_response(), "/v1/x");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (
            Response::from_parts(parts, ()),
            serde_json::from_slice(&bytes).unwrap(),
        )
    }

    #[tokio::test]
    async fn a_document_has_every_member() {
        let errors = vec![FieldError {
            field: "params.name".to_owned(),
            problem: "x".to_owned(),
        }];
        let (response, document) = written(ServiceError::Invalid { errors }.into()).await;
        assert_eq!(response.status(), 400);
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
        let expected = json!({
            "type": "urn:taskhost:problem:invalid",
            "title": "The request is not valid",
            "status": 400,
            "detail": "the request is not valid: `params.name` x",
            "instance": "/v1/x",
            "code": "invalid",
            "retryable": false,
            "errors": [{"field": "params.name", "problem": "x"}],
        });
        assert_eq!(document, expected);
    }

    #[tokio::test]
    async fn what_may_be_tried_again_says_when() {
        let (response, document) = written(ServiceError::Stopping.into()).await;
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(document["retryable"], true);
        let problem = Problem::new(Code::AlreadyRunning, "x")
            .of_task("t", Some("r".to_owned()))
            .of_params(r#"{"name":"x"}"#);
        let (_, document) = written(problem).await;
        assert_eq!(document["task_id"], "t");
        assert_eq!(document["run_id"], "r");
        assert_eq!(document["params"], json!({"name": "x"}));
    }

    #[tokio::test]
    async fn refusals_of_the_router_get_a_document_too() {
        let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET,HEAD"));
        let response = finish(response, "/livez");
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(document["code"], "method-not-allowed");
        assert_eq!(document["detail"], "/livez takes GET,HEAD");
    }
}
