//! Writes of single documents, sent as `_bulk`.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::{Item, Seen};
use crate::elastic::client::{Cause, Client, Request, unavailable};
use crate::elastic::names::{Index, Names};
use crate::error::StoreError;

/// What is done to a document.
#[derive(Debug, Clone)]
pub(in crate::elastic) enum Op {
    /// Made, if there is none.
    Create(Bytes),
    /// Replaced, if it has this version.
    Replace(Seen, Bytes),
    /// Made or replaced.
    Put(Bytes),
    /// Removed, if it has this version.
    Delete(Seen),
    /// Removed.
    Remove,
}

/// A write of one document.
#[derive(Debug, Clone)]
pub(in crate::elastic) struct Write {
    pub(in crate::elastic) index: Index,
    pub(in crate::elastic) id: String,
    pub(in crate::elastic) op: Op,
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::elastic) enum Written {
    /// It is on disk, as this version.
    Done(Seen),
    /// It exists, or has another version.
    Conflict {
        /// This very write was sent before, and may be what is there.
        is_repeated: bool,
    },
    /// There is nothing to remove.
    Absent,
    /// The shard takes nothing in at the moment. Nobody outside sees this answer.
    Busy,
}

pub(super) struct Waiting {
    pub(super) write: Arc<Write>,
    pub(super) tell: oneshot::Sender<Result<Written, StoreError>>,
}

impl Item for Waiting {
    fn is_wanted(&self) -> bool {
        !self.tell.is_closed()
    }

    fn bytes(&self) -> usize {
        let source = match &self.write.op {
            Op::Create(source) | Op::Replace(_, source) | Op::Put(source) => source.len(),
            Op::Delete(_) | Op::Remove => 0,
        };
        source + 200
    }
}

#[derive(Deserialize)]
struct Answered {
    items: Vec<Answer>,
}

/// One of these, named after what was done.
#[derive(Deserialize)]
enum Answer {
    #[serde(rename = "create", alias = "index", alias = "delete")]
    Any(Fate),
}

#[derive(Deserialize)]
struct Fate {
    status: u16,
    #[serde(rename = "_seq_no")]
    number: Option<u64>,
    #[serde(rename = "_primary_term")]
    term: Option<u64>,
    error: Option<Cause>,
}

pub(super) async fn send(client: Client, names: Names, batch: Vec<Waiting>) {
    let mut body = Vec::with_capacity(batch.iter().map(Item::bytes).sum());
    for waiting in &batch {
        write_lines(&mut body, &names, &waiting.write);
    }
    let request = Request::post("_bulk")
        .with("require_alias", true)
        .with(
            "filter_path",
            "items.*.status,items.*._seq_no,items.*._primary_term,items.*.error",
        )
        .lines(body);
    let answered = match client.expect(&request, &[200]).await {
        Ok(answer) => answer
            .json::<Answered>()
            .map(|answered| (answered, answer.repeated)),
        Err(error) => Err(error),
    };
    match answered {
        Ok((answered, is_repeated)) if answered.items.len() == batch.len() => {
            for (waiting, Answer::Any(result)) in batch.into_iter().zip(answered.items) {
                // Whoever has gone does not want to know.
                let _ = waiting.tell.send(written(result, is_repeated));
            }
        }
        Ok(_) => fail(
            batch,
            &unavailable("Elasticsearch has not answered each write"),
        ),
        Err(error) => fail(batch, &error),
    }
}

fn write_lines(body: &mut Vec<u8>, names: &Names, write: &Write) {
    let mut about = json!({ "_index": names.alias(write.index), "_id": write.id });
    let (name, source) = match &write.op {
        Op::Create(source) => ("create", Some(source)),
        Op::Replace(seen, source) => {
            about["if_seq_no"] = json!(seen.number);
            about["if_primary_term"] = json!(seen.term);
            ("index", Some(source))
        }
        Op::Put(source) => ("index", Some(source)),
        Op::Delete(seen) => {
            about["if_seq_no"] = json!(seen.number);
            about["if_primary_term"] = json!(seen.term);
            ("delete", None)
        }
        Op::Remove => ("delete", None),
    };
    body.extend_from_slice(json!({ name: about }).to_string().as_bytes());
    body.push(b'\n');
    if let Some(source) = source {
        body.extend_from_slice(source);
        body.push(b'\n');
    }
}

fn written(result: Fate, is_repeated: bool) -> Result<Written, StoreError> {
    match (result.status, result.number, result.term, result.error) {
        (200 | 201, Some(number), Some(term), None) => Ok(Written::Done(Seen { term, number })),
        (404, _, _, None) => Ok(Written::Absent),
        (409, ..) => Ok(Written::Conflict { is_repeated }),
        (status, _, _, error) => {
            let error = error.unwrap_or_default().error(status);
            let is_for_the_moment = matches!(status, 429 | 502 | 503 | 504);
            if is_for_the_moment && matches!(error, StoreError::Unavailable { .. }) {
                return Ok(Written::Busy);
            }
            Err(error)
        }
    }
}

fn fail(batch: Vec<Waiting>, error: &StoreError) {
    for waiting in batch {
        let _ = waiting.tell.send(Err(again(error)));
    }
}

/// The same error for another caller.
pub(super) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::DiskFull => StoreError::DiskFull,
        StoreError::Unavailable { reason } => unavailable(reason),
        other => unavailable(&other.to_string()),
    }
}
