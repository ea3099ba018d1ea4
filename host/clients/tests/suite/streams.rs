//! The run's own stream, and no other.

use serde_json::{Value, json};
use taskhost_clients::error::ErrorCode;
use taskhost_clients::stop::StopReason;
use taskhost_model::ids::StreamName;

use crate::bench::{Bench, MIB, STREAM, code};

const ALL: &str = r#"{"from":0,"to":1000000}"#;

#[tokio::test]
async fn other_streams_are_denied_before_anything_is_read() {
    let bench = Bench::new().await;
    let streams = &bench.clients.streams;
    for name in [
        "",
        "logs.other",
        "LOGS.TEST",
        "../logs.test",
        "logs.test\0",
        &"x".repeat(99_999),
    ] {
        assert_eq!(code(streams.describe(name).await), ErrorCode::Denied);
        // The request is not looked at either.
        assert_eq!(code(streams.count(name, "{").await), ErrorCode::Denied);
        assert_eq!(code(streams.sample(name, ALL).await), ErrorCode::Denied);
        assert_eq!(
            code(streams.sample_many(name, &[]).await),
            ErrorCode::Denied
        );
        assert_eq!(
            code(streams.field_stats(name, ALL).await),
            ErrorCode::Denied
        );
        assert_eq!(code(streams.search(name, ALL).await), ErrorCode::Denied);
    }
    let message = streams.describe("logs.other").await.unwrap_err().message;
    assert!(
        message.contains(STREAM) && !message.contains("logs.other"),
        "{message}"
    );
}

#[tokio::test]
async fn streams_that_the_params_name_are_read_and_no_others() {
    let bench = Bench::with(|parts| {
        let name = StreamName::parse("logs.gone").unwrap();
        parts.grants.named_streams = vec![name];
    });
    let streams = &bench.await.clients.streams;
    assert!(streams.count(STREAM, ALL).await.is_ok());
    let gone = streams.describe("logs.gone").await;
    assert_eq!(code(gone), ErrorCode::NotFound, "it may be asked for");
    let denied = streams.describe("logs.other").await.unwrap_err();
    assert_eq!(denied.code, ErrorCode::Denied);
    let expected = format!("the streams `{STREAM}`, `logs.gone` alone");
    assert!(denied.message.contains(&expected), "{}", denied.message);
}

