//! What a test tells otherwise than a host would.

use serde_json::Value;

use crate::cli::failure::Failure;

/// Params that the type's schema refuses, told with where they come from.
pub(super) fn not_scheduled(params: &str, why: Failure) -> Failure {
    let is_of_params = |mistakes: &str| {
        let mut fields = mistakes.lines().map(str::trim_start);
        fields.all(|line| line.starts_with("params"))
    };
    match why.message.split_once('\n') {
        Some((_, mistakes)) if is_of_params(mistakes) => Failure::failed(format!(
            "the task cannot be scheduled. Its params {params}. What its `params_schema` says to \
             them:\n{mistakes}"
        )),
        _ => why,
    }
}

/// A failed task without the last lines of its log: all of them are told beside it.
pub(super) fn without_log(task: &Value) -> Value {
    let mut task = task.clone();
    // A task's own error has details of its own.
    let is_own = task["error"]["kind"] == "task";
    let details = task.pointer_mut("/error/details").filter(|_| !is_own);
    if let Some(details) = details.and_then(Value::as_object_mut) {
        details.remove("log");
    }
    task
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn params_are_told_with_their_source_and_nothing_else_is() {
        let refused = Failure::failed("not valid:\n  params.name: is missing");
        let told = not_scheduled("are those of --params", refused).message;
        assert!(
            told.contains("--params") && told.ends_with("  params.name: is missing"),
            "{told}"
        );
        for other in ["no such type", "not valid:\n  stream: is missing"] {
            assert_eq!(not_scheduled("are", Failure::failed(other)).message, other);
        }
    }

    #[test]
    fn only_the_hosts_own_report_loses_its_log() {
        let task = |kind: &str| json!({"error": {"kind": kind, "details": {"log": [1], "in": 2}}});
        assert_eq!(
            without_log(&task("trap"))["error"]["details"],
            json!({"in": 2})
        );
        assert_eq!(without_log(&task("task")), task("task"));
        assert_eq!(without_log(&json!({})), json!({}));
    }
}
