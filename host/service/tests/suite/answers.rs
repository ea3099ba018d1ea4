//! What somebody is answered by each verb, in words.

use std::time::Duration;

use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::error::ServiceError;
use taskhost_store::event::WriteCondition;
use taskhost_store::streams::StreamSettings;
use taskhost_store::tasks::ListRequest;

use crate::guest::{self, COMPLETES, READS};
use crate::people::{key, space};
use crate::population::{Population, request};

/// What an answer was, in one word.
pub(crate) fn word<T>(
    answer: Result<T, ServiceError>,
    say: impl Fn(T) -> &'static str,
) -> &'static str {
    match answer {
        Ok(answer) => say(answer),
        Err(ServiceError::Forbidden { .. }) => "forbidden",
        Err(ServiceError::NotFound { .. }) => "not found",
        Err(ServiceError::UnknownStream { .. }) => "unknown stream",
        Err(ServiceError::IdNotAvailable { reason }) if reason == "choose another one" => "taken",
        Err(ServiceError::NotCompleted {
            status: Status::NotStarted,
        }) => "nothing to acknowledge",
        Err(ServiceError::VersionMismatch) => "another version",
        Err(error) => panic!("{error}"),
    }
}

pub(crate) type Answers = Vec<(&'static str, &'static str)>;

/// Each verb, by somebody, on the task `t` and its stream.
pub(crate) async fn answers(it: &Population, by: &Requester) -> Answers {
    let reads = of_reads(it, by).await;
    let changes = of_changes(it, by).await;
    [reads, changes, of_streams(it, by).await].concat()
}

fn seen(status: Status) -> &'static str {
    match status {
        Status::NotStarted => "nothing",
        _ => "seen",
    }
}

async fn of_reads(it: &Population, by: &Requester) -> Answers {
    let (tasks, t) = (&it.service.tasks, key("t"));
    let run = it.task("t").await.run.id;
    let mut wish = ListRequest::all(space());
    wish.stream = it.stream(guest::STREAM).name.clone().into();
    vec![
        (
            "get",
            word(tasks.get(by, &t).await, |view| seen(view.status)),
        ),
        (
            "wait",
            word(tasks.wait(by, &t, 7, Duration::ZERO).await, |view| {
                seen(view.unwrap().status)
            }),
        ),
        ("log", word(tasks.log(by, &t, run).await, |_| "seen")),
        (
            "list",
            word(tasks.list(by, wish).await, |page| {
                if page.tasks.is_empty() {
                    "nothing"
                } else {
                    "seen"
                }
            }),
        ),
        (
            "recording",
            word(tasks.recording(by, &t, None).await, |_| "seen"),
        ),
    ]
}

async fn of_changes(it: &Population, by: &Requester) -> Answers {
    let (tasks, t) = (&it.service.tasks, key("t"));
    let stale = Some(1);
    let mut absent = request(READS, Some(guest::STREAM));
    absent.condition = Some(WriteCondition::Absent);
    vec![
        // No task has this version: whoever sees it is told so, whatever they want.
        (
            "cancel",
            word(tasks.cancel(by, &t, None, stale).await, |_| "done"),
        ),
        (
            "cancel at all",
            word(tasks.cancel(by, &t, None, None).await, |view| {
                seen(view.status)
            }),
        ),
        (
            "delete",
            word(tasks.delete(by, &t, stale).await, |()| "done"),
        ),
        (
            "delete at all",
            match by.name.as_str() {
                // Whoever may would leave nothing for the others.
                "ann" | "ben" | "adm" => "not tried",
                _ => word(tasks.delete(by, &t, None).await, |()| "done"),
            },
        ),
        (
            "acknowledge",
            word(tasks.acknowledge(by, &t, stale).await, |_| "done"),
        ),
        (
            "schedule",
            word(tasks.schedule(by, t.clone(), absent).await, |_| "done"),
        ),
        (
            "schedule without a stream",
            match by.name.as_str() {
                "ann" | "ben" | "adm" => "not tried",
                _ => word(
                    tasks
                        .schedule(by, t.clone(), request(COMPLETES, None))
                        .await,
                    |_| "done",
                ),
            },
        ),
    ]
}

async fn of_streams(it: &Population, by: &Requester) -> Answers {
    let service = &it.service;
    let stream = it.stream(guest::STREAM);
    let query = Query::range(Timestamp::from_ms(0), Timestamp::from_ms(9));
    vec![
        (
            "stream",
            word(service.streams.get(by, &stream).await, |_| "seen"),
        ),
        (
            "streams",
            word(service.streams.list(by, &space()).await, |all| {
                if all.is_empty() { "nothing" } else { "seen" }
            }),
        ),
        (
            "count",
            word(service.streams.count(by, &stream, &query).await, |_| "seen"),
        ),
        (
            "sample",
            word(
                service.streams.sample(by, &stream, &query).await,
                |_| "seen",
            ),
        ),
        (
            "ingest",
            word(service.streams.ingest(by, &stream, "{}").await, |_| "done"),
        ),
        (
            "put stream",
            word(
                service
                    .streams
                    .put(by, &stream, &StreamSettings::default())
                    .await,
                |_| "done",
            ),
        ),
    ]
}
