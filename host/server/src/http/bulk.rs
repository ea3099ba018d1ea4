//! One thing done to all tasks of a space that a filter finds.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{Space, StreamName, TaskId, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::{BulkAnswer, BulkOp, BulkOutcome, BulkRequest, BulkResult};
use taskhost_store::tasks::ListRequest;

use super::answer;
use super::asked::Asked;
use super::problem::Problem;
use super::request::{self, PathIds};
use super::state::State;

/// Tasks of one call, unless it says fewer.
const LIMIT: usize = 10_000;

pub(crate) fn routes() -> Router<State> {
    Router::new().route("/v1/spaces/{space}/bulk", post(bulk))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkBody {
    op: Op,
    filter: Filter,
    #[serde(default)]
    dry_run: bool,
    reason: Option<String>,
    fresh: Option<bool>,
    cursor: Option<String>,
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Op {
    Cancel,
    Acknowledge,
    Delete,
    Retry,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Filter {
    /// Every task: without it an empty filter is taken for a mistake.
    all: bool,
    status: OneOrMany<Status>,
    error_kind: OneOrMany<ErrorKind>,
    r#type: Option<TypeId>,
    stream: Option<StreamName>,
    requested_by: Option<String>,
    created_after: Option<Timestamp>,
    created_before: Option<Timestamp>,
    q: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    fn into_all(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(all) => all,
        }
    }
}

#[derive(Serialize)]
struct Answer {
    matched: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    results: Vec<OneAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct OneAnswer {
    id: TaskId,
    /// Its status before.
    found: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// Its status now.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Value>,
}

async fn bulk(
    state: Asked,
    ids: PathIds,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let space: Space = ids.id("space")?;
    let (_, bytes) = state.json_body(request).await?;
    let body: BulkBody = request::json(&bytes)?;
    let dry_run = body.dry_run;
    let wish = wish(space, body)?;
    let tasks = &state.service().tasks;
    let BulkAnswer { results, next } = tasks.bulk(state.by(), wish).await?;
    let answer = Answer {
        matched: results.len(),
        dry_run,
        results: results.into_iter().map(one).collect(),
        next,
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

fn wish(space: Space, body: BulkBody) -> Result<BulkRequest, Problem> {
    let no_use = |field: &str, of: &str| {
        let problem = format!("is for the operation `{of}` alone");
        Err(Problem::invalid(field, problem))
    };
    let op = match body.op {
        Op::Cancel => BulkOp::Cancel {
            reason: body.reason.clone(),
        },
        Op::Acknowledge => BulkOp::Acknowledge,
        Op::Delete => BulkOp::Delete,
        Op::Retry => BulkOp::Retry {
            fresh: body.fresh.unwrap_or(false),
        },
    };
    if body.reason.is_some() && body.op != Op::Cancel {
        return no_use("reason", "cancel");
    }
    if body.fresh.is_some() && body.op != Op::Retry {
        return no_use("fresh", "retry");
    }
    if body.filter == Filter::default() {
        let problem =
            "names nothing: say which tasks are meant, or {\"all\": true} for all of them";
        return Err(Problem::invalid("filter", problem));
    }
    let filter = body.filter;
    Ok(BulkRequest {
        op,
        dry_run: body.dry_run,
        filter: ListRequest {
            statuses: filter.status.into_all(),
            error_kinds: filter.error_kind.into_all(),
            type_id: filter.r#type,
            stream: filter.stream,
            requested_by: filter.requested_by,
            created_after: filter.created_after,
            created_before: filter.created_before,
            id_contains: filter.q,
            cursor: body.cursor,
            limit: body.limit.unwrap_or(LIMIT),
            ..ListRequest::all(space)
        },
    })
}

fn one(result: BulkResult) -> OneAnswer {
    let (outcome, status, problem) = match result.outcome {
        Ok(BulkOutcome::WouldBeDone) => (Some("would_be_done"), None, None),
        Ok(BulkOutcome::Done(Status::NotStarted)) => (Some("deleted"), None, None),
        Ok(BulkOutcome::Done(status)) => (Some("done"), Some(status), None),
        Ok(BulkOutcome::Changed) => (Some("changed_meanwhile"), None, None),
        Err(error) => (None, None, Some(Problem::from(error).as_json())),
    };
    OneAnswer {
        id: result.id,
        found: result.found,
        outcome,
        status,
        problem,
    }
}
