//! Runs of other task types, spawned by this one.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::children;
use crate::error::Error;
use crate::json::{answer, encode};

/// Spawns runs of other task types that the descriptor asks for
/// ([`Descriptor::child`](crate::Descriptor::child)) and the operator allows, and waits for them.
/// Reached as `clients.children`.
///
/// A child lives in the space and on the stream of its parent, and for the same requester. What has
/// not ended when the parent's run ends is canceled. A run may have 1,000 children, 4 levels deep.
///
/// While it waits a run holds no place. Its host may even end it in [`Self::wait_any`] and begin it
/// again when a child has ended. So a task that waits has to be repeatable: the same keys give the
/// same children, and what else is costly belongs into a checkpoint
/// ([`State`](crate::State)).
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// use std::time::Duration;
///
/// let mut waiting = Vec::new();
/// for name in ["Ann", "Bob"] {
///     let params = serde_json::json!({"name": name});
///     waiting.push(clients.children.spawn(name, "hello", &params)?);
/// }
/// while !waiting.is_empty() {
///     let Some(child) = clients.children.wait_any(&waiting, Duration::from_secs(60))? else {
///         return Err(taskhost_sdk::Error::failed("slow", "no child has ended in a minute"));
///     };
///     waiting.retain(|id| *id != child.id);
///     let greeting: serde_json::Value = child.result()?;
///     taskhost_sdk::info!("{greeting}");
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Children;

/// How a child stands.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Child {
    /// Its task id.
    pub id: String,
    /// The key that it was spawned with; none of a deleted one.
    #[serde(default)]
    pub key: Option<String>,
    /// The status of its task, or `deleted`. More may be added: go by `ended`.
    pub status: String,
    /// Whether it will not change by itself any more.
    pub ended: bool,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<ChildError>,
    /// A result that is `null` is one too.
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    #[serde(default)]
    left_out: Option<LeftOut>,
}

fn present<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// Why a child failed.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ChildError {
    /// The cause: `task` for an error that the child returned.
    pub kind: String,
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
    /// More, for programs.
    #[serde(default)]
    pub details: Option<Value>,
}

/// How a child is scheduled.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[non_exhaustive]
pub struct ChildOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
struct LeftOut {
    result_bytes: u64,
}

impl Children {
    /// Schedules a child, or finds the one that was scheduled with this key, and answers its id.
    /// `key`: up to 64 letters, digits, `_`, `.` and `-`, beginning with a letter or digit.
    ///
    /// # Errors
    /// `denied` (the descriptor does not ask for the type, or the operator does not allow it),
    /// `not-found` (the host does not have it), `invalid` key or params, `too-large`, `conflict`
    /// (the key stands for a child of another type or with other params), `quota-exceeded`,
    /// `canceled`, `deadline`, `unavailable`.
    pub fn spawn(
        &self,
        key: &str,
        task_type: &str,
        params: &impl Serialize,
    ) -> Result<String, Error> {
        self.spawn_with(key, task_type, params, ChildOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`Self::spawn`].
    pub fn spawn_with(
        &self,
        key: &str,
        task_type: &str,
        params: &impl Serialize,
        options: ChildOptions,
    ) -> Result<String, Error> {
        ask_host("children.spawn");
        let params = encode(params, "the child's params")?;
        let options = encode(&options, "the options")?;
        Ok(children::spawn(key, task_type, &params, Some(&options))?)
    }

    /// How a child stands.
    ///
    /// # Errors
    /// `not-found` (no child of this run), `canceled`, `deadline`, `unavailable`.
    pub fn status(&self, id: &str) -> Result<Child, Error> {
        ask_host("children.status");
        answer(&children::status(id)?, "the child's status")
    }

    /// Waits until one of the children has ended, and answers with the first of those that have, in
    /// the order of `ids`; none when the time is up. One that has ended already is answered at
    /// once: leave it out of the next call.
    ///
    /// # Errors
    /// `not-found` (one of them is no child of this run), `invalid` (none, or more than 1,000),
    /// `canceled`, `deadline`, `unavailable`.
    pub fn wait_any(&self, ids: &[String], timeout: Duration) -> Result<Option<Child>, Error> {
        ask_host("children.wait-any");
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let ended = children::wait_any(ids, timeout_ms)?;
        ended
            .map(|status| answer(&status, "the child's status"))
            .transpose()
    }

    /// Asks a child to stop; one that has ended stays as it is.
    ///
    /// # Errors
    /// `not-found` (no child of this run), `unavailable`.
    pub fn cancel(&self, id: &str) -> Result<(), Error> {
        ask_host("children.cancel");
        Ok(children::cancel(id)?)
    }
}

impl Child {
    /// Its result, if it is completed.
    ///
    /// # Errors
    /// `child-failed` where it ended otherwise, or has not; `too-large` where the result cannot be
    /// handed over; `unexpected-answer` where it is not a `T`.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if let Some(LeftOut { result_bytes }) = self.left_out {
            let message = format!(
                "the result of {} has {result_bytes} bytes, which is too much to be handed over: \
                 let it return less, or keep it in a collection",
                self.name()
            );
            return Err(Error::failed("too-large", message));
        }
        let Some(result) = &self.result else {
            let why = self.error.as_ref().map_or_else(String::new, |error| {
                format!(": {} ({})", error.message, error.code)
            });
            let message = format!("{} is `{}`{why}", self.name(), self.status);
            return Err(Error::failed("child-failed", message));
        };
        answer(
            &result.to_string(),
            &format!("the result of {}", self.name()),
        )
    }

    fn name(&self) -> String {
        let name = self.key.as_ref().unwrap_or(&self.id);
        format!("the child `{name}`")
    }
}

impl ChildOptions {
    /// No options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From −100 to 100, higher goes first; the parent's by default.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Shortens the time that the child's type gives each attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout_ms = u64::try_from(timeout.as_millis()).ok();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(status: &str) -> Child {
        answer(status, "it").unwrap()
    }

    #[test]
    fn a_result_is_read_or_its_lack_explained() {
        let done = child(
            r#"{"id":"child-1","key":"a","status":"completed","ended":true,"result":{"sum":7}}"#,
        );
        assert_eq!(done.result::<Value>().unwrap()["sum"], 7);
        assert_eq!(
            done.result::<u32>().unwrap_err().code(),
            "unexpected-answer"
        );
        let failed = child(
            r#"{"id":"child-1","key":"a","status":"failed","ended":true,
                "error":{"kind":"task","code":"no-luck","message":"it had none"}}"#,
        );
        let error = failed.result::<Value>().unwrap_err();
        assert_eq!(error.code(), "child-failed");
        let expected = "the child `a` is `failed`: it had none (no-luck)";
        assert!(error.to_string().contains(expected), "{error}");
        let large = child(
            r#"{"id":"child-1","status":"completed","ended":true,
                "left_out":{"result_bytes":99}}"#,
        );
        assert_eq!(large.result::<Value>().unwrap_err().code(), "too-large");
        let nothing = r#"{"id":"child-1","status":"completed","ended":true,"result":null}"#;
        child(nothing).result::<()>().unwrap();
    }

    #[test]
    fn options_are_written_where_they_are_given() {
        let text = |options| encode(&options, "them").unwrap();
        assert_eq!(text(ChildOptions::new()), "{}");
        let both = ChildOptions::new()
            .priority(-7)
            .timeout(Duration::from_secs(2));
        assert_eq!(text(both), r#"{"priority":-7,"timeout_ms":2000}"#);
    }
}
