//! The changes of a space's tasks as server-sent events: `status`, `progress`, `log`, `deleted`,
//! and `reset` when changes were missed. `id` counts the changes that this host has told of in its
//! life; a client that comes back to the same life with one that is still kept goes on after it.
//!
//! # Why it is cheap to have many watchers
//! A change is written as text once, by the first who sends it. And whoever was sent something
//! hears the next after a moment, together with what has come by then: one write each, however many
//! changes there are.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use futures_util::Stream;
use serde_json::json;
use taskhost_service::{ChangeKind, Follow, Numbered};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::answer::{self, StatusAnswer};
use super::asked::Asked;
use super::codes::Code;
use super::described::{Operation, Routes};
use super::events::{COMMENT_INTERVAL, LogEvent};
use super::list::{about_filter, filter};
use super::problem::Problem;
use super::request::{PathIds, QueryParams};
use super::state::State;

/// Between two writes to one watcher.
const GATHER_FOR: Duration = Duration::from_millis(100);
/// What goes out in one write, unless one change is larger.
const WRITE_BYTES: usize = 64 * 1024;

pub(crate) fn routes() -> Routes {
    Routes::of("Tasks").get("/v1/spaces/{space}/events", events, about_events)
}

fn about_events(it: Operation) -> Operation {
    about_filter(it.says(
        "follow_tasks",
        "Follow the tasks of a space by server-sent events",
    ))
    .details(
        "Events are `status`, `progress`, `log`, `deleted`, and `reset` when some were missed \
             and the tasks have to be read again. `id` is a cursor.",
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
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let mut query = QueryParams::of(request.uri())?;
    let wanted = filter(ids.id("space")?, &mut query)?;
    query.finish()?;
    let place = state.watcher()?;
    let tasks = &state.service().tasks;
    let life = tasks.life();
    let (comes_back, after) = cursor(request.headers(), &life);
    let follow = tasks.follow(state.by(), wanted, after).await?;
    let goes_on = after == Some(follow.begins_after());
    let mut first = Vec::new();
    if comes_back && !goes_on {
        first.extend_from_slice(RESET);
    }
    // An event without data is none; it says where the client is.
    first.extend_from_slice(format!("id: {life}.{}\n\n", follow.begins_after()).as_bytes());
    let feed = Feed {
        first: Some(Bytes::from(first)),
        follow,
        life,
        next_at: Instant::now(),
        state: State::clone(&state),
        _place: place,
    };
    let body = Body::from_stream(feed.into_stream());
    Ok(answer::bytes_of("text/event-stream", StatusCode::OK, body))
}

const RESET: &[u8] = b"event: reset\ndata: {}\n\n";

/// Whether a client comes back, and after which change of this life.
fn cursor(headers: &HeaderMap, life: &str) -> (bool, Option<u64>) {
    let Some(seen) = headers.get("last-event-id") else {
        return (false, None);
    };
    let seen = seen.to_str().unwrap_or_default();
    let number = seen.split_once('.').filter(|(of, _)| *of == life);
    (true, number.and_then(|(_, number)| number.parse().ok()))
}

struct Feed {
    first: Option<Bytes>,
    follow: Follow,
    life: String,
    /// Nothing is written before.
    next_at: Instant,
    state: State,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        futures_util::stream::unfold(self, |mut feed| async move {
            let bytes = feed.next().await?;
            Some((Ok(bytes), feed))
        })
    }

    /// What is written next; none when the host stops.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let stopping = self.state.stopping().clone();
        let next = async {
            tokio::time::sleep_until(self.next_at).await;
            let waited = tokio::time::timeout(COMMENT_INTERVAL, self.follow.next()).await;
            let Ok(first) = waited else {
                return Bytes::from_static(b": \n\n");
            };
            let bytes = self.with_what_came(first).await;
            self.next_at = Instant::now() + GATHER_FOR;
            bytes
        };
        tokio::select! {
            bytes = next => Some(bytes),
            () = stopping.cancelled() => None,
        }
    }

    async fn with_what_came(
        &mut self,
        first: Result<Arc<Numbered>, taskhost_service::Lagged>,
    ) -> Bytes {
        let Ok(first) = first else {
            return Bytes::from_static(RESET);
        };
        let first = sent_as(&first, &self.life);
        let mut all = Vec::new();
        while all.len() < WRITE_BYTES {
            let next = match self.follow.next_at_once().await {
                Ok(Some(change)) => sent_as(&change, &self.life),
                Ok(None) => break,
                Err(_) => Bytes::from_static(RESET),
            };
            if all.is_empty() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&next);
        }
        match all.is_empty() {
            true => first,
            false => Bytes::from(all),
        }
    }
}

/// A change as everybody is sent it.
fn sent_as(numbered: &Numbered, life: &str) -> Bytes {
    let written = || {
        let (number, change) = (numbered.number, &numbered.change);
        let task = &change.task;
        let mut text = String::new();
        let mut event = |name: &str, data: &str| {
            text.push_str(&format!(
                "event: {name}\nid: {life}.{number}\ndata: {data}\n\n"
            ));
        };
        match &change.kind {
            ChangeKind::Status => event("status", &StatusAnswer::of_task(task).to_json()),
            ChangeKind::Progress => event("progress", &StatusAnswer::of_task(task).to_json()),
            ChangeKind::Deleted => event("deleted", &json!({"id": task.id}).to_string()),
            ChangeKind::Log(lines) => {
                for line in lines {
                    event("log", &LogEvent::of(task, line).to_json());
                }
            }
        }
        Bytes::from(text)
    };
    numbered.sent_as.get_or_init(written).clone()
}
