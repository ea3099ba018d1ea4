//! The routes for one task.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post, put};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use taskhost_model::ids::{TaskId, TypeId};
use taskhost_service::error::ServiceError;
use taskhost_service::{RunningTask, ScheduleRequest, Scheduled};

use super::answer::{self, StatusAnswer};
use super::asked::Asked;
use super::codes::Code;
use super::list::list;
use super::problem::Problem;
use super::request::{self, PathIds, QueryParams, Span};
use super::state::State;
use super::wish::ScheduleBody;

/// The longest that a read waits; a longer wish is cut.
const WAIT_MAX: Duration = Duration::from_secs(300);

pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/v1/spaces/{space}/tasks", get(list))
        .route("/v1/spaces/{space}/tasks/{id}/retry", post(retry))
        .route(
            "/v1/spaces/{space}/tasks/{id}",
            put(schedule).get(read).delete(delete),
        )
        .route("/v1/spaces/{space}/tasks/{id}/cancel", post(cancel))
        .route(
            "/v1/spaces/{space}/tasks/{id}/acknowledge",
            post(acknowledge),
        )
        .route("/v1/spaces/{space}/tasks/{id}/recording", get(recording))
}

type Answer = Result<Response<Body>, Problem>;

async fn schedule(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let (headers, bytes) = state.json_body(request).await?;
    let body: ScheduleBody = request::json(&bytes)?;
    // Its checks and its write may wait: by then its params are there once, and as text.
    drop(bytes);
    let wish = ScheduleRequest {
        condition: request::write_condition(&headers)?,
        ..body.without_id("the path has it")?
    };
    let (id, wanted) = (key.id.clone(), wish.type_id.clone());
    let scheduled = state.service().tasks.schedule(state.by(), key, wish).await;
    scheduled_answer(scheduled, &id, Some(&wanted))
}

fn scheduled_answer(
    scheduled: Result<Scheduled, ServiceError>,
    id: &TaskId,
    wanted: Option<&TypeId>,
) -> Answer {
    match scheduled.map_err(|error| Problem::from(error).of_task(id.as_str(), None))? {
        Scheduled::New(view) => Ok(answer::task(StatusCode::CREATED, &view)),
        Scheduled::AlreadyRunning(running) if running.is_same => {
            let answer = StatusAnswer {
                already_running: Some(&running.params),
                ..StatusAnswer::of(&running.view)
            };
            Ok(answer::with_etag(
                answer::json(StatusCode::OK, &answer),
                &running.view,
            ))
        }
        Scheduled::AlreadyRunning(running) => Err(already_running(&running, wanted)),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    #[serde(default)]
    fresh: bool,
}

async fn retry(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let (headers, bytes) = state.json_body(request).await?;
    let RetryBody { fresh } = request::json_or_empty(&bytes)?;
    let version = request::if_version(&headers)?;
    let tasks = &state.service().tasks;
    let scheduled = tasks.retry(state.by(), &key, fresh, version).await;
    scheduled_answer(scheduled, &key.id, None)
}

fn already_running(running: &RunningTask, wanted: Option<&TypeId>) -> Problem {
    let task = running.view.task.as_ref();
    let run = task.map(|task| task.run.id);
    let other = task.filter(|task| wanted.is_some_and(|wanted| task.type_id != *wanted));
    let detail = match other {
        Some(task) => format!(
            "a task of this id runs already, of the type `{}`: take another id, or wait until it \
             has ended",
            task.type_id
        ),
        None => "the task runs already, with other params: wait until it has ended, or cancel it"
            .to_owned(),
    };
    Problem::new(Code::AlreadyRunning, detail)
        .of_task(running.view.key.id.as_str(), run.map(|id| id.to_string()))
        .of_params(&running.params)
}

async fn read(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let mut query = QueryParams::of(request.uri())?;
    let wait = query.parse::<Span>("wait")?;
    let since = query.number("since")?;
    query.finish()?;
    let tasks = &state.service().tasks;
    if wait.is_none() && since.is_none() {
        let view = tasks.get(state.by(), &key).await?;
        return Ok(answer::task(StatusCode::OK, &view));
    }
    let _place = state.watcher()?;
    let wait = wait.map_or(Duration::ZERO, |Span(wait)| wait.min(WAIT_MAX));
    let view = tasks
        .wait(state.by(), &key, since.unwrap_or(0), wait)
        .await?;
    Ok(match view {
        Some(view) => answer::task(StatusCode::OK, &view),
        None => answer::empty(StatusCode::NOT_MODIFIED),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    reason: Option<String>,
}

async fn cancel(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let (headers, bytes) = state.json_body(request).await?;
    let CancelBody { reason } = request::json_or_empty(&bytes)?;
    let version = request::if_version(&headers)?;
    let view = state
        .service()
        .tasks
        .cancel(state.by(), &key, reason, version)
        .await?;
    Ok(answer::task(StatusCode::OK, &view))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoBody {}

async fn acknowledge(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let (headers, bytes) = state.json_body(request).await?;
    let NoBody {} = request::json_or_empty(&bytes)?;
    let version = request::if_version(&headers)?;
    let view = state
        .service()
        .tasks
        .acknowledge(state.by(), &key, version)
        .await;
    let view = view.map_err(|error| Problem::from(error).of_task(key.id.as_str(), None))?;
    Ok(answer::task(StatusCode::OK, &view))
}

async fn delete(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let version = request::if_version(request.headers())?;
    state
        .service()
        .tasks
        .delete(state.by(), &key, version)
        .await?;
    Ok(answer::empty(StatusCode::NO_CONTENT))
}

/// The head is read before it is answered, so that whoever may not read it, or cannot, is told.
/// Where it breaks off later its last line says why.
async fn recording(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let mut query = QueryParams::of(request.uri())?;
    let attempt = query.number("attempt")?;
    query.finish()?;
    let attempt = attempt.map(|attempt| u32::try_from(attempt).unwrap_or(u32::MAX));
    let tasks = &state.service().tasks;
    let (first, recording) = tasks.recording(state.by(), &key, attempt).await?;
    let rest = stream::unfold(recording, |mut recording| async {
        let piece = recording.next().await?;
        Some((piece, recording))
    });
    let pieces = stream::once(async { first }).chain(rest);
    let pieces = pieces.map(Ok::<_, Infallible>);
    Ok(answer::bytes_of(
        "application/x-ndjson",
        StatusCode::OK,
        Body::from_stream(pieces),
    ))
}
