//! Follows one task until it ends: by server-sent events, which are taken up again where they
//! broke off, or by long polls where something between here and the host swallows events.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::client::Client;
use super::events::EventParser;
use super::failure::{Exit, Failure};
use super::progress::Progress;

/// Pauses before the connection is tried again; after the last one the host counts as gone.
const PAUSES_MS: [u64; 7] = [100, 200, 500, 1_000, 2_000, 4_000, 8_000];
/// Streams that may break off without an event before polls take over.
const BREAKS_MAX: usize = 3;
/// A connection without even a comment for so long is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// Statuses after which nothing happens by itself.
pub(crate) fn is_ended(status: &str) -> bool {
    matches!(
        status,
        "completed" | "acknowledged" | "failed" | "canceled" | "not_started"
    )
}

/// Shows each state of the task, and answers the last one with its payload.
pub(crate) async fn follow(
    client: &Client,
    id: &str,
    progress: &mut Progress,
) -> Result<Value, Failure> {
    let mut follower = Follower {
        client,
        id,
        cursor: None,
        polls: false,
        met: false,
        told: false,
        misses: 0,
    };
    loop {
        let ended = if follower.polls {
            follower.poll(progress).await
        } else {
            follower.listen(progress).await
        };
        match ended {
            Ok(true) => return follower.read().await,
            Ok(false) => {}
            Err(failure) if failure.exit == Exit::Unreachable => {
                let Some(pause) = PAUSES_MS.get(follower.misses) else {
                    return Err(failure);
                };
                // The first attempt says whether there is a host at all.
                if !follower.met {
                    return Err(failure);
                }
                if !follower.told {
                    progress.note("the host does not answer any more; trying again …");
                    follower.told = true;
                }
                follower.misses += 1;
                tokio::time::sleep(Duration::from_millis(*pause)).await;
            }
            Err(failure) => return Err(failure),
        }
    }
}

struct Follower<'a> {
    client: &'a Client,
    id: &'a str,
    /// Where the events broke off; for polls, the revision.
    cursor: Option<String>,
    polls: bool,
    /// The host has answered once.
    met: bool,
    /// It was said that the host does not answer.
    told: bool,
    /// Failed attempts, and streams that broke off without an event, since the last one.
    misses: usize,
}

impl Follower<'_> {
    async fn read(&self) -> Result<Value, Failure> {
        self.client
            .call(self.client.in_space(Method::GET, &["tasks", self.id]))
            .await
    }

    /// Listens until the task or the connection ends; true when the task has ended.
    async fn listen(&mut self, progress: &mut Progress) -> Result<bool, Failure> {
        let mut request = self
            .client
            .in_space(Method::GET, &["tasks", self.id, "events"]);
        if let Some(cursor) = &self.cursor {
            request = request.header("last-event-id", cursor);
        }
        let mut response = self.client.send(request).await?;
        self.is_up(response.status())?;
        self.answers(progress);
        let kind = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        if !response.status().is_success()
            || !kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            (self.polls, self.cursor) = (true, None);
            return Ok(false);
        }
        let mut parser = EventParser::default();
        loop {
            let part = match tokio::time::timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(part))) => part,
                Ok(Ok(None) | Err(_)) | Err(_) => {
                    self.take_up_again().await;
                    return Ok(false);
                }
            };
            for event in parser.take(&part) {
                self.misses = 0;
                self.cursor = event.id.or_else(|| self.cursor.take());
                if event.name == "deleted" {
                    return Ok(true);
                }
                if !matches!(event.name.as_str(), "status" | "progress") {
                    continue;
                }
                let Ok(task) = serde_json::from_str::<Value>(&event.data) else {
                    continue;
                };
                progress.show(&task);
                if is_ended(task["status"].as_str().unwrap_or_default()) {
                    return Ok(true);
                }
            }
        }
    }

    /// A host that stops says so to whoever comes in its last moments: it may be back.
    fn is_up(&self, status: StatusCode) -> Result<(), Failure> {
        match status {
            StatusCode::SERVICE_UNAVAILABLE => Err(self.client.not_ready()),
            _ => Ok(()),
        }
    }

    fn answers(&mut self, progress: &Progress) {
        if self.told {
            progress.note("the host answers again");
        }
        (self.met, self.told) = (true, false);
    }

    /// A host that stops ends its streams, and may be back in a moment. Where streams break off
    /// again and again, something in between does not let them through.
    async fn take_up_again(&mut self) {
        self.misses += 1;
        if self.misses > BREAKS_MAX {
            (self.polls, self.cursor) = (true, None);
        }
        tokio::time::sleep(Duration::from_millis(PAUSES_MS[0])).await;
    }

    async fn poll(&mut self, progress: &mut Progress) -> Result<bool, Failure> {
        let mut request = self.client.in_space(Method::GET, &["tasks", self.id]);
        if let Some(revision) = &self.cursor {
            request = request.query(&[("wait", "20s"), ("since", revision)]);
        }
        let (status, task) = self.client.answer(request).await?;
        self.is_up(status)?;
        self.answers(progress);
        self.misses = 0;
        if status == StatusCode::NOT_MODIFIED {
            return Ok(false);
        }
        if !status.is_success() {
            return Err(Failure::of_problem(&task));
        }
        self.cursor = Some(task["revision"].to_string());
        progress.show(&task);
        Ok(is_ended(task["status"].as_str().unwrap_or_default()))
    }
}
