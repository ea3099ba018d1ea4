//! The routes for one task, and the list.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use futures_util::{StreamExt as _, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use taskhost_model::ids::{RunId, StreamName, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::{RunningTask, ScheduleRequest, Scheduled};
use taskhost_store::tasks::ListRequest;

use super::answer::{self, StatusAnswer};
use super::asked::Asked;
use super::codes::Code;
use super::described::{Anything, Operation, Routes};
use super::problem::Problem;
use super::request::{self, PageSize, PathIds, QueryParams, Span};
use super::traced::HEADER;

/// The longest that a read waits; a longer wish is cut.
const WAIT_MAX: Duration = Duration::from_secs(300);

pub(crate) fn routes() -> Routes {
    let one = "/v1/spaces/{space}/tasks/{id}";
    let of_one = |rest: &str| format!("{one}/{rest}");
    Routes::of("Tasks")
        .get("/v1/spaces/{space}/tasks", list, about_list)
        .put(one, schedule, about_schedule)
        .get(one, read, about_read)
        .delete(one, delete, about_delete)
        .post(&of_one("cancel"), cancel, about_cancel)
        .post(&of_one("acknowledge"), acknowledge, about_acknowledge)
        .get(&of_one("runs/{run}/log"), log, about_log)
        .get(&of_one("recording"), recording, about_recording)
}

type Answer = Result<Response<Body>, Problem>;

/// What is to be run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScheduleBody {
    /// The task type.
    r#type: TypeId,
    /// The stream that it works on, where its type works on one.
    stream: Option<StreamName>,
    /// As the type's `params_schema` wants them.
    #[serde(default = "no_params", deserialize_with = "request::text")]
    #[schemars(with = "Value", extend("default" = json!({})))]
    params: Arc<str>,
    /// Higher goes first; 0 when left out. One more is worth a minute of waiting.
    #[schemars(range(min = -100, max = 100))]
    priority: Option<i32>,
    /// Not before; at once when left out.
    run_at: Option<Timestamp>,
    /// Shortens the type's limit for one attempt.
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
    /// Whether what the run asks and is answered is kept, so that it can be run again.
    #[serde(default)]
    record: bool,
}

fn no_params() -> Arc<str> {
    Arc::from("{}")
}

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
        .refuses(&[
            Code::UnknownTaskType,
            Code::UnknownStream,
            Code::AlreadyRunning,
            Code::CancellationInProgress,
            Code::UnfitStream,
            Code::IdNotAvailable,
            Code::Stopping,
        ])
}

async fn schedule(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let (headers, bytes) = state.json_body(request).await?;
    let body: ScheduleBody = request::json(&bytes)?;
    // Its checks and its write may wait: by then its params are there once, and as text.
    drop(bytes);
    let wish = ScheduleRequest {
        type_id: body.r#type,
        stream: body.stream,
        params: body.params,
        priority: body.priority,
        run_at: body.run_at,
        timeout_ms: body.timeout_ms,
        record: body.record,
        trace: state.trace(),
        condition: request::write_condition(&headers)?,
    };
    let (id, wanted) = (key.id.clone(), wish.type_id.clone());
    let scheduled = state.service().tasks.schedule(state.by(), key, wish).await;
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
        Scheduled::AlreadyRunning(running) => Err(already_running(&running, &wanted)),
    }
}

fn already_running(running: &RunningTask, wanted: &TypeId) -> Problem {
    let task = running.view.task.as_ref();
    let run = task.map(|task| task.run.id);
    let other = task.filter(|task| task.type_id != *wanted);
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

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TaskList")]
struct Page<'a> {
    /// Newest first.
    tasks: Vec<StatusAnswer<'a>>,
    /// The `cursor` of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

fn about_list(it: Operation) -> Operation {
    it.says("list_tasks", "List the tasks of a space, newest first")
        .query::<Vec<Status>>("status", "Of any of these statuses.")
        .query::<TypeId>("type", "Of this type.")
        .query::<StreamName>("stream", "On this stream.")
        .query::<String>("requested_by", "Scheduled by this person.")
        .query::<Timestamp>("created_after", "Scheduled after this time.")
        .query::<String>("q", "With this text in the id.")
        .query::<String>("cursor", "The `next` of the page before.")
        .query::<PageSize>("limit", "How many on a page; 100 when left out.")
        .answers::<Page<'_>>(StatusCode::OK, "A page of tasks.")
}

async fn list(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let mut query = QueryParams::of(request.uri())?;
    let wish = ListRequest {
        statuses: statuses(&query.take_all("status"))?,
        type_id: query.parse("type")?,
        stream: query.parse("stream")?,
        requested_by: query.take("requested_by"),
        created_after: query
            .take("created_after")
            .map(|text| time(&text))
            .transpose()?,
        id_contains: query.take("q"),
        cursor: query.take("cursor"),
        limit: query
            .number("limit")?
            .map_or(100, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        ..ListRequest::all(ids.id("space")?)
    };
    query.finish()?;
    let service = &state.service().tasks;
    let page = service.list(state.by(), wish).await?;
    let mut tasks = Vec::with_capacity(page.tasks.len());
    let waiting_for = service.each_waiting_for(state.by(), &page.tasks).await?;
    for (task, waiting_for) in page.tasks.iter().zip(waiting_for) {
        tasks.push(StatusAnswer {
            status: service.status(task),
            waiting_for,
            ..StatusAnswer::of_task(task)
        });
    }
    Ok(answer::json(
        StatusCode::OK,
        &Page {
            tasks,
            next: page.next.as_deref(),
        },
    ))
}

/// `status=failed&status=canceled` and `status=failed,canceled` say the same.
fn statuses(given: &[String]) -> Result<Vec<Status>, Problem> {
    let words = given
        .iter()
        .flat_map(|text| text.split(','))
        .filter(|word| !word.is_empty());
    let status = |word: &str| {
        let known = || Status::ALL.map(Status::as_str).join(", ");
        Status::parse(word)
            .ok_or_else(|| Problem::invalid("status", format!("has to be one of {}", known())))
    };
    words.map(status).collect()
}

/// A time in a query: RFC 3339 or epoch milliseconds.
fn time(text: &str) -> Result<Timestamp, Problem> {
    let parsed = match text.parse::<i64>() {
        Ok(ms) => serde_json::from_value(Value::from(ms)).map_err(|error| error.to_string()),
        Err(_) => Timestamp::parse(text),
    };
    parsed.map_err(|problem| Problem::invalid("created_after", problem))
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
struct NoBody {}

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

fn about_log(it: Operation) -> Operation {
    it.says("get_log", "Get the log of a run").answers_other(
        StatusCode::OK,
        "application/x-ndjson",
        "A `LogLine` a line.",
    )
}

async fn log(state: Asked, ids: PathIds) -> Answer {
    let key = ids.task()?;
    let run = RunId::parse(ids.text("run")).map_err(|error| Problem::invalid_id("run", &error))?;
    let lines = state.service().tasks.log(state.by(), &key, run).await?;
    Ok(answer::bytes_of(
        "application/x-ndjson",
        StatusCode::OK,
        lines,
    ))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_read_from_lists_and_repetitions() {
        let given = [
            "failed,canceled".to_owned(),
            "completed".to_owned(),
            String::new(),
        ];
        let read = statuses(&given).unwrap();
        assert_eq!(read, [Status::Failed, Status::Canceled, Status::Completed]);
        assert!(statuses(&["cancelled".to_owned()]).is_err());
    }

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(time("1000").unwrap(), time("1970-01-01T00:00:01Z").unwrap());
        assert!(time("yesterday").is_err());
    }
}
