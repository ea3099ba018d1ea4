//! The routes for one task.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use futures_util::{StreamExt as _, stream};
use schemars::JsonSchema;
use serde::Deserialize;
use taskhost_model::ids::{TaskId, TypeId};
use taskhost_service::error::ServiceError;
use taskhost_service::{RetryRequest, RunningTask, ScheduleRequest, Scheduled};

use super::answer::{self, StatusAnswer};
use super::asked::Asked;
use super::codes::Code;
use super::described::{Anything, Operation, Routes};
use super::list::{about_list, list};
use super::problem::Problem;
use super::request::{self, PathIds, QueryParams, Span};
use super::traced::HEADER;
use super::wish::ScheduleBody;

/// The longest that a read waits; a longer wish is cut.
const WAIT_MAX: Duration = Duration::from_secs(300);

/// `bulk` looks like an id, and is a route of its own.
const NO_ID: [Code; 1] = [Code::MethodNotAllowed];
/// What may be refused to whoever wants a task to run.
pub(super) const REFUSED: [Code; 7] = [
    Code::UnknownTaskType,
    Code::UnknownStream,
    Code::AlreadyRunning,
    Code::CancellationInProgress,
    Code::UnfitStream,
    Code::IdNotAvailable,
    Code::Stopping,
];

pub(crate) fn routes() -> Routes {
    let one = "/v1/spaces/{space}/tasks/{id}";
    let of_one = |rest: &str| format!("{one}/{rest}");
    Routes::of("Tasks")
        .get("/v1/spaces/{space}/tasks", list, about_list)
        .put(one, schedule, about_schedule)
        .get(one, read, about_read)
        .delete(one, delete, about_delete)
        .post(&of_one("retry"), retry, about_retry)
        .post(&of_one("cancel"), cancel, about_cancel)
        .post(&of_one("acknowledge"), acknowledge, about_acknowledge)
        .get(&of_one("recording"), recording, about_recording)
}

type Answer = Result<Response<Body>, Problem>;

fn about_schedule(it: Operation) -> Operation {
    it.says("schedule_task", "Schedule a task under an id of your own")
        .details(
            "A task that has ended runs again. While it runs, the same params change nothing, and \
             others are refused.",
        )
        .if_match()
        .header::<Anything>("If-None-Match", "`*`: only if there is no task of this id.")
        .header::<String>(HEADER, "The span that it is part of: its run will be too.")
        .takes::<ScheduleBody>()
        .answers::<StatusAnswer<'_>>(StatusCode::CREATED, "It is scheduled.")
        .answers::<StatusAnswer<'_>>(
            StatusCode::OK,
            "It runs already with the same params: `outcome` is `already_running`.",
        )
        .with_etag()
        .refuses(&NO_ID)
        .refuses(&REFUSED)
}

async fn schedule(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let (headers, bytes) = state.json_body(request).await?;
    let body: ScheduleBody = request::json(&bytes)?;
    // Its checks and its write may wait: by then its params are there once, and as text.
    drop(bytes);
    let wish = ScheduleRequest {
        condition: request::write_condition(&headers)?,
        trace: state.trace(),
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RetryBody {
    /// Without the checkpoints of its former run.
    #[serde(default)]
    fresh: bool,
}

fn about_retry(it: Operation) -> Operation {
    it.says("retry_task", "Run a task again with the params that it has")
        .details(
            "On the version of its type that is active now, in the name of whoever asks. A run \
             that has not ended stays: `outcome` is `already_running` then.",
        )
        .if_match()
        .may_take::<RetryBody>()
        .answers::<StatusAnswer<'_>>(StatusCode::CREATED, "It is scheduled.")
        .answers::<StatusAnswer<'_>>(StatusCode::OK, "It runs already.")
        .with_etag()
        .refuses(&REFUSED)
}

async fn retry(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let (headers, bytes) = state.json_body(request).await?;
    let RetryBody { fresh } = request::json_or_empty(&bytes)?;
    let wanted = RetryRequest {
        fresh,
        if_version: request::if_version(&headers)?,
        trace: state.trace(),
    };
    let scheduled = state.service().tasks.retry(state.by(), &key, wanted).await;
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

fn about_read(it: Operation) -> Operation {
    it.says("get_task", "Get a task, or wait until it changes")
        .query::<Span>(
            "wait",
            "Answers at once with a later revision, or when this is over.",
        )
        .query::<u64>("since", "The revision that is known; 0 when left out.")
        .answers::<StatusAnswer<'_>>(
            StatusCode::OK,
            "The task; of an id that is not known, `status` alone: `not_started`.",
        )
        .with_etag()
        .answers_nothing(
            StatusCode::NOT_MODIFIED,
            "The wait is over and nothing has changed.",
        )
        .refuses(&NO_ID)
        .refuses(&[Code::Busy])
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CancelBody {
    /// For people.
    reason: Option<String>,
}

fn about_cancel(it: Operation) -> Operation {
    it.says("cancel_task", "Cancel a task")
        .details("One that has ended stays as it ended.")
        .if_match()
        .may_take::<CancelBody>()
        .answers::<StatusAnswer<'_>>(StatusCode::OK, "The task as it is then.")
        .with_etag()
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

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoBody {}

fn about_acknowledge(it: Operation) -> Operation {
    it.says(
        "acknowledge_task",
        "Say that a task's result has been acted on",
    )
    .if_match()
    .may_take::<NoBody>()
    .answers::<StatusAnswer<'_>>(StatusCode::OK, "The task with its result.")
    .with_etag()
    .refuses(&[Code::NotCompleted])
}

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

fn about_delete(it: Operation) -> Operation {
    it.says("delete_task", "Delete a task, whatever its status")
        .details("A live run is interrupted, and writes nothing any more.")
        .if_match()
        .answers_nothing(StatusCode::NO_CONTENT, "It is gone.")
        .refuses(&NO_ID)
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

fn about_recording(it: Operation) -> Operation {
    it.says(
        "get_recording",
        "Get what a recorded run asked and was answered",
    )
    .details("For whoever has requested the run alone; `taskhost replay` runs it again.")
    .query::<u32>("attempt", "The attempt; the last one when left out.")
    .answers_other(StatusCode::OK, "application/x-ndjson", "A call a line.")
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
