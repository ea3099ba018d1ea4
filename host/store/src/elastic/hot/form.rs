//! A task's document as JSON.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::task::Task;

use super::{Hot, Texts};
use crate::error::StoreError;
use crate::place::Place;

/// What stands beside the fields of the task.
#[derive(Serialize, Deserialize)]
struct Beside {
    place: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lane: Option<String>,
    holds_key: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_kind: Option<ErrorKind>,
    written: String,
    task: Opaque,
}

#[derive(Serialize, Deserialize)]
struct Opaque {
    #[serde(flatten)]
    texts: Texts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<TaskError>,
}

impl Hot {
    /// The document.
    pub(in crate::elastic) fn to_json(&self) -> Result<Bytes, StoreError> {
        let mut task = self.task.clone();
        let beside = Beside {
            place: name(self.place).to_owned(),
            lane: self.lane(),
            holds_key: task.holds_key(),
            error_kind: task.error.as_ref().map(|error| error.kind),
            written: self.written.clone(),
            task: Opaque {
                texts: self.texts.clone(),
                error: task.error.take(),
            },
        };
        let unwritable = |error: serde_json::Error| corrupt(&error);
        let mut json = serde_json::to_vec(&task).map_err(unwritable)?;
        let beside = serde_json::to_vec(&beside).map_err(unwritable)?;
        // One object of two.
        json.pop();
        json.push(b',');
        json.extend_from_slice(&beside[1..]);
        Ok(Bytes::from(json))
    }

    /// The same of one document of many: one that cannot be read is told and left out, so that it
    /// does not keep what can from being claimed, listed or taken over.
    pub(in crate::elastic) fn readable(json: &[u8]) -> Option<Self> {
        Self::from_json(json)
            .inspect_err(|error| tracing::warn!(%error, "a task is left out"))
            .ok()
    }

    /// Reads what [`Self::to_json`] made.
    pub(in crate::elastic) fn from_json(json: &[u8]) -> Result<Self, StoreError> {
        let read = || {
            let mut task: Task = serde_json::from_slice(json)?;
            let beside: Beside = serde_json::from_slice(json)?;
            task.error = beside.task.error;
            Ok(Self {
                task,
                texts: beside.task.texts,
                place: place(&beside.place),
                written: beside.written,
            })
        };
        read().map_err(|error: serde_json::Error| corrupt(&error))
    }
}

fn corrupt(error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt {
        reason: format!("a task's document: {error}"),
    }
}

/// The name of a place in the index.
pub(in crate::elastic) fn name(place: Place) -> &'static str {
    match place {
        Place::Rest => "rest",
        Place::Ready | Place::Behind => "ready",
        Place::Waiting => "waiting",
        Place::Held => "held",
        Place::Tombstone => "tombstone",
    }
}

fn place(name: &str) -> Place {
    match name {
        "ready" => Place::Ready,
        "waiting" => Place::Waiting,
        "held" => Place::Held,
        "tombstone" => Place::Tombstone,
        _ => Place::Rest,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use taskhost_model::ids::{Incarnation, RunId};
    use taskhost_model::time::Timestamp;

    use super::super::{Former, Log, Text};
    use super::*;
    use crate::elastic::names::Index;

    /// A task of which every field is set.
    fn full() -> Task {
        let at = Timestamp::from_ms(1_795_000_000_123);
        let error = TaskError::of(ErrorKind::Task, "it \u{0} failed");
        let run = json!({
                "id": RunId::new(), "attempt": 1, "max_attempts": 3, "state": "running",
                "priority": -5, "due_at": at, "rank": 7, "started_at": at, "deadline_at": at,
                "timeout_ms": u64::MAX, "wall_ms": 5, "lease_number": 4, "host": "h",
                "incarnation": Incarnation::new(), "digest": "a".repeat(64),
                "trace": taskhost_model::trace::TraceParent::root(),
                "cancel_requested_at": at, "cancel_reason": "r", "crashes": 1, "pauses": 2,
                "suspension": {"wait": "w", "until": at, "times": 1, "ids": ["x"]},
                "checkpoints_of": RunId::new(),
        });
        serde_json::from_value(json!({
            "id": "t", "type": "hello", "space": "default", "stream": "logs",
            "also_reads": ["shop"],
            "status": "in_progress", "created_at": at, "last_completed_at": at,
            "last_acknowledged_at": at, "last_canceled_at": at, "last_failed_at": at,
            "parent": {"task": "p", "run": RunId::new(), "key": "k", "depth": 1,
                "stream": "logs", "also_reads": ["shop"]},
            "concurrency_key": "one", "record": true, "requested_by": "a", "canceled_by": "b",
            "acknowledged_by": "c", "version": 1, "revision": 2, "deleted_at": at,
            "previous": [{"run": RunId::new(), "lease_number": 1,
                "incarnation": Incarnation::new()}],
            "run": run, "expires_at": at,
            "receipt": {"body": "b", "run": RunId::new(), "at": at},
            "progress": {"done": 1, "total": 2, "message": "m", "phase": "p", "updated_at": at},
            "usage": {"attempt": 1, "cpu_ms": 1, "host_wait_ms": 2, "peak_memory_bytes": 3,
                "host_calls": 4},
            "error": error,
        }))
        .unwrap()
    }

    fn hot() -> Hot {
        let texts = Texts {
            params: Some(Text::Here(Arc::from("{\"a\" : \"\\u0000\"}"))),
            payload: Some(Text::Apart("of a run".to_owned())),
            log: Log {
                bytes: 9,
                apart: vec!["first".to_owned()],
                here: "last\n".to_owned(),
            },
            former: vec![Former {
                run: RunId::new(),
                id: "former".to_owned(),
            }],
        };
        Hot::new(full(), texts, Timestamp::from_ms(0), "w")
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let hot = hot();
        assert_eq!(Hot::from_json(&hot.to_json().unwrap()).unwrap(), hot);
    }

    /// The index takes no field that it does not know.
    #[test]
    fn every_field_is_in_the_mapping() {
        fn check(value: &Value, properties: &Value) {
            for (name, value) in value.as_object().unwrap() {
                let mapping = properties.get(name);
                let mapping = mapping.unwrap_or_else(|| panic!("{name} is not in the mapping"));
                if let Some(inner) = mapping.get("properties") {
                    check(value, inner);
                }
            }
        }
        let json: Value = serde_json::from_slice(&hot().to_json().unwrap()).unwrap();
        check(&json, &crate::elastic::schema::properties(Index::Tasks));
    }
}
