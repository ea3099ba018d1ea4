//! Language models: a task asks one behind a server that speaks OpenAI's protocol.

use std::sync::Arc;

use serde_json::{Value, json};
use taskhost_e2e::encrypted;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::model::{self, ModelServer, Said, Seen};
use tokio::sync::Barrier;

const KEY: &str = "sk-nobody-shall-see-this";

/// A home whose type `asks-model` may ask the models of that server.
fn home_of(url: &str, more: &str) -> Home {
    let home = Home::with(&["asks-model", "sleeper", "fails"]);
    std::fs::write(home.path().join("key"), format!("{KEY}\n")).unwrap();
    home.settings(&format!(
        "runs.slots = 1\n[[allow]]\ntype = \"asks-model\"\nmodels = [\"small\", \"large\"]\n\
         [connectors.small]\nurl = \"{url}\"\nmodel = \"tiny\"\nkey_file = \"key\"\n{more}"
    ));
    home
}

async fn host_of(url: &str, more: &str) -> Host {
    home_of(url, more).start().await
}

async fn server(script: impl Fn(&Seen, usize) -> Said + Send + Sync + 'static) -> ModelServer {
    ModelServer::start(script).await
}

fn asks(what: &str) -> Value {
    json!({"ask": what})
}

fn limited(header: &'static str, value: &str) -> Said {
    Said::Status(429, vec![(header, value.to_owned())], "{}".to_owned())
}

#[tokio::test]
async fn a_task_asks_a_model_and_what_it_took_is_shown() {
    let server = server(|seen, _| {
        let body = &seen.body;
        let was_called = body["messages"].as_array().is_some_and(|all| all.len() > 2);
        if seen.path == "/v1/embeddings" {
            let data = json!([{"index": 0, "embedding": [0.5]}, {"index": 1, "embedding": [1]}]);
            return Said::Json(json!({"data": data, "usage": {"prompt_tokens": 2}}));
        }
        if body["response_format"].is_object() {
            return Said::Json(model::text(r#"{"name": "sshd", "confidence": 90}"#));
        }
        if body["tools"].is_array() && !was_called {
            let function = json!({"name": "weather", "arguments": "{\"city\":\"Ulm\"}"});
            let call = json!({"id": "c1", "type": "function", "function": function});
            let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            return Said::Json(model::message(&message, "tool_calls"));
        }
        Said::Json(model::text("sshd"))
    })
    .await;
    let host = host_of(&server.url(), "").await;
    for (ask, payload, tokens) in [
        ("text", json!("sshd"), 12),
        ("typed", json!({"name": "sshd", "confidence": 90}), 12),
        (
            "tool",
            json!({"arguments": {"city": "Ulm"}, "text": "sshd"}),
            24,
        ),
        ("embed", json!([[0.5], [1.0]]), 2),
        ("budget", json!([100_000, 99_988]), 12),
    ] {
        let done = host.run(ask, "asks-model", asks(ask)).await;
        assert_eq!(done["payload"], payload, "{done:#}");
        assert_eq!(done["usage"]["tokens"], tokens, "{done:#}");
    }
    let shown = host.cli(&["status", "text"]).await.done();
    assert!(shown.contains(", 12 tokens"), "{shown}");
    let bearer = format!("Bearer {KEY}");
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.authorization == bearer)
    );
    assert!(!host.log().contains(KEY), "{}", host.log());
}

#[tokio::test]
async fn many_chats_go_at_once_as_far_as_the_connector_allows() {
    let together = Arc::new(Barrier::new(4));
    let server = server(move |seen, _| {
        let said = seen.body["messages"][0]["content"].as_str().unwrap();
        Said::Together(Arc::clone(&together), model::text(said))
    })
    .await;
    let host = host_of(&server.url(), "requests_at_once = 4\n").await;
    let params = json!({"ask": "many", "count": 12});
    let done = host.run("t", "asks-model", params).await;
    let expected: Vec<_> = (0..12).map(|n| n.to_string()).collect();
    assert_eq!(done["payload"], json!(expected), "{done:#}");
    assert_eq!(server.most_at_once(), 4);
}

