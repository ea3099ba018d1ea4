//! Tasks whose id the host makes, and many tasks in one body.
//!
//! # How many tasks are read
//! Line by line, as they come: a batch of lines is checked and written, and only then is more of
//! the body read. So a body may be as long as it has lines, and whoever sends faster than tasks can
//! be written waits. The answer comes at the end: most clients read none before they have sent all.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use taskhost_model::ids::{RunId, Space, TaskId, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_model::trace::TraceParent;
use taskhost_service::{Accepted, BatchAnswer, BatchItem, ScheduleRequest};

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::lines::{Line, Lines};
use super::problem::{Document, Problem};
use super::request::{self, PathIds};
use super::streams::NDJSON;
use super::tasks::REFUSED;
use super::traced::HEADER;
use super::wish::ScheduleBody;

/// Lines that are written together.
const BATCH_LINES: usize = 500;
/// And so many bytes of them at most, unless one line has more.
const BATCH_BYTES: usize = 1024 * 1024;
/// Lines of one request: each has its place in the answer.
const LINES_MAX: u64 = 50_000;

pub(crate) fn routes() -> Routes {
    let all = "/v1/spaces/{space}/tasks";
    Routes::of("Tasks").post(all, submit, about_submit).post(
        &format!("{all}/bulk"),
        bulk,
        about_bulk,
    )
}

type Answer = Result<Response<Body>, Problem>;

/// The same for every repetition of a request, so it says nothing of what became of the task.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SubmittedTask")]
struct Receipt<'a> {
    /// The id that the host has made.
    id: &'a TaskId,
    /// Its type.
    r#type: &'a TypeId,
    /// Its space.
    space: &'a Space,
    /// As it is accepted: `in_progress`.
    status: &'static str,
    /// When it was accepted.
    created_at: Timestamp,
    /// Its run.
    run: OnlyId,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct OnlyId {
    /// The run's id.
    id: RunId,
}

/// What a request may be repeated by.
struct RepeatKey;

impl JsonSchema for RepeatKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RepeatKey".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"})
    }
}

fn about_submit(it: Operation) -> Operation {
    it.says("submit_task", "Schedule a task whose id the host makes")
        .details(
            "The same request with the same `Idempotency-Key` is answered as the first one was, \
             for a day.",
        )
        .header::<RepeatKey>("Idempotency-Key", "By what the request may be repeated.")
        .header::<String>(HEADER, "The span that it is part of: its run will be too.")
        .takes::<ScheduleBody>()
        .answers::<Receipt<'_>>(StatusCode::ACCEPTED, "It is accepted.")
        .refuses(&REFUSED)
        .refuses(&[Code::KeyReused])
}

async fn submit(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let space: Space = ids.id("space")?;
    let (headers, bytes) = state.json_body(request).await?;
    let body: ScheduleBody = request::json(&bytes)?;
    drop(bytes);
    let wish = ScheduleRequest {
        trace: state.trace(),
        ..body.without_id("the host makes it; PUT takes one")?
    };
    let (key, type_id) = (repeat_key(&headers)?, wish.type_id.clone());
    let tasks = &state.service().tasks;
    let submitted = tasks.submit(state.by(), &space, key, wish).await?;
    let id = &submitted.key.id;
    let receipt = Receipt {
        id,
        r#type: &type_id,
        space: &space,
        status: "in_progress",
        created_at: submitted.created_at,
        run: OnlyId { id: submitted.run },
    };
    let mut response = answer::json(StatusCode::ACCEPTED, &receipt);
    // Neither of the two has a character that a header cannot have.
    if let Ok(location) = HeaderValue::try_from(format!("/v1/spaces/{space}/tasks/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

fn repeat_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    const NAME: &str = "idempotency-key";
    let mut all = headers.get_all(NAME).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return match headers.contains_key(NAME) {
            true => Err(Problem::invalid("Idempotency-Key", "stands there twice")),
            false => Ok(None),
        };
    };
    // What is no ASCII is refused with its length.
    Ok(Some(value.to_str().unwrap_or_default()))
}

/// What is answered of a line.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
enum LineAnswer<'a> {
    /// It is on disk.
    Accepted {
        /// Of the body, from 1.
        line: u64,
        /// The task.
        id: &'a TaskId,
        /// `scheduled` or `already_running`.
        outcome: &'static str,
    },
    /// Nothing is done about it.
    Refused {
        /// Of the body, from 1.
        line: u64,
        /// The task, where the line names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a TaskId>,
        /// Why.
        #[schemars(with = "Document<'a>")]
        problem: Value,
    },
}

/// The answer in the making.
#[derive(Default, Serialize, JsonSchema)]
#[schemars(rename = "SubmittedTasks")]
struct BulkAnswer {
    /// How many lines.
    accepted: u64,
    /// Each line that is not empty.
    #[schemars(with = "Vec<LineAnswer<'static>>")]
    results: Vec<Box<RawValue>>,
}

