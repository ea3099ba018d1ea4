//! One thing done to all tasks of a space that a filter finds.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{Space, StreamName, TaskId, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_model::trace::TraceParent;
use taskhost_service::{BulkAnswer, BulkOp, BulkOutcome, BulkRequest, BulkResult};
use taskhost_store::tasks::ListRequest;

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::{Document, Problem};
use super::request::{self, PathIds};

/// Tasks of one call, unless it says fewer.
const LIMIT: usize = 10_000;

pub(crate) fn routes() -> Routes {
    Routes::of("Tasks").post("/v1/spaces/{space}/bulk", bulk, about_bulk)
}

/// One thing to be done to many tasks.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BulkWish")]
struct BulkBody {
    /// What to do.
    op: Op,
    /// To which tasks; where it names no status, to those to which it can be done.
    filter: Filter,
    /// Says what would be done, and does nothing.
    #[serde(default)]
    dry_run: bool,
    /// Of `cancel` alone, for people.
    reason: Option<String>,
    /// Of `retry` alone: without the checkpoints of former runs.
    fresh: Option<bool>,
    /// The `next` of the call before.
    cursor: Option<String>,
    /// To how many at most; 10,000 when left out.
    #[schemars(range(min = 1, max = 10_000))]
    limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BulkOp")]
enum Op {
    Cancel,
    Acknowledge,
    Delete,
    Retry,
}

/// Which tasks. One that names nothing is taken for a mistake.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "BulkFilter", extend("minProperties" = 1))]
struct Filter {
    /// Every task.
    all: bool,
    /// Of any of these statuses.
    #[schemars(extend("default" = []))]
    status: OneOrMany<Status>,
    /// Failed with an error of any of these kinds.
    #[schemars(extend("default" = []))]
    error_kind: OneOrMany<ErrorKind>,
    /// Of this type.
    r#type: Option<TypeId>,
    /// On this stream.
    stream: Option<StreamName>,
    /// Scheduled by this person.
    requested_by: Option<String>,
    /// Scheduled after this time.
    created_after: Option<Timestamp>,
    /// Scheduled before this time.
    created_before: Option<Timestamp>,
    /// With this text in the id.
    q: Option<String>,
}

/// One, or any of several.
#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum OneOrMany<T> {
    /// It alone.
    One(T),
    /// Any of them.
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

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BulkAnswer")]
struct Answer {
    /// How many tasks the filter has found.
    matched: usize,
    /// Nothing was done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    /// Each of them.
    results: Vec<OneAnswer>,
    /// The `cursor` of the next call; none: these were all.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "BulkResult")]
struct OneAnswer {
    /// The task.
    id: TaskId,
    /// Its status before.
    found: Status,
    /// `done`, `deleted`, `would_be_done`, or `changed_meanwhile`, where it is not meant any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    /// Its status now.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Document<'static>>")]
    problem: Option<Value>,
}

fn about_bulk(it: Operation) -> Operation {
    it.says(
        "change_tasks",
        "Do one thing to all tasks that a filter finds",
    )
    .details(
        "A task is changed only as the filter finds it; what is scheduled after the call has \
             begun is not meant.",
    )
    .takes::<BulkBody>()
    .answers::<Answer>(StatusCode::OK, "What became of each.")
    .refuses(&[Code::Stopping])
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
    let wish = wish(space, body, state.trace())?;
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

fn wish(space: Space, body: BulkBody, trace: Option<TraceParent>) -> Result<BulkRequest, Problem> {
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
        trace,
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
