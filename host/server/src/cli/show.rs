//! Shows one task to people: what it is, how it went, what came of it.

use serde_json::Value;
use taskhost_model::time::{Clock, Timestamp};

use super::follow::is_ended;
use super::text;

/// Prints a task; as JSON on one line when that is wanted.
pub(crate) fn task(id: &str, task: &Value, json: bool) {
    if json {
        say!("{}", text::json(task));
    } else {
        say!("{}", text_of_task(id, task));
    }
}

fn text_of_task(id: &str, task: &Value) -> String {
    let mut lines = vec![format!("{id}: {}", string(&task["status"]))];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<10} {value}"));
        }
    };
    line("type", string(&task["type"]));
    line("stream", string(&task["stream"]));
    line(
        "child",
        joined(&task["parent"]["key"], "of", &task["parent"]["task"]),
    );
    line(
        "scheduled",
        joined(&task["created_at"], "by", &task["requested_by"]),
    );
    line("key", string(&task["concurrency_key"]));
    if task["record"] == true {
        line(
            "recorded",
            format!("for a day after its end: taskhost replay {id}"),
        );
    }
    line("run", run(task));
    line("due", waits_until(task).unwrap_or_default());
    if task["run"]["waiting_for"] != "run_at" {
        line("waits", string(&task["run"]["waiting_because"]));
    }
    line("goes", string(&task["expires_at"]));
    line("progress", progress(&task["progress"]));
    line("used", usage(&task["usage"]));
    line("canceled", canceled(task));
    line("error", error(&task["error"]));
    // A task's own error has details of its own.
    let report = match task["error"]["kind"].as_str() {
        Some("task") => &Value::Null,
        _ => &task["error"]["details"],
    };
    line("last call", string(&report["last_call"]));
    for (name, lines) in [("in", &report["frames"]), ("log", &report["log"])] {
        for each in lines.as_array().into_iter().flatten() {
            line(name, string(each));
        }
    }
    if let Some(payload) = task.get("payload") {
        let pretty = serde_json::to_string_pretty(payload).unwrap_or_default();
        lines.push("  result".to_owned());
        lines.extend(
            text::shown_lines(&pretty)
                .lines()
                .map(|line| format!("    {line}")),
        );
    }
    lines.join("\n")
}

fn string(value: &Value) -> String {
    value.as_str().map(text::shown).unwrap_or_default()
}

/// `A by B`, or as much of it as there is; nothing without A.
fn joined(first: &Value, word: &str, second: &Value) -> String {
    match (string(first), string(second)) {
        (first, second) if first.is_empty() || second.is_empty() => first,
        (first, second) => format!("{first} {word} {second}"),
    }
}

/// When a run that waits may start, if that is later than now.
pub(super) fn waits_until(task: &Value) -> Option<String> {
    let run = &task["run"];
    let waits = matches!(
        run["state"].as_str(),
        Some("queued" | "waiting_retry" | "suspended")
    );
    let due_at = Timestamp::parse(run["due_at"].as_str()?).ok()?;
    (waits && due_at > Clock::System.now()).then(|| due_at.to_string())
}

/// When a cancel was asked for or has ended the task, by whom, and why.
fn canceled(task: &Value) -> String {
    let run = &task["run"];
    let asked = run["cancel_requested_at"].is_string();
    let at = match task["status"].as_str() {
        Some("being_canceled") => &run["cancel_requested_at"],
        Some("canceled") => &task["last_canceled_at"],
        // An earlier run was canceled; that is of no interest any more.
        _ => return String::new(),
    };
    let line = joined(at, "by", &task["canceled_by"]);
    match string(&run["cancel_reason"]) {
        reason if asked && !reason.is_empty() => format!("{line}: {reason}"),
        _ => line,
    }
}

/// How often it was tried; of how many tries only while there may be more of them.
fn run(task: &Value) -> String {
    let run = &task["run"];
    let (Some(attempt), Some(max)) = (run["attempt"].as_u64(), run["max_attempts"].as_u64()) else {
        return String::new();
    };
    let state = match run["state"].as_str() {
        Some(state) => format!("{}, ", text::shown(state)),
        None => String::new(),
    };
    let of_at_most = match task["status"].as_str() {
        Some(status) if is_ended(status) => String::new(),
        _ => format!(" of at most {max}"),
    };
    let died = match run["crashes"].as_u64() {
        None | Some(0) => String::new(),
        Some(1) => ", its host died once".to_owned(),
        Some(times) => format!(", its host died {times} times"),
    };
    let paused = match run["pauses"].as_u64() {
        None | Some(0) => String::new(),
        Some(1) => ", paused once".to_owned(),
        Some(times) => format!(", paused {times} times"),
    };
    let id = string(&run["id"]);
    let host = match string(&run["host"]) {
        host if host.is_empty() => host,
        host => format!(", on {host}"),
    };
    format!("{state}attempt {attempt}{of_at_most}{paused}{died}{host}, id {id}")
}

fn progress(progress: &Value) -> String {
    let Some(done) = progress["done"].as_u64() else {
        return String::new();
    };
    let count = match progress["total"].as_u64() {
        Some(total) => format!("{done} of {total}"),
        None if done > 0 => done.to_string(),
        None => String::new(),
    };
    let said = [&progress["phase"], &progress["message"]];
    let given = |part: &String| !part.is_empty();
    let said: Vec<String> = said.into_iter().map(string).filter(given).collect();
    let parts = [count, said.join(": ")];
    let parts: Vec<String> = parts.into_iter().filter(given).collect();
    parts.join(", ")
}

