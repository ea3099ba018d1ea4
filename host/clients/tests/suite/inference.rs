//! Language models, behind a server that answers what its test says.

use std::time::Duration;

use serde_json::{Value, json};
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::inference::{
    Connector, ConnectorLimits, Connectors, HttpServer, Inference, Key, Url,
};
use taskhost_clients::run::RunClients;
use taskhost_clients::stop::StopReason;
use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::Label;

use crate::bench::{Bench, code};
use crate::model::{self, ModelServer, Said, Seen};

mod budgets;
mod refusals;

pub(super) const KEY: &str = "sk-nobody-shall-see-this";

pub(super) fn label(name: &str) -> Label {
    Label::parse(name).unwrap()
}

pub(super) fn limits() -> ConnectorLimits {
    ConnectorLimits {
        requests_at_once: 4,
        tokens_per_run: None,
        tokens_per_space_per_day: None,
        answer_tokens_name: "max_tokens",
        timeout: Duration::from_secs(20),
    }
}

pub(super) fn connector(name: &str, url: &str, limits: ConnectorLimits) -> Connector {
    let key = Key::new(KEY, "key_env = \"MODEL_KEY\"");
    let url = Url::parse(url).unwrap();
    let server = HttpServer::new(url, Some(key), "url".to_owned()).unwrap();
    Connector::new(
        label(name),
        "tiny".to_owned(),
        limits,
        std::sync::Arc::new(server),
    )
}

/// A run that may ask `small` and `large`, of which the first is set up.
pub(super) async fn bench(server: &ModelServer, limits: ConnectorLimits) -> Bench {
    bench_with(connector("small", &server.url(), limits)).await
}

pub(super) async fn bench_with(connector: Connector) -> Bench {
    Bench::with(|parts| {
        let models = |names: &[&str]| Capabilities {
            models: names.iter().map(|name| label(name)).collect(),
            ..Capabilities::default()
        };
        parts.grants.asked = models(&["forbidden", "small", "large"]);
        parts.grants.allowed = models(&["small", "large", "unasked"]);
        parts.connectors = Connectors::new([connector]);
    })
    .await
}

pub(super) fn hi() -> String {
    json!({"messages": [{"role": "user", "text": "hi"}]}).to_string()
}

pub(super) async fn says(
    script: impl Fn(&Seen, usize) -> Said + Send + Sync + 'static,
) -> ModelServer {
    ModelServer::start(script).await
}

/// The error of one completion.
pub(super) async fn error_of(inference: &Inference) -> ClientError {
    inference.complete(hi()).await.unwrap_err()
}

