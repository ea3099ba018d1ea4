//! The task: one child after the other, and in short what came of each.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stream_reading::range::Range;
use taskhost_sdk::{Child, Clients, Descriptor, Error, Task};

/// The type that finds the systems.
const IDENTIFICATION: &str = "streams_feature_identification";
/// The type that thinks of queries.
const QUERIES: &str = "streams_significant_events_queries_generation";
/// Longer than any child takes: each has limits of its own, and this run has one.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);
/// What becomes of its own task is the host's to say, so a child that was canceled by itself is no
/// failure of this one.
const CANCELED: [&str; 2] = ["canceled", "deleted"];

/// Which part of the stream to look at, with which model, and whether to keep the queries.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Start of the range, in milliseconds since 1970.
    start: i64,
    /// End of the range, itself not included, in milliseconds since 1970; after the start.
    end: i64,
    /// The language model that both may ask, by the name of its connector in the host's settings.
    #[serde(default)]
    connector: Option<String>,
    /// Whether the queries are kept in the stream's collection `queries`; by default they are only
    /// proposed.
    #[serde(default)]
    save_queries: bool,
}

/// What the children are given.
#[derive(Debug, Serialize)]
struct Given<'p> {
    start: i64,
    end: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    connector: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    save: Option<bool>,
}

/// What came of the children.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Onboarded {
    /// The task that found the systems.
    features_task: FeaturesTask,
    /// The task that thought of queries; none where the first one was canceled.
    queries_task: Option<QueriesTask>,
    /// What was left undone, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// In short, what the first child did; its own task has the whole.
#[derive(Debug, Serialize, JsonSchema)]
struct FeaturesTask {
    /// The child's task.
    id: String,
    /// How it ended.
    status: String,
    /// What the systems are called.
    names: Vec<String>,
    /// How many documents were looked at.
    documents_sampled: u64,
}

/// In short, what the second child did.
#[derive(Debug, Serialize, JsonSchema)]
struct QueriesTask {
    /// The child's task.
    id: String,
    /// How it ended.
    status: String,
    /// What the queries find.
    titles: Vec<String>,
    /// How many were thought of and dropped.
    dropped: u64,
    /// How many were kept that were not there before.
    saved: u64,
}