fn usage(usage: &Value) -> String {
    let number = |key: &str| usage[key].as_u64();
    match (
        number("cpu_ms"),
        number("peak_memory_bytes"),
        number("host_calls"),
    ) {
        (Some(cpu), Some(memory), Some(calls)) => {
            let tokens = match number("tokens") {
                None | Some(0) => String::new(),
                Some(1) => ", 1 token".to_owned(),
                Some(tokens) => format!(", {tokens} tokens"),
            };
            let memory = text::bytes(memory);
            let calls = if calls == 1 {
                "1 host call".into()
            } else {
                format!("{calls} host calls")
            };
            format!("{cpu} ms of computing, {memory} of memory, {calls}{tokens}")
        }
        _ => String::new(),
    }
}

/// `out_of_cpu: …` where the host judged, `task (CODE): …` where the component named its error.
fn error(error: &Value) -> String {
    let message = string(&error["message"]);
    match (string(&error["kind"]).as_str(), string(&error["code"])) {
        ("", _) => message,
        ("task", code) if !code.is_empty() => format!("task ({code}): {message}"),
        (kind, _) => format!("{kind}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_task_is_shown_with_everything_escaped() {
        let task = json!({
            "status": "failed", "type": "hello", "created_at": "2026-01-01T00:00:00.000Z",
            "requested_by": "local",
            "run": {"id": "r", "attempt": 1, "max_attempts": 3, "crashes": 2, "pauses": 1},
            "progress": {"done": 2, "total": 5, "phase": "p", "message": "\u{1b}[1m"},
            "usage": {"cpu_ms": 7, "peak_memory_bytes": 2048, "host_calls": 3, "tokens": 12},
            "error": {"kind": "trap", "code": "trap", "message": "no \u{202e}luck",
                "details": {"last_call": "streams.sample", "frames": ["f::g"], "log": ["a\tb"]}},
        });
        let expected = [
            "t: failed",
            "  type       hello",
            "  scheduled  2026-01-01T00:00:00.000Z by local",
            "  run        attempt 1, paused once, its host died 2 times, id r",
            "  progress   2 of 5, p: \\u{1b}[1m",
            "  used       7 ms of computing, 2.0 KiB of memory, 3 host calls, 12 tokens",
            "  error      trap: no \\u{202e}luck",
            "  last call  streams.sample",
            "  in         f::g",
            "  log        a\\tb",
        ];
        assert_eq!(text_of_task("t", &task), expected.join("\n"));
    }

    #[test]
    fn a_verdict_of_the_host_is_named_by_its_kind() {
        let verdict = json!({"kind": "out_of_cpu", "code": "out-of-cpu", "message": "m"});
        assert_eq!(error(&verdict), "out_of_cpu: m");
    }

    #[test]
    fn only_a_run_that_goes_on_has_attempts_left() {
        let run_of = |status: &str, crashes: u32| {
            let run_document =
                json!({"id": "r", "attempt": 1, "max_attempts": 3, "crashes": crashes});
            run(&json!({"status": status, "run": run_document}))
        };
        assert_eq!(run_of("in_progress", 0), "attempt 1 of at most 3, id r");
        let died = "attempt 1 of at most 3, its host died once, id r";
        assert_eq!(run_of("in_progress", 1), died);
        assert_eq!(run_of("completed", 0), "attempt 1, id r");
    }

    #[test]
    fn a_wait_and_a_cancel_say_when_and_why() {
        let task = json!({
            "status": "in_progress",
            "run": {"id": "r", "attempt": 1, "max_attempts": 1, "state": "queued",
                "due_at": "2999-01-01T00:00:00.000Z"},
        });
        let shown = text_of_task("t", &task);
        assert!(
            shown.contains("\n  due        2999-01-01T00:00:00.000Z"),
            "{shown}"
        );
        let at = "2026-01-01T00:00:00.000Z";
        let task = json!({
            "status": "canceled", "last_canceled_at": at, "canceled_by": "local",
            "run": {"cancel_requested_at": at, "cancel_reason": "too\nslow", "due_at": at},
        });
        let expected = format!("t: canceled\n  canceled   {at} by local: too\\nslow");
        assert_eq!(text_of_task("t", &task), expected);
    }

    #[test]
    fn progress_that_says_nothing_is_not_shown() {
        for (given, expected) in [
            (json!({"done": 0}), ""),
            (json!({"done": 0, "message": "m"}), "m"),
            (json!({"done": 4}), "4"),
            (json!({"done": 0, "total": 3, "phase": "p"}), "0 of 3, p"),
        ] {
            assert_eq!(progress(&given), expected);
        }
    }

    #[test]
    fn a_former_cancel_is_not_shown() {
        let task = json!({"status": "completed", "last_canceled_at": "2026-01-01T00:00:00.000Z"});
        assert_eq!(text_of_task("t", &task), "t: completed");
    }

    #[test]
    fn a_result_is_shown_over_several_lines() {
        let task = json!({"status": "completed", "payload": {"a": "x\u{9b}\ny"}});
        let expected = "t: completed\n  result\n    {\n      \"a\": \"x\\u{9b}\\ny\"\n    }";
        assert_eq!(text_of_task("t", &task), expected);
        assert_eq!(
            text_of_task("t", &json!({"status": "not_started"})),
            "t: not_started"
        );
    }
}