#[tokio::test]
async fn whoever_asks_any_model_has_those_that_are_allowed_and_no_others() {
    let server = says(|_, _| Said::Json(model::text("hello"))).await;
    let allowed = |names: Vec<Label>| {
        let url = server.url();
        Bench::with(move |parts| {
            parts.grants.any_model = true;
            parts.grants.allowed.models = names;
            parts.connectors = Connectors::new([connector("small", &url, limits())]);
        })
    };
    let bench = allowed(vec![label("small")]).await;
    bench.clients.inference.complete(hi()).await.unwrap();
    for (bench, setting) in [(bench, "large"), (allowed(Vec::new()).await, "small")] {
        let mut named: Value = serde_json::from_str(&hi()).unwrap();
        named["model"] = json!(setting);
        let refused = bench.clients.inference.complete(named.to_string()).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Denied, "{refused:?}");
        assert!(refused.message.contains("has not allowed"), "{refused:?}");
    }
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_chat_goes_to_the_connectors_server_and_its_tokens_are_counted() {
    let server = says(|_, _| Said::Json(model::text("hello"))).await;
    let bench = bench(&server, limits()).await;
    let answer = bench.clients.inference.complete(hi()).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["text"], &answer["model"]),
        (&json!("hello"), &json!("tiny-1"))
    );
    let seen = server.seen();
    assert_eq!(seen[0].path, "/v1/chat/completions");
    assert_eq!(seen[0].authorization, format!("Bearer {KEY}"));
    let sent = json!({"model": "tiny", "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}]});
    assert_eq!(seen[0].body, sent);
    assert_eq!(bench.clients.tokens(), 12);
}

#[tokio::test]
async fn vectors_come_in_the_order_of_their_texts() {
    let server = says(|seen, _| {
        assert_eq!(seen.path, "/v1/embeddings");
        let vector = |index: u8| json!({"index": index, "embedding": [f32::from(index), 0.5]});
        Said::Json(json!({"data": [vector(1), vector(0)], "usage": {"prompt_tokens": 3}}))
    })
    .await;
    let bench = bench(&server, limits()).await;
    let request = json!({"texts": ["a", "b"]}).to_string();
    let embeddings = bench.clients.inference.embed(request).await.unwrap();
    let vectors = embeddings.vectors;
    assert_eq!(vectors, [[0.0, 0.5], [1.0, 0.5]]);
    assert_eq!(
        server.seen()[0].body,
        json!({"model": "tiny", "input": ["a", "b"]})
    );
    assert_eq!(bench.clients.tokens(), 3);
}

#[tokio::test]
async fn what_is_not_granted_reaches_no_server() {
    let server = says(|_, _| Said::Json(model::text("hello"))).await;
    let bench = bench(&server, limits()).await;
    let inference = &bench.clients.inference;
    for (name, why) in [
        ("forbidden", "has not allowed"),
        ("unasked", "does not ask"),
        ("large", "has no connector"),
    ] {
        let messages = json!([{"role": "user", "text": "hi"}]);
        let request = json!({"model": name, "messages": messages}).to_string();
        let error = inference.complete(request).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied);
        assert!(error.message.contains(why), "{error}");
    }
    assert_eq!(
        bench.said.log.lock().unwrap().len(),
        3,
        "the run's log says so"
    );
    let describing = RunClients::describing().inference;
    assert_eq!(code(describing.complete(hi()).await), ErrorCode::Denied);
    assert_eq!(
        code(describing.complete_many(vec![]).await),
        ErrorCode::Denied
    );
    assert_eq!(code(describing.embed(hi()).await), ErrorCode::Denied);
    assert_eq!(describing.budget_remaining(None), None);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn many_go_at_once_as_far_as_the_connector_allows_and_are_answered_in_order() {
    let together = std::sync::Arc::new(tokio::sync::Barrier::new(3));
    let server = says(move |seen, _| {
        let said = seen.body["messages"][0]["content"].as_str().unwrap();
        Said::Together(std::sync::Arc::clone(&together), model::text(said))
    })
    .await;
    let at_once = ConnectorLimits {
        requests_at_once: 3,
        ..limits()
    };
    let bench = bench(&server, at_once).await;
    let request = |n: usize| match n {
        4 => "{}".to_owned(),
        n => json!({"messages": [{"role": "user", "text": n.to_string()}]}).to_string(),
    };
    let requests = (0..10).map(request).collect();
    let answers = bench
        .clients
        .inference
        .complete_many(requests)
        .await
        .unwrap();
    assert_eq!(answers.len(), 10);
    for (n, answer) in answers.into_iter().enumerate() {
        if n == 4 {
            assert_eq!(code(answer), ErrorCode::Invalid);
            continue;
        }
        let answer: Value = serde_json::from_str(&answer.unwrap()).unwrap();
        assert_eq!(answer["text"], n.to_string());
    }
    assert_eq!(server.most_at_once(), 3);
    assert_eq!(bench.clients.tokens(), 9 * 12);
    assert_eq!(bench.clients.host_calls(), 1);
}

#[tokio::test]
async fn one_call_is_limited_whatever_it_asks() {
    let server = says(|_, _| Said::Json(model::text("hello"))).await;
    let bench = bench(&server, limits()).await;
    let inference = &bench.clients.inference;
    let many = |count, bytes| vec!["x".repeat(bytes); count];
    assert_eq!(
        code(inference.complete_many(many(65, 1)).await),
        ErrorCode::TooLarge
    );
    assert_eq!(
        code(inference.complete_many(many(33, 512 * 1024)).await),
        ErrorCode::TooLarge
    );
    assert!(inference.complete_many(vec![]).await.unwrap().is_empty());
    let large = vec![" ".repeat(1024 * 1024 + 1)];
    let each = inference.complete_many(large).await.unwrap();
    assert_eq!(each[0].as_ref().unwrap_err().code, ErrorCode::TooLarge);
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_closes_its_connections() {
    let server = says(|_, _| Said::Nothing).await;
    let bench = bench(&server, limits()).await;
    let inference = bench.clients.inference.clone();
    let asking = tokio::spawn(async move { inference.complete_many(vec![hi(), hi()]).await });
    server.until_seen(2).await;
    bench.stop.ask(StopReason::User);
    assert_eq!(code(asking.await.unwrap()), ErrorCode::Canceled);
    server.until_given_up(2).await;
    assert_eq!(
        code(bench.clients.inference.complete(hi()).await),
        ErrorCode::Canceled
    );
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn waiting_for_a_model_is_no_standing_still() {
    let server = says(|_, _| Said::Nothing).await;
    let bench = bench(&server, limits()).await;
    bench.clients.enter();
    let inference = bench.clients.inference.clone();
    let asking = tokio::spawn(async move { inference.complete(hi()).await });
    server.until_seen(1).await;
    let limit = Duration::from_millis(20);
    // tidy: sleep allowed because time that passes is what is tested.
    let still = tokio::time::timeout(limit * 5, bench.clients.until_still(limit)).await;
    assert!(still.is_err(), "it counted as standing still");
    asking.abort();
    // The request is over, so the clock goes on.
    bench.clients.until_still(limit).await;
}
