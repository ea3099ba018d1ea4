//! A wish to run a task, as it comes in a body or in a line of one.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use taskhost_model::ids::{StreamName, TaskId, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_service::ScheduleRequest;

use super::problem::Problem;
use super::request;

/// What is to be run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TaskWish")]
pub(crate) struct ScheduleBody {
    // Of a line of many alone.
    #[schemars(skip)]
    id: Option<TaskId>,
    /// The task type.
    r#type: TypeId,
    /// The stream that it works on, where its type works on one.
    stream: Option<StreamName>,
    /// As the type's `params_schema` wants them.
    #[serde(default = "no_params", deserialize_with = "request::text")]
    #[schemars(with = "Value", extend("default" = json!({})))]
    params: Arc<str>,
    /// Higher goes first; 0 when left out. One more is worth a minute of waiting.
    #[schemars(range(min = -100, max = 100))]
    priority: Option<i32>,
    /// Not before; at once when left out.
    run_at: Option<Timestamp>,
    /// Shortens the type's limit for one attempt.
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
    /// Whether what the run asks and is answered is kept, so that it can be run again.
    #[serde(default)]
    record: bool,
}

fn no_params() -> Arc<str> {
    Arc::from("{}")
}

impl ScheduleBody {
    /// The wish, where the id comes from elsewhere.
    pub(crate) fn without_id(self, why: &str) -> Result<ScheduleRequest, Problem> {
        match self.with_id() {
            (None, wish) => Ok(wish),
            (Some(_), _) => Err(Problem::invalid("id", format!("is not wanted: {why}"))),
        }
    }

    /// The wish with its id, if it has one.
    pub(crate) fn with_id(self) -> (Option<TaskId>, ScheduleRequest) {
        let wish = ScheduleRequest {
            type_id: self.r#type,
            stream: self.stream,
            params: self.params,
            priority: self.priority,
            run_at: self.run_at,
            timeout_ms: self.timeout_ms,
            record: self.record,
            trace: None,
            condition: None,
        };
        (self.id, wish)
    }
}