#[tokio::test]
async fn a_model_that_wants_a_pause_gets_it_and_holds_no_slot() {
    let server = server(|_, nth| match nth {
        0 | 1 => limited("retry-after-ms", "30"),
        3 => limited("retry-after", "3600"),
        _ => Said::Json(model::text("sshd")),
    })
    .await;
    let host = host_of(&server.url(), "").await;
    let done = host.run("short", "asks-model", asks("text")).await;
    assert_eq!(
        (&done["status"], &done["payload"]),
        (&json!("completed"), &json!("sshd"))
    );
    let run = &done["run"];
    assert_eq!(
        (&run["attempt"], &run["pauses"]),
        (&json!(1), &json!(2)),
        "{done:#}"
    );
    let usage = &done["usage"];
    assert_eq!(
        (&usage["attempt"], &usage["tokens"]),
        (&json!(1), &json!(12))
    );
    // Its guest was begun three times, and asked the model each time.
    assert!(usage["host_calls"].as_u64() >= Some(3), "{done:#}");

    host.schedule("long", "asks-model", asks("text")).await;
    let waits = host
        .until("long", |task| task["run"]["state"] == "waiting_retry")
        .await;
    assert_eq!(
        (&waits["run"]["attempt"], &waits["run"]["pauses"]),
        (&json!(1), &json!(1))
    );
    let other = host.run("other", "sleeper", json!({"ms": 1})).await;
    assert_eq!(other["status"], "completed", "the only slot is free");
    let shown = host.cli(&["status", "long"]).await.done();
    assert!(
        shown.contains("waiting_retry") && shown.contains("paused once"),
        "{shown}"
    );
    host.verb("long", "cancel").await.expect(200);
    host.reaches("long", "canceled").await;
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_task_cannot_pause_for_ever() {
    let host = Home::with(&["fails"]).start().await;
    let params = json!({"code": "rate-limited", "retryable": true, "retry_after_ms": 0});
    let failed = host.run("t", "fails", params).await;
    let run = &failed["run"];
    assert_eq!(
        (&run["attempt"], &run["pauses"]),
        (&json!(3), &json!(20)),
        "{failed:#}"
    );
    assert_eq!(failed["usage"]["attempt"], 3, "{failed:#}");
    assert_eq!(
        (&failed["status"], &failed["error"]["code"]),
        (&json!("failed"), &json!("rate-limited"))
    );
    let params = json!({"code": "rate-limited", "retryable": true, "succeed_on_attempt": 2});
    let done = host.run("without-a-pause", "fails", params).await;
    assert_eq!(
        (&done["run"]["attempt"], &done["run"]["pauses"]),
        (&json!(2), &json!(0))
    );
}

#[tokio::test]
async fn a_cancel_closes_the_connection() {
    let server = server(|_, _| Said::Nothing).await;
    let host = host_of(&server.url(), "").await;
    host.schedule("t", "asks-model", asks("text")).await;
    server.until_seen(1).await;
    host.verb("t", "cancel").await.expect(200);
    host.reaches("t", "canceled").await;
    server.until_given_up(1).await;
}

#[tokio::test]
async fn tokens_are_counted_over_the_attempts_of_a_run() {
    let server = server(|_, _| Said::Json(model::text("no json"))).await;
    let host = host_of(&server.url(), "tokens_per_run = 2_000\n").await;
    let failed = host.run("t", "asks-model", asks("typed")).await;
    assert_eq!(failed["error"]["code"], "bad-answer", "{failed:#}");
    assert_eq!(failed["error"]["details"]["said"], "no json");
    assert_eq!(
        (&failed["run"]["attempt"], &failed["usage"]["tokens"]),
        (&json!(3), &json!(36))
    );
    let budget = host.run("budget", "asks-model", asks("budget")).await;
    assert_eq!(
        budget["payload"],
        json!([2_000, 1_988]),
        "another run has its own"
    );
}

#[tokio::test]
async fn what_an_operator_has_to_mend_stands_in_the_hosts_log_alone() {
    let echo = |seen: &Seen, _| {
        let body = json!({"error": {"message": format!("wrong: {}", seen.authorization)}});
        Said::Status(401, vec![], body.to_string())
    };
    let server = server(echo).await;
    let host = host_of(&server.url(), "").await;
    let failed = host.run("refused", "asks-model", asks("text")).await;
    let message = failed["error"]["message"].as_str().unwrap();
    assert!(message.contains("refused this host's key"), "{failed:#}");
    assert!(!failed.to_string().contains(KEY), "{failed:#}");
    host.see("the setting in the log", async || {
        host.log().contains("`key_file`").then_some(())
    })
    .await;
    assert!(!host.log().contains(KEY), "{}", host.log());

    let params = json!({"ask": "text", "model": "large"});
    let denied = host.run("denied", "asks-model", params).await;
    assert_eq!(denied["error"]["code"], "denied", "{denied:#}");
    host.see("the setting to add", async || {
        host.log().contains("[connectors.large]").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_is_asked_through_tls_that_the_system_trusts() {
    let server = server(|_, _| Said::Json(model::text("sshd"))).await;
    let (port, certificate) = encrypted::before(server.address()).await;
    let home = home_of(&format!("https://127.0.0.1:{port}/v1"), "");
    let file = home.path().join("trusted.pem");
    std::fs::write(&file, certificate).unwrap();
    let mut command = home.serve();
    command.env("SSL_CERT_FILE", &file);
    let trusting = Host::of(command).await;
    let done = trusting.run("t", "asks-model", asks("text")).await;
    assert_eq!(done["payload"], "sshd", "{done:#}");
    trusting.stop().await;
    assert_eq!(server.seen().len(), 1);

    let host = home.start().await;
    let failed = host.run("u", "asks-model", asks("text")).await;
    assert_eq!(failed["error"]["code"], "unavailable", "{failed:#}");
    host.see("why", async || host.log().contains("TLS: ").then_some(()))
        .await;
    assert_eq!(server.seen().len(), 1, "and no key was sent");
}