#[tokio::test]
async fn every_question_has_its_answer() {
    let bench = Bench::new().await;
    let streams = &bench.clients.streams;
    let about: Value = serde_json::from_str(&streams.describe(STREAM).await.unwrap()).unwrap();
    assert_eq!(
        (&about["name"], &about["documents"]),
        (&json!(STREAM), &json!(10))
    );
    assert_eq!(
        (&about["first_ms"], &about["last_ms"]),
        (&json!(0), &json!(9))
    );
    let query = r#"{"from":2,"to":8,"where":{"field":"message","neq":"line 3"}}"#;
    assert_eq!(
        streams.count(STREAM, query).await.unwrap(),
        r#"{"relation":"eq","value":5}"#
    );
    let sample = streams.sample(STREAM, query).await.unwrap();
    assert_eq!(
        (sample.documents.len(), sample.truncated, sample.next),
        (5, false, None)
    );
    let page = streams
        .search(STREAM, r#"{"from":0,"to":99,"size":7,"sort":"asc"}"#)
        .await
        .unwrap();
    assert!(page.documents[0].contains("line 0"));
    let rest = json!({"from": 0, "to": 99, "size": 7, "sort": "asc", "cursor": page.next});
    let rest = streams.search(STREAM, &rest.to_string()).await.unwrap();
    assert_eq!((rest.documents.len(), rest.next), (3, None));
    let stats: Value =
        serde_json::from_str(&streams.field_stats(STREAM, ALL).await.unwrap()).unwrap();
    assert_eq!(stats["documents"], json!(10));
    assert_eq!(bench.clients.host_calls(), 6);
}

#[tokio::test]
async fn a_deleted_stream_is_not_found() {
    let bench = Bench::new().await;
    bench.stores.streams.delete(&bench.stream()).await.unwrap();
    let streams = &bench.clients.streams;
    assert_eq!(code(streams.describe(STREAM).await), ErrorCode::NotFound);
    assert_eq!(code(streams.count(STREAM, ALL).await), ErrorCode::NotFound);
    assert_eq!(code(streams.sample(STREAM, ALL).await), ErrorCode::NotFound);
    assert_eq!(code(streams.search(STREAM, ALL).await), ErrorCode::NotFound);
    assert_eq!(
        code(streams.field_stats(STREAM, ALL).await),
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn wrong_requests_are_invalid() {
    let bench = Bench::new().await;
    let streams = &bench.clients.streams;
    for request in [
        "",
        "null",
        "{}",
        r#"{"from":9,"to":1}"#,
        r#"{"from":0,"to":1,"size":1e9}"#,
    ] {
        assert_eq!(
            code(streams.count(STREAM, request).await),
            ErrorCode::Invalid,
            "{request}"
        );
        assert_eq!(
            code(streams.search(STREAM, request).await),
            ErrorCode::Invalid,
            "{request}"
        );
    }
    let made_up = r#"{"from":0,"to":1,"cursor":"made up"}"#;
    assert_eq!(
        code(streams.search(STREAM, made_up).await),
        ErrorCode::Invalid
    );
    let long = " ".repeat(65 * 1024);
    assert_eq!(
        code(streams.sample(STREAM, &long).await),
        ErrorCode::TooLarge
    );
}

#[tokio::test]
async fn an_answer_takes_a_quarter_of_the_memory() {
    let bench = Bench::with_memory(MIB).await;
    for n in 0..100 {
        bench.ingest(100 + n, 10_000).await;
    }
    let request = r#"{"from":100,"to":200,"size":100}"#;
    let sample = bench.clients.streams.sample(STREAM, request).await.unwrap();
    let bytes: usize = sample.documents.iter().map(String::len).sum();
    assert!(sample.truncated && bytes as u64 <= MIB / 4, "{bytes}");
    assert!(bytes as u64 > MIB / 8, "{bytes}");
    // A document that does not fit by itself is left out, and that is said.
    bench.ingest(5000, 300_000).await;
    let request = r#"{"from":5000,"to":5001}"#;
    let sample = bench.clients.streams.sample(STREAM, request).await.unwrap();
    assert_eq!(sample.details.as_deref(), Some(r#"{"left_out":1}"#));
    assert!(sample.documents.is_empty());
}

#[tokio::test]
async fn many_samples_share_the_bytes_of_one() {
    let bench = Bench::with_memory(MIB).await;
    for n in 0..100 {
        bench.ingest(100 + n, 10_000).await;
    }
    let streams = &bench.clients.streams;
    let requests = vec![r#"{"from":100,"to":200,"size":100}"#.to_owned(); 5];
    let samples = streams.sample_many(STREAM, &requests).await.unwrap();
    let bytes: usize = samples
        .iter()
        .flat_map(|s| &s.as_ref().unwrap().documents)
        .map(String::len)
        .sum();
    assert!(samples.len() == 5 && bytes as u64 <= MIB / 4, "{bytes}");
    let mixed = [ALL.to_owned(), "{".to_owned(), ALL.to_owned()];
    let mixed = streams.sample_many(STREAM, &mixed).await.unwrap();
    assert!(mixed[0].is_ok() && mixed[2].is_ok());
    assert_eq!(mixed[1].as_ref().unwrap_err().code, ErrorCode::Invalid);
    assert!(streams.sample_many(STREAM, &[]).await.unwrap().is_empty());
    let too_many = vec![ALL.to_owned(); 65];
    assert_eq!(
        code(streams.sample_many(STREAM, &too_many).await),
        ErrorCode::TooLarge
    );
}

#[tokio::test]
async fn asked_to_stop_it_reads_no_more() {
    let bench = Bench::new().await;
    bench.stop.ask(StopReason::User);
    let streams = &bench.clients.streams;
    assert_eq!(code(streams.count(STREAM, ALL).await), ErrorCode::Canceled);
    assert_eq!(
        code(streams.sample_many(STREAM, &[]).await),
        ErrorCode::Canceled
    );
    assert!(bench.stop.told());
    assert_eq!(
        code(streams.count("logs.other", ALL).await),
        ErrorCode::Denied
    );
}
