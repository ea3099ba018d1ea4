//! What comes of servers that refuse, fail, or do not answer.

use std::time::{Duration, SystemTime};

use serde_json::json;
use taskhost_clients::error::ErrorCode;
use taskhost_clients::inference::ConnectorLimits;
use tokio::net::TcpListener;

use super::{KEY, bench, bench_with, connector, error_of, limits, says};
use crate::model::{self, Said};

fn sentence(text: &str) -> String {
    json!({"error": {"message": text, "type": "t", "code": null}}).to_string()
}

#[tokio::test]
async fn each_status_has_its_meaning() {
    let key = format!("wrong key {KEY}");
    let long = sentence(&"x".repeat(9_000));
    use ErrorCode::{Internal, Invalid, TooLarge, Unavailable};
    for (status, body, code, part) in [
        (400, sentence("no such thing"), Invalid, "no such thing"),
        (422, long, Invalid, "xxx"),
        (413, sentence("too long"), TooLarge, "too long"),
        (401, sentence(&key), Internal, "refused this host's key"),
        (403, sentence(&key), Internal, "refused this host's key"),
        (
            404,
            sentence("no model"),
            Internal,
            "not where this host looks",
        ),
        (500, "<html>".to_owned(), Unavailable, "status 500: <html>"),
        (503, String::new(), Unavailable, "does not say why"),
    ] {
        let server = says(move |_, _| Said::Status(status, vec![], body.clone())).await;
        let bench = bench(&server, limits()).await;
        let error = error_of(&bench.clients.inference).await;
        assert_eq!(
            (error.code, error.retryable),
            (code, code == Unavailable),
            "{status}: {error}"
        );
        assert!(error.message.contains(part), "{status}: {error}");
        assert!(
            error.message.len() < 2_000 && !format!("{error:?}").contains(KEY),
            "{error:?}"
        );
        assert!(!error.message.contains("127.0.0.1"), "{error}");
        assert_eq!(error.retry_after_ms, None);
        assert_eq!(bench.clients.tokens(), 0, "a refusal is free");
    }
}

#[tokio::test]
async fn a_pause_is_passed_on_and_not_waited_for() {
    let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
    let date = httpdate::fmt_http_date(in_an_hour);
    for (status, header, least, most) in [
        (429, Some("7".to_owned()), 7_000, 7_000),
        (429, Some(date), 3_500_000, 3_600_000),
        (429, None, 10_000, 10_000),
        (503, Some("2".to_owned()), 2_000, 2_000),
    ] {
        let headers = header.map(|value| ("retry-after", value));
        let server = says(move |_, _| {
            Said::Status(
                status,
                headers.clone().into_iter().collect(),
                sentence("slow down"),
            )
        })
        .await;
        let bench = bench(&server, limits()).await;
        let error = error_of(&bench.clients.inference).await;
        assert_eq!(
            (error.code, error.retryable),
            (ErrorCode::RateLimited, true),
            "{error}"
        );
        let after = error.retry_after_ms.unwrap();
        assert!((least..=most).contains(&after), "{status}: {after}");
        assert_eq!(server.seen().len(), 1, "nobody tried again");
    }
}

#[tokio::test]
async fn an_account_without_credit_is_no_pause() {
    let body = json!({"error": {"message": "m", "code": "insufficient_quota"}}).to_string();
    for (status, body) in [(429, body), (402, String::new())] {
        let server = says(move |_, _| Said::Status(status, vec![], body.clone())).await;
        let bench = bench(&server, limits()).await;
        let error = error_of(&bench.clients.inference).await;
        assert_eq!(
            (error.code, error.retry_after_ms),
            (ErrorCode::Unavailable, None)
        );
        assert!(error.message.contains("no credit left"), "{error:?}");
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = says(|_, _| Said::Json(model::text("stolen"))).await;
    let to = other.url();
    let server = says(move |_, _| {
        Said::Status(
            307,
            vec![("location", format!("{to}/chat/completions"))],
            String::new(),
        )
    })
    .await;
    let bench = bench(&server, limits()).await;
    let error = error_of(&bench.clients.inference).await;
    assert_eq!(error.code, ErrorCode::Internal);
    assert_eq!((server.seen().len(), other.seen().len()), (1, 0));
}

#[tokio::test]
async fn who_cannot_be_reached_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let bench = bench_with(connector("small", &url, limits())).await;
    let error = error_of(&bench.clients.inference).await;
    assert_eq!(
        (error.code, error.retryable),
        (ErrorCode::Unavailable, true)
    );
    assert!(!error.message.contains("127.0.0.1"), "{error}");
    assert_eq!(bench.clients.tokens(), 0);
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_given_up_and_may_have_cost() {
    let server = says(|_, _| Said::Nothing).await;
    let timeout = Duration::from_millis(50);
    let bench = bench(
        &server,
        ConnectorLimits {
            timeout,
            ..limits()
        },
    )
    .await;
    let error = error_of(&bench.clients.inference).await;
    assert_eq!(
        (error.code, error.retryable),
        (ErrorCode::Unavailable, true)
    );
    assert!(error.message.contains("did not answer"), "{error}");
    server.until_given_up(1).await;
    assert!(bench.clients.tokens() > 4_096, "{}", bench.clients.tokens());
}

#[tokio::test]
async fn answers_are_cut_at_eight_mebibytes_for_one_call_together() {
    let server = says(|_, _| Said::Json(model::text(&"x".repeat(5 << 20)))).await;
    let bench = bench(&server, limits()).await;
    let inference = &bench.clients.inference;
    assert!(inference.complete(super::hi()).await.is_ok());
    let both = inference
        .complete_many(vec![super::hi(), super::hi()])
        .await
        .unwrap();
    let too_large = |one: &Result<String, _>| {
        one.as_ref()
            .is_err_and(|error: &taskhost_clients::error::ClientError| {
                error.code == ErrorCode::TooLarge
            })
    };
    assert!(both.iter().any(too_large), "10 MiB were kept");
    let server = says(|_, _| Said::Json(model::text(&"x".repeat(9 << 20)))).await;
    let bench = super::bench(&server, limits()).await;
    assert_eq!(
        error_of(&bench.clients.inference).await.code,
        ErrorCode::TooLarge
    );
}

#[tokio::test]
async fn a_server_that_tells_the_key_is_not_heard() {
    let server = says(|seen, nth| match nth {
        0 => Said::Json(model::text(&seen.authorization)),
        _ => Said::Status(400, vec![], sentence(&seen.authorization)),
    })
    .await;
    let bench = bench(&server, limits()).await;
    let answer = bench.clients.inference.complete(super::hi()).await.unwrap();
    assert!(
        answer.contains("Bearer ***") && !answer.contains(KEY),
        "{answer}"
    );
    let error = error_of(&bench.clients.inference).await;
    assert!(error.message.contains("Bearer ***"), "{error}");
}
