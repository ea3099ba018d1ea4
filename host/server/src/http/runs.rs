//! The runs of a task, and their logs: as they are, or as they grow, as server-sent events.
//!
//! # How a log is followed
//! What is stored is read whenever the task has changed, and every second, since the run may be on
//! another host; what the client does not have yet goes out. `id` is the number of bytes that it
//! has then, so whoever comes back with it gets each line once. `end` comes when nothing will be
//! added.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::response::sse::{Event, Sse};
use futures_util::Stream;
use schemars::JsonSchema;
use serde::Serialize;
use taskhost_model::former::FormerRun;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_service::error::ServiceError;
use taskhost_service::{RunLog, Watch};
use tokio::sync::OwnedSemaphorePermit;

use super::answer;
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::events::keep_alive;
use super::list::flag;
use super::problem::Problem;
use super::request::{PathIds, QueryParams};

/// A run that is elsewhere is looked for so often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn routes() -> Routes {
    let all = "/v1/spaces/{space}/tasks/{id}/runs";
    Routes::of("Tasks").get(all, runs, about_runs).get(
        &format!("{all}/{{run}}/log"),
        log,
        about_log,
    )
}

type Answer = Result<Response<Body>, Problem>;

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RunList")]
struct Runs {
    /// Newest first.
    runs: Vec<FormerRun>,
}

fn about_runs(it: Operation) -> Operation {
    it.says("list_runs", "List the last runs of a task")
        .answers::<Runs>(StatusCode::OK, "Those that are kept.")
}

async fn runs(state: Asked, ids: PathIds) -> Answer {
    let key = ids.task()?;
    let runs = state.service().tasks.runs(state.by(), &key).await?;
    Ok(answer::json(StatusCode::OK, &Runs { runs }))
}

fn about_log(it: Operation) -> Operation {
    it.says("get_log", "Get the log of a run, or follow it")
        .details(
            "With `follow` it comes as server-sent events: `log` for each line, `end` when nothing \
             will be added. `id` is a cursor.",
        )
        .query::<bool>(
            "follow",
            "Whether what is added is sent as well, as server-sent events.",
        )
        .header::<String>("Last-Event-ID", "The `id` of the last event that was seen.")
        .answers_other(
            StatusCode::OK,
            "application/x-ndjson",
            "A `LogLine` a line.",
        )
        .or_events()
        .refuses(&[Code::Busy])
}

async fn log(state: Asked, ids: PathIds, request: Request<Body>) -> Answer {
    let key = ids.task()?;
    let run = RunId::parse(ids.text("run")).map_err(|error| Problem::invalid_id("run", &error))?;
    let mut query = QueryParams::of(request.uri())?;
    let follows = flag(&mut query, "follow")?;
    query.finish()?;
    let tasks = &state.service().tasks;
    if !follows {
        let log = tasks.log(state.by(), &key, run).await?;
        return Ok(answer::bytes_of(
            "application/x-ndjson",
            StatusCode::OK,
            log.lines,
        ));
    }
    let place = state.watcher()?;
    // Watched before it is read: no change falls between the two.
    let watch = tasks.watch(state.by(), &key).await?;
    let log = tasks.log(state.by(), &key, run).await?;
    let mut follow = Follow {
        key,
        run,
        sent: 0,
        is_over: false,
        pending: VecDeque::new(),
        watch,
        state,
        _place: place,
    };
    follow.sent = known_bytes(request.headers(), &log.lines);
    follow.take(&log);
    let sse = Sse::new(follow.into_stream()).keep_alive(keep_alive());
    let mut response = sse.into_response();
    answer::no_store(response.headers_mut());
    Ok(response)
}

/// How much of the log a client that comes back has: nothing, where what it says is no end of a
/// line.
fn known_bytes(headers: &HeaderMap, lines: &str) -> usize {
    let seen = headers.get("last-event-id");
    let seen = seen.and_then(|value| value.to_str().ok()?.parse().ok());
    let is_end = |seen: &usize| lines.as_bytes().get(seen.wrapping_sub(1)) == Some(&b'\n');
    seen.filter(is_end).unwrap_or(0)
}

fn is_for_good(error: &ServiceError) -> bool {
    use ServiceError::{Forbidden, NotFound, Unauthorized};
    matches!(
        error,
        Forbidden { .. } | NotFound { .. } | Unauthorized { .. }
    )
}

struct Follow {
    key: TaskKey,
    run: RunId,
    /// Bytes of the log that the client has.
    sent: usize,
    is_over: bool,
    pending: VecDeque<Event>,
    watch: Watch,
    state: Asked,
    _place: OwnedSemaphorePermit,
}

impl Follow {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut follow| async move {
            let event = follow.next().await?;
            Some((Ok(event), follow))
        })
    }

    /// The next event; none when there will be none, or when the host stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                // Whatever it was, what is stored tells.
                _ = self.watch.next() => {}
                // The run may be on another host, which tells nobody here.
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = self.state.stopping().cancelled() => return None,
            }
            let tasks = &self.state.service().tasks;
            match tasks.log(self.state.by(), &self.key, self.run).await {
                Ok(log) => self.take(&log),
                // It is gone, or not theirs any more.
                Err(error) if is_for_good(&error) => self.end(),
                // The store does not answer: it is asked again.
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, log: &RunLog) {
        let new = log.lines.get(self.sent..).unwrap_or_default();
        for line in new.split_inclusive('\n') {
            self.sent += line.len();
            let event = Event::default().event("log").id(self.sent.to_string());
            self.pending.push_back(event.data(line.trim_end()));
        }
        if log.is_whole {
            self.end();
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.pending
            .push_back(Event::default().event("end").data("{}"));
    }
}