/// Of a child's result what is passed on; whatever else it has belongs to its type.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    features: Vec<Named>,
    documents_sampled: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Proposed {
    queries: Vec<Titled>,
    dropped: Vec<Value>,
    saved: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Titled {
    title: String,
}

pub(crate) struct Onboarding;

impl Task for Onboarding {
    type Params = Params;
    type Result = Onboarded;

    fn descriptor() -> Descriptor {
        Descriptor::new("streams_onboarding", "1.0.0")
            .title("Onboard a stream")
            .description(
                "Finds the systems that write into a stream, then queries for their significant \
                 events: each is a task of its own, which ends with this one.",
            )
            .stream_required()
            .child(IDENTIFICATION)
            .child(QUERIES)
            .memory_mib(32)
            .cpu_ms(5_000)
            .wall_s(3_600)
    }

    fn run(params: Params, clients: &Clients) -> Result<Onboarded, Error> {
        Range::new(params.start, params.end)?;
        let mut given = Given {
            start: params.start,
            end: params.end,
            connector: params.connector.as_deref(),
            save: None,
        };
        let child = ended(clients, ("features", IDENTIFICATION), &given, 0)?;
        let found: Option<Found> = result_of(&child)?;
        let status = child.status.clone();
        let features_task = features_task(&child, found.unwrap_or_default());
        if CANCELED.contains(&status.as_str()) {
            let note = format!(
                "the task `{}`, which was to find the systems, is {status}: queries were not \
                 looked for",
                child.id
            );
            return Ok(Onboarded {
                features_task,
                queries_task: None,
                note: Some(note),
            });
        }
        given.save = Some(params.save_queries);
        let child = ended(clients, ("queries", QUERIES), &given, 1)?;
        let proposed: Option<Proposed> = result_of(&child)?;
        let note = proposed.is_none().then(|| {
            let status = &child.status;
            format!(
                "the task `{}`, which was to think of queries, is {status}",
                child.id
            )
        });
        clients
            .progress
            .report(2, Some(2), "both tasks have ended")?;
        Ok(Onboarded {
            features_task,
            queries_task: Some(queries_task(&child, proposed.unwrap_or_default())),
            note,
        })
    }
}

/// Has a child do it, and waits until it has. A run that begins again finds the same one.
fn ended(
    clients: &Clients,
    (key, task_type): (&str, &str),
    given: &Given<'_>,
    done: u64,
) -> Result<Child, Error> {
    let id = clients.children.spawn(key, task_type, given)?;
    let message = format!("waiting for {id} ({task_type})");
    clients.progress.phase(key)?;
    clients.progress.report(done, Some(2), &message)?;
    let ended = clients.children.wait_any(&[id], PATIENCE)?;
    ended.ok_or_else(|| {
        let message = format!("the child of type `{task_type}` has not ended in a day");
        Error::failed("slow", message)
    })
}

/// What a child has found; none of one that somebody canceled or deleted.
///
/// # Errors
/// The child's own, if it failed.
fn result_of<T: serde::de::DeserializeOwned>(child: &Child) -> Result<Option<T>, Error> {
    if CANCELED.contains(&child.status.as_str()) {
        return Ok(None);
    }
    if let Some(error) = &child.error {
        let name = child.key.as_deref().unwrap_or(&child.id);
        let message = format!(
            "the child `{name}` ({}) has failed: {}",
            child.id, error.message
        );
        let failed = Error::failed(error.code.as_str(), message);
        return Err(match &error.details {
            Some(details) if details.is_object() => failed.with_details(details.clone()),
            _ => failed,
        });
    }
    child.result().map(Some)
}

fn features_task(child: &Child, found: Found) -> FeaturesTask {
    FeaturesTask {
        id: child.id.clone(),
        status: child.status.clone(),
        names: found.features.into_iter().map(|it| it.name).collect(),
        documents_sampled: found.documents_sampled,
    }
}

fn queries_task(child: &Child, proposed: Proposed) -> QueriesTask {
    QueriesTask {
        id: child.id.clone(),
        status: child.status.clone(),
        titles: proposed.queries.into_iter().map(|it| it.title).collect(),
        dropped: proposed.dropped.len() as u64,
        saved: proposed.saved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn child(more: &Value) -> Child {
        let mut child = json!({"id": "child-1", "key": "features", "ended": true});
        for (key, value) in more.as_object().unwrap() {
            child[key] = value.clone();
        }
        serde_json::from_value(child).unwrap()
    }

    #[test]
    fn a_childs_result_is_taken_in_short_and_its_error_as_it_is() {
        let done = child(&json!({"status": "completed", "result": {
            "features": [{"name": "sshd", "more": 1}], "documents_sampled": 7, "model": {}}}));
        let found: Found = result_of(&done).unwrap().unwrap();
        let task = features_task(&done, found);
        assert_eq!(
            (task.names, task.documents_sampled),
            (vec!["sshd".to_owned()], 7)
        );
        let failed = child(&json!({"status": "failed", "error": {
            "kind": "task", "code": "no-luck", "message": "it had none", "details": {"a": 1}}}));
        let error = result_of::<Found>(&failed).unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), ("no-luck", false));
        assert!(
            error.message().ends_with("has failed: it had none"),
            "{error}"
        );
        assert_eq!(error.details().unwrap()["a"], 1);
    }

    #[test]
    fn a_child_that_was_canceled_or_deleted_is_no_failure() {
        for status in CANCELED {
            let canceled = child(&json!({"status": status}));
            assert!(result_of::<Found>(&canceled).unwrap().is_none());
        }
    }
}
