//! Tokens: what a run and a space may use, and that nothing goes beyond it.

use serde_json::{Value, json};
use taskhost_clients::error::ErrorCode;
use taskhost_clients::inference::{ConnectorLimits, Connectors};

use super::{bench, connector, hi, label, limits, says};
use crate::bench::Bench;
use crate::model::{self, Said};

/// An answer that takes all that it may, and a token for each byte that was sent.
fn takes_all(body: &Value) -> Value {
    let mut answer = model::text("x");
    let prompt = body["messages"].to_string().len() as u64;
    let completion = body["max_tokens"].as_u64().unwrap();
    answer["usage"] = json!({"prompt_tokens": prompt, "completion_tokens": completion});
    answer
}

#[tokio::test]
async fn requests_at_once_cannot_overshoot_what_a_run_may_use() {
    let server = says(|seen, _| Said::Json(takes_all(&seen.body))).await;
    let most = 2_000;
    let at_once = ConnectorLimits {
        requests_at_once: 64,
        tokens_per_run: Some(most),
        ..limits()
    };
    let bench = bench(&server, at_once).await;
    let inference = &bench.clients.inference;
    assert_eq!(inference.budget_remaining(None), Some(most));
    let one = json!({"messages": [{"role": "user", "text": "hi"}], "max_tokens": 100}).to_string();
    let answers = inference.complete_many(vec![one; 40]).await.unwrap();
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(good.len() > 5 && bad.len() > 5, "{} of 40", good.len());
    for error in bad {
        let error = error.unwrap_err();
        assert_eq!(error.code, ErrorCode::QuotaExceeded, "{error}");
    }
    assert_eq!(
        server.seen().len(),
        good.len(),
        "what was refused was not sent"
    );
    let used = bench.clients.tokens();
    assert!(used <= most && used > most / 2, "{used} of {most}");
    assert_eq!(inference.budget_remaining(None), Some(most - used));
}

#[tokio::test]
async fn a_run_goes_on_counting_where_its_former_attempt_ended() {
    let server = says(|_, _| Said::Json(model::text("x"))).await;
    let connectors = Connectors::new([connector("small", &server.url(), limits())]);
    let bench = Bench::with(|parts| {
        parts.grants.asked.models = vec![label("small")];
        parts.grants.allowed.models = vec![label("small")];
        parts.connectors = connectors;
        parts.tokens_max = Some(1_000);
        parts.used.tokens = 600;
    })
    .await;
    let inference = &bench.clients.inference;
    assert_eq!(inference.budget_remaining(None), Some(400));
    inference.complete(hi()).await.unwrap();
    assert!(
        server.seen()[0].body["max_tokens"].as_u64().unwrap() < 400,
        "cut to what is left"
    );
    assert_eq!(bench.clients.tokens(), 612);
    let much = json!({"messages": [{"role": "user", "text": "x".repeat(500)}]}).to_string();
    let error = inference.complete(much).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::QuotaExceeded);
    assert!(error.message.contains("388 are left to the run"), "{error}");
}

#[tokio::test]
async fn a_space_has_its_tokens_for_a_day() {
    let server = says(|_, _| Said::Json(model::text("x"))).await;
    let limits = ConnectorLimits {
        tokens_per_space_per_day: Some(200),
        ..limits()
    };
    let bench = bench(&server, limits).await;
    let inference = &bench.clients.inference;
    while inference.budget_remaining(None) > Some(100) {
        inference.complete(hi()).await.unwrap();
    }
    let much = json!({"messages": [{"role": "user", "text": "x".repeat(99)}]}).to_string();
    let error = inference.complete(much).await.unwrap_err();
    assert!(error.message.contains("its space today"), "{error}");
    bench
        .clock
        .advance(std::time::Duration::from_secs(24 * 60 * 60));
    assert_eq!(inference.budget_remaining(None), Some(200));
    inference.complete(hi()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_count_is_counted_for() {
    let server = says(|_, _| {
        let mut answer = model::text("x");
        answer.as_object_mut().unwrap().remove("usage");
        Said::Json(answer)
    })
    .await;
    let bench = bench(&server, limits()).await;
    let answer = bench.clients.inference.complete(hi()).await.unwrap();
    assert!(answer.contains("\"estimated\":true"), "{answer}");
    assert!(
        (20..200).contains(&bench.clients.tokens()),
        "{}",
        bench.clients.tokens()
    );
}

#[tokio::test]
async fn what_was_answered_wrongly_has_its_price() {
    let server = says(|_, _| Said::Json(model::text("no json"))).await;
    let bench = bench(&server, limits()).await;
    let messages = json!([{"role": "user", "text": "hi"}]);
    let request = json!({"messages": messages, "schema": {"type": "object"}}).to_string();
    let error = bench.clients.inference.complete(request).await.unwrap_err();
    assert_eq!((error.code, error.retryable), (ErrorCode::BadAnswer, true));
    assert_eq!(error.details.unwrap()["said"], "no json");
    assert_eq!(bench.clients.tokens(), 12);
}
