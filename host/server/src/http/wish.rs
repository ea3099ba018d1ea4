//! A wish to run a task, as it comes in a body or in a line of one.

use std::sync::Arc;

use serde::Deserialize;
use taskhost_model::ids::{StreamName, TaskId, TypeId};
use taskhost_model::time::Timestamp;
use taskhost_service::ScheduleRequest;

use super::problem::Problem;
use super::request;

/// What may stand in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleBody {
    id: Option<TaskId>,
    r#type: TypeId,
    stream: Option<StreamName>,
    #[serde(default = "no_params", deserialize_with = "request::text")]
    params: Arc<str>,
    priority: Option<i32>,
    run_at: Option<Timestamp>,
    timeout_ms: Option<u64>,
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
            condition: None,
        };
        (self.id, wish)
    }
}
