//! A task's changes as server-sent events: `status`, `progress`, `log`, `deleted`, and `reset`
//! when changes were missed. What is told comes in order; a state that another one follows within
//! one commit, as a queued run on a host with a free slot, is passed over. `id` is a cursor; a
//! client that comes back with one that is still the task's state goes on, any other is told to
//! read again.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use serde::Serialize;
use taskhost_model::ids::{RunId, TaskId};
use taskhost_model::task::{LogLine, Task};
use taskhost_service::view::TaskView;
use taskhost_service::{Change, ChangeKind, Watch};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::{self, StatusAnswer};
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::problem::Problem;
use super::request::PathIds;
use super::state::State;

/// A comment goes out so often, so that neither side takes silence for a broken connection.
pub(crate) const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

pub(crate) fn routes() -> Routes {
    Routes::of("Tasks").get("/v1/spaces/{space}/tasks/{id}/events", events, about_events)
}

fn about_events(it: Operation) -> Operation {
    it.says("follow_task", "Follow a task by server-sent events")
        .details(
            "Events are `status`, `progress`, `log`, `deleted`, and `reset` when some were missed \
             and the task has to be read again. `id` is a cursor.",
        )
        .header::<String>("Last-Event-ID", "The `id` of the last event that was seen.")
        .answers_other(
            StatusCode::OK,
            "text/event-stream",
            "Events, until either side ends.",
        )
        .refuses(&[Code::Busy])
}

async fn events(
    state: Asked,
    ids: PathIds,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let key = ids.task()?;
    let place = state.watcher()?;
    let tasks = &state.service().tasks;
    // Watched before it is read: no change falls between the two.
    let watch = tasks.watch(state.by(), &key).await?;
    let view = tasks.get(state.by(), &key).await?;
    let seen = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok());
    let feed = Feed {
        pending: first_events(&view, seen),
        last: view.task.as_ref().map(|task| task.revision),
        watch,
        state: State::clone(&state),
        _place: place,
    };
    let sse = Sse::new(feed.into_stream()).keep_alive(keep_alive());
    let mut response = sse.into_response();
    answer::no_store(response.headers_mut());
    Ok(response)
}

/// How a stream says that it is there.
pub(crate) fn keep_alive() -> KeepAlive {
    KeepAlive::new().interval(COMMENT_INTERVAL)
}

struct Feed {
    pending: VecDeque<Event>,
    /// Revision of the state that the client knows; it grows over all runs of the task.
    last: Option<u64>,
    watch: Watch,
    state: State,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures_util::stream::unfold(self, |mut feed| async move {
            let event = feed.next().await?;
            Some((Ok(event), feed))
        })
    }

    /// The next event; none when the host stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            let change = tokio::select! {
                change = self.watch.next() => change,
                () = self.state.stopping().cancelled() => return None,
            };
            match change {
                Ok(change) => self.take(&change),
                Err(_) => self.pending.push_back(reset()),
            }
        }
    }

    fn take(&mut self, change: &Arc<Change>) {
        let task = &change.task;
        // Changes are published beside each other: an older one may come after a newer one.
        let is_known = self.last.is_some_and(|last| task.revision <= last);
        match &change.kind {
            ChangeKind::Status if !is_known => self.pending.push_back(snapshot("status", task)),
            ChangeKind::Progress if !is_known => self.pending.push_back(snapshot("progress", task)),
            ChangeKind::Status | ChangeKind::Progress => {}
            ChangeKind::Log(lines) => {
                self.pending
                    .extend(lines.iter().map(|line| log(task, line)));
            }
            ChangeKind::Deleted => self.pending.push_back(deleted(task)),
        }
        self.last = match &change.kind {
            ChangeKind::Status | ChangeKind::Progress => self.last.max(Some(task.revision)),
            // A log line comes with the document as it was when the run was claimed.
            ChangeKind::Log(_) => self.last,
            // The next task of this id is another one.
            ChangeKind::Deleted => None,
        };
    }
}

/// What a client is told first: the state, after a `reset` if it missed something.
fn first_events(view: &TaskView, seen: Option<&str>) -> VecDeque<Event> {
    let now = view.task.as_ref().map_or_else(|| "0".to_owned(), cursor);
    let state = Event::default().event("status").id(&now).data(
        StatusAnswer {
            payload: None,
            ..StatusAnswer::of(view)
        }
        .to_json(),
    );
    match seen {
        None => VecDeque::from([state]),
        Some(seen) if seen == now => VecDeque::new(),
        Some(_) => VecDeque::from([reset(), state]),
    }
}

fn cursor(task: &Task) -> String {
    format!("{}-{}", task.run.id, task.revision)
}

fn snapshot(name: &str, task: &Task) -> Event {
    Event::default()
        .event(name)
        .id(cursor(task))
        .data(StatusAnswer::of_task(task).to_json())
}

fn reset() -> Event {
    Event::default().event("reset").data("{}")
}

/// A line of a task's log.
#[derive(Serialize)]
pub(crate) struct LogEvent<'a> {
    id: &'a TaskId,
    run: RunId,
    #[serde(flatten)]
    line: &'a LogLine,
}

impl<'a> LogEvent<'a> {
    pub(crate) fn of(task: &'a Task, line: &'a LogLine) -> Self {
        let (id, run) = (&task.id, task.run.id);
        Self { id, run, line }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn log(task: &Task, line: &LogLine) -> Event {
    let data = LogEvent::of(task, line).to_json();
    // Without an id: the last one that the client knows goes on saying which state it has seen.
    Event::default().event("log").data(data)
}

#[derive(Serialize)]
struct Gone<'a> {
    id: &'a TaskId,
}

fn deleted(task: &Task) -> Event {
    let data = serde_json::to_string(&Gone { id: &task.id }).unwrap_or_default();
    Event::default().event("deleted").id("0").data(data)
}