impl BulkAnswer {
    fn push(&mut self, answer: &LineAnswer<'_>) {
        self.accepted += u64::from(matches!(answer, LineAnswer::Accepted { .. }));
        self.results
            .extend(serde_json::value::to_raw_value(answer).ok());
    }

    fn refuse(&mut self, line: u64, problem: &Problem) {
        self.push(&LineAnswer::Refused {
            line,
            id: None,
            problem: problem.as_json(),
        });
    }
}

fn about_bulk(it: Operation) -> Operation {
    it.says("submit_tasks", "Schedule many tasks, one a line")
        .details(
            "A line is what scheduling one takes, with an `id`, or without one, and the host makes \
             it. What is wrong with a line keeps no other from being accepted.",
        )
        .header::<String>(
            HEADER,
            "The span that they are part of: their runs will be too.",
        )
        .takes_other("application/x-ndjson", "A task a line.")
        .answers::<BulkAnswer>(StatusCode::OK, "What became of each line.")
        .refuses(&[Code::Stopping])
}

async fn bulk(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let space: Space = ids.id("space")?;
    let (parts, body) = request.into_parts();
    request::check_content_type(&parts.headers, &NDJSON)?;
    let _place = state.upload_place().await?;
    let mut lines = Lines::new(body, state.json_bytes_max(), state.body_timeout());
    let mut answer = BulkAnswer::default();
    let mut is_first = true;
    loop {
        let (batch, is_last) = read_batch(&mut lines, state.trace(), &mut answer).await;
        let written = write_batch(&state, &space, batch, &mut answer).await;
        match written {
            // Nobody has been told of anything yet: the whole request is refused.
            Err(problem) if is_first => {
                lines.discard().await;
                return Err(problem);
            }
            Err(problem) => {
                answer.refuse(lines.number(), &problem);
                break;
            }
            Ok(()) if is_last => break,
            Ok(()) => is_first = false,
        }
    }
    lines.discard().await;
    if answer.results.is_empty() {
        return Err(Problem::invalid("body", "holds no task: send one a line"));
    }
    Ok(answer::json(StatusCode::OK, &answer))
}

type Batch = Vec<(u64, BatchItem)>;

/// The next lines that are tasks, and whether they are the last ones. What is wrong with a line is
/// answered at once.
async fn read_batch(
    lines: &mut Lines,
    trace: Option<TraceParent>,
    answer: &mut BulkAnswer,
) -> (Batch, bool) {
    let (mut batch, mut bytes) = (Batch::new(), 0);
    while batch.len() < BATCH_LINES && bytes < BATCH_BYTES {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return (batch, true),
            // What has not come cannot be read; what has come is dealt with.
            Err(problem) => {
                answer.refuse(lines.number() + 1, &problem);
                return (batch, true);
            }
        };
        let number = lines.number();
        if number > LINES_MAX {
            let problem = format!("is more than {LINES_MAX} lines: send the rest by itself");
            answer.refuse(number, &Problem::invalid("body", problem));
            return (batch, true);
        }
        let text = match line {
            Line::Text(text) if text.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Text(text) => text,
            Line::TooLong { bytes_max } => {
                answer.refuse(number, &Problem::too_large("the line", bytes_max));
                continue;
            }
        };
        bytes += text.len();
        match request::json::<ScheduleBody>(&text) {
            Ok(body) => {
                let (id, request) = body.with_id();
                let request = ScheduleRequest { trace, ..request };
                batch.push((number, BatchItem { id, request }));
            }
            Err(problem) => answer.refuse(number, &problem),
        }
    }
    (batch, false)
}

async fn write_batch(
    state: &Asked,
    space: &Space,
    batch: Batch,
    answer: &mut BulkAnswer,
) -> Result<(), Problem> {
    let (numbers, items): (Vec<u64>, Vec<BatchItem>) = batch.into_iter().unzip();
    let tasks = &state.service().tasks;
    let answers = tasks.schedule_all(state.by(), space, items).await?;
    for (line, BatchAnswer { id, outcome }) in numbers.into_iter().zip(answers) {
        let outcome = match (&id, outcome) {
            (Some(id), Ok(accepted)) => LineAnswer::Accepted {
                line,
                id,
                outcome: word(accepted),
            },
            (id, Err(error)) => LineAnswer::Refused {
                line,
                id: id.as_ref(),
                problem: Problem::from(error).as_json(),
            },
            (None, Ok(_)) => continue,
        };
        answer.push(&outcome);
    }
    Ok(())
}

fn word(accepted: Accepted) -> &'static str {
    match accepted {
        Accepted::Scheduled => "scheduled",
        Accepted::AlreadyRunning => "already_running",
    }
}
