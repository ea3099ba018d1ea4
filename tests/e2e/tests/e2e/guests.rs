//! Every guest ends as it has to, while honest tasks run beside it.

use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;

/// Guest, params, and how it ends: the error's kind with words of its message, or `completed`.
fn endings() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    vec![
        ("memory-bomb", json!({}), "out_of_memory", "64"),
        ("deep-recursion", json!({}), "trap", "stack"),
        (
            "panic",
            json!({"message": "what now?"}),
            "trap",
            "what now?",
        ),
        ("trap", json!({}), "trap", "unreachable"),
        ("not-json", json!({}), "invalid_result", "JSON"),
        ("wrong-schema", json!({}), "invalid_result", "answer"),
        (
            "big-result",
            json!({"kib": 1_025}),
            "invalid_result",
            "1048576",
        ),
        ("big-result", json!({"kib": 1_000}), "completed", ""),
        (
            "deep-json",
            json!({"depth": 100_000}),
            "invalid_result",
            "64",
        ),
        ("deep-json", json!({"depth": 64}), "completed", ""),
        (
            "log-flood",
            json!({"lines": 20_000, "bytes": 500}),
            "completed",
            "",
        ),
        ("progress-flood", json!({"calls": 100_000}), "completed", ""),
        ("opens-things", json!({}), "completed", ""),
        ("hostile-calls", json!({}), "completed", ""),
        ("hostile-calls", json!({"what": "dropped"}), "trap", ""),
        ("hostile-calls", json!({"what": "forged"}), "trap", ""),
        ("documents-roundtrip", json!({}), "completed", ""),
        (
            "fails",
            json!({"code": "so-be-it", "message": "no"}),
            "task",
            "no",
        ),
        ("spin", json!({"cpu_ms": 2_000}), "out_of_cpu", "300"),
        ("counter", json!({}), "completed", ""),
    ]
}

#[tokio::test]
async fn every_guest_ends_as_it_has_to_beside_honest_tasks() {
    let mut names: Vec<&str> = endings().iter().map(|row| row.0).collect();
    names.sort_unstable();
    names.dedup();
    names.extend(["hello-task", "endless-loop"]);
    let host = Home::with(&names).start().await;
    for n in 0..4 {
        host.schedule(&format!("loop-{n}"), "endless-loop", json!({}))
            .await;
    }
    for (n, (guest, params, _, _)) in endings().into_iter().enumerate() {
        host.schedule(&format!("guest-{n}"), guest, params).await;
        host.schedule(&format!("hello-{n}"), "hello", json!({"name": guest}))
            .await;
        host.schedule(&format!("honest-{n}"), "spin", json!({"cpu_ms": 100}))
            .await;
    }
    for (n, (guest, _, kind, words)) in endings().into_iter().enumerate() {
        let ended = host.ends(&format!("guest-{n}")).await;
        if kind == "completed" {
            assert_eq!(ended["status"], kind, "{guest}: {ended:#}");
            continue;
        }
        assert_eq!(
            (&ended["status"], &ended["error"]["kind"]),
            (&json!("failed"), &json!(kind)),
            "{guest}: {ended:#}"
        );
        if guest == "panic" {
            let place = ended["error"].to_string();
            assert!(place.contains("panic.rs"), "it says where: {place}");
        }
        let message = ended["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{guest}: `{words}` in: {message}");
        assert!(ended["usage"]["cpu_ms"].is_u64(), "{guest}: {ended:#}");
    }
    for n in 0..endings().len() {
        host.reaches(&format!("hello-{n}"), "completed").await;
        host.reaches(&format!("honest-{n}"), "completed").await;
    }
    reports(&host).await;
    for n in 0..4 {
        host.verb(&format!("loop-{n}"), "cancel").await.expect(200);
        host.reaches(&format!("loop-{n}"), "canceled").await;
    }
}

/// What guests that completed say of what they tried.
async fn reports(host: &Host) {
    let payload = async |guest: &str| {
        let at = endings().iter().position(|row| row.0 == guest).unwrap();
        host.task(&format!("guest-{at}")).await
    };
    let opened = payload("opens-things").await["payload"].clone();
    for (what, outcome) in opened.as_object().unwrap() {
        let nothing = outcome.as_u64() == Some(0)
            || outcome
                .as_str()
                .is_some_and(|text| text.starts_with("refused"));
        let harmless = what == "current_folder" || what == "arguments";
        assert!(nothing || harmless, "{what}: {opened:#}");
    }
    let flood = payload("progress-flood").await;
    assert_eq!(flood["progress"]["done"], 100_000, "{flood:#}");
    let memory = payload("memory-bomb").await["usage"]["peak_memory_bytes"]
        .as_u64()
        .unwrap();
    assert!((32 << 20..=64 << 20).contains(&memory), "{memory}");
    let calls = payload("hostile-calls").await["payload"].clone();
    let codes = [
        "ok",
        "invalid",
        "denied",
        "too-large",
        "not-found",
        "conflict",
    ];
    for (call, answer) in calls.as_object().unwrap() {
        let code = answer.as_str().or(answer["code"].as_str());
        assert!(
            code.is_some_and(|code| codes.contains(&code)),
            "{call}: {answer}"
        );
    }
}
