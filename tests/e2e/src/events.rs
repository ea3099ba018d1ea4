//! A stream of server-sent events, read one at a time.

use std::collections::VecDeque;

use serde_json::Value;

use crate::PATIENCE;

/// An open stream.
#[derive(Debug)]
pub struct Events {
    response: reqwest::Response,
    text: String,
    ready: VecDeque<Event>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its cursor.
    pub id: String,
    /// `status`, `progress`, `log`, `deleted` or `reset`.
    pub name: String,
    /// Its JSON.
    pub data: Value,
}

impl Events {
    /// Reads from an answer that has begun.
    #[must_use]
    pub fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200, "{response:?}");
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self {
            response,
            text: String::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next event; none when the host has ended the stream.
    pub async fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() {
            let part = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            // An end without goodbye is an end as well.
            let part = part.expect("no event comes").ok().flatten()?;
            self.text.push_str(std::str::from_utf8(&part).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                self.ready.extend(parse(block));
                self.text = rest.to_owned();
            }
        }
        self.ready.pop_front()
    }

    /// Skips to the next event that has this name and meets the predicate.
    pub async fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Event {
        loop {
            let event = self.next().await.expect("the stream ended");
            if event.name == name && wanted(&event.data) {
                return event;
            }
        }
    }
}

/// An event from its lines; a comment alone is none.
fn parse(block: &str) -> Option<Event> {
    let of = |field: &str| {
        let lines = block.lines().filter_map(move |line| {
            line.strip_prefix(field)?
                .strip_prefix(':')
                .map(str::trim_start)
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let data = of("data");
    let data = if data.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&data).unwrap()
    };
    let (id, name) = (of("id"), of("event"));
    (!name.is_empty()).then_some(Event { id, name, data })
}
