//! What a request and its answer may take, and how a request ends that takes too long.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use taskhost_clients::error::ErrorCode;
use taskhost_clients::http::Network;
use taskhost_clients::stop::StopReason;

use super::plain_server::{Server, answer};
use super::{everything, get, loopback, may, reaching, request, with};
use crate::bench::{Bench, MIB, code};

#[tokio::test]
async fn absurd_requests_are_refused_before_anything_is_sent() {
    let server = Server::new(|_| answer("200 OK", "", "")).await;
    let bench = reaching(&[&server.origin]).await;
    let good = || request("GET", server.url("/"));
    let mut many = good();
    many.headers = vec![("a".to_owned(), String::new()); 101];
    let (mut large, mut never, mut forever) = (good(), good(), good());
    large.body = Some(vec![0; usize::try_from(MIB).unwrap() + 1]);
    never.timeout_ms = Some(0);
    forever.timeout_ms = Some(u64::MAX);
    let cases = [
        (with(good(), "x", "a\r\nx-injected: 1"), ErrorCode::Invalid),
        (with(good(), "x\r\ny", "a"), ErrorCode::Invalid),
        (with(good(), "", "a"), ErrorCode::Invalid),
        (with(good(), "x", "a\0"), ErrorCode::Invalid),
        (with(good(), "Host", "a.example"), ErrorCode::Invalid),
        (with(good(), "content-length", "0"), ErrorCode::Invalid),
        (
            with(good(), "transfer-encoding", "chunked"),
            ErrorCode::Invalid,
        ),
        (with(good(), "connection", "upgrade"), ErrorCode::Invalid),
        (
            with(good(), "X-HTTP-Method-Override", "DELETE"),
            ErrorCode::Invalid,
        ),
        (with(good(), "x-original-url", "/admin"), ErrorCode::Invalid),
        (with(good(), "x", &"a".repeat(33_000)), ErrorCode::TooLarge),
        (many, ErrorCode::TooLarge),
        (large, ErrorCode::TooLarge),
        (never, ErrorCode::Invalid),
        (forever, ErrorCode::Invalid),
        (request("get", server.url("/")), ErrorCode::Invalid),
        (request("", server.url("/")), ErrorCode::Invalid),
        (
            request("GET / HTTP/1.1\r\n", server.url("/")),
            ErrorCode::Invalid,
        ),
        (request("CONNECT", server.url("/")), ErrorCode::Invalid),
        (request("TRACE", server.url("/")), ErrorCode::Invalid),
        (request("GET", server.url("/\r\nx: y")), ErrorCode::Invalid),
        (request("GET", "/relative"), ErrorCode::Invalid),
        (request("GET", ""), ErrorCode::Invalid),
        (
            request("GET", server.url(&"a".repeat(9_000))),
            ErrorCode::TooLarge,
        ),
    ];
    for (request, expected) in cases {
        let shown = format!(
            "{} {:.60} {:?}",
            request.method, request.url, request.timeout_ms
        );
        let error = bench.clients.http.send(request).await.unwrap_err();
        assert_eq!(error.code, expected, "{shown}: {error}");
        assert!(error.message.len() < 2_048);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn an_answer_takes_no_more_than_it_may() {
    let of_size = |seen: &str| {
        let size = seen.split(' ').nth(1).unwrap().strip_prefix("/").unwrap();
        answer("200 OK", "", &"x".repeat(size.parse().unwrap()))
    };
    let server = Server::new(of_size).await;
    let rules = may(vec![everything(&server.origin)]);
    let bench = Bench::with(|parts| {
        parts.grants.asked = rules.clone();
        parts.grants.allowed = rules;
        parts.network = Network::new(loopback(), BTreeMap::new());
        parts.memory_bytes = 4 * MIB;
    })
    .await;
    let whole = get(&bench, server.url(&format!("/{MIB}"))).await.unwrap();
    assert_eq!(whole.body.len() as u64, MIB);
    let error = get(&bench, server.url(&format!("/{}", MIB + 1)))
        .await
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    let half = || request("GET", server.url(&format!("/{}", MIB / 2)));
    let answers = bench
        .clients
        .http
        .send_many(vec![half(), half(), half()])
        .await
        .unwrap();
    let well = answers.iter().filter(|answer| answer.is_ok()).count();
    assert!(well < 3, "three halves of a whole");
    let refused = bench.clients.http.send_many(vec![half(); 65]).await;
    assert_eq!(code(refused), ErrorCode::TooLarge);
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off() {
    let endless = Server::endless(b"HTTP/1.1 200 OK\r\n\r\n", b"xxxxxxxxxxxxxxxx").await;
    let head = Server::endless(b"HTTP/1.1 200 OK\r\n", b"x: xxxxxxxxxxxxxxxxx\r\n").await;
    let bench = reaching(&[&endless.origin, &head.origin]).await;
    for server in [&endless, &head] {
        let error = get(&bench, server.url("/")).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::TooLarge, "{error}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for bytes in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
        "SSH-2.0-x\r\n",
        "\0\0",
    ] {
        let server = Server::new(move |_| bytes.as_bytes().to_vec()).await;
        let bench = reaching(&[&server.origin]).await;
        let error = get(&bench, server.url("/")).await.unwrap_err();
        assert_eq!(
            (error.code, error.retryable),
            (ErrorCode::Unavailable, true),
            "{error}"
        );
        assert!(error.message.starts_with(&server.origin), "{error}");
    }
    let closed = Server::new(|_| Vec::new()).await;
    let origin = closed.origin.clone();
    drop(closed);
    let bench = reaching(&[&origin]).await;
    let error = get(&bench, format!("{origin}/")).await.unwrap_err();
    assert_eq!(
        (error.code, error.retryable),
        (ErrorCode::Unavailable, true),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let server = Server::silent(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow").await;
    let bench = reaching(&[&server.origin]).await;
    let mut slow = request("GET", server.url("/"));
    slow.timeout_ms = Some(50);
    let error = bench.clients.http.send(slow).await.unwrap_err();
    assert_eq!(
        (error.code, error.retryable),
        (ErrorCode::Unavailable, true)
    );
    assert!(error.message.contains("within 50 ms"), "{error}");
    server.hangs_up().await;
}

#[tokio::test]
async fn a_cancel_closes_the_connection() {
    let server = Server::silent(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow").await;
    let bench = reaching(&[&server.origin]).await;
    let asked = async {
        server.begun().await;
        bench.stop.ask(StopReason::User);
    };
    let begun = Instant::now();
    let (answer, ()) = tokio::join!(get(&bench, server.url("/")), asked);
    assert_eq!(code(answer), ErrorCode::Canceled);
    server.hangs_up().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(
        code(get(&bench, server.url("/")).await),
        ErrorCode::Canceled
    );
}

#[tokio::test]
async fn waiting_for_an_answer_is_not_standing_still() {
    let server = Server::silent(b"").await;
    let bench = reaching(&[&server.origin]).await;
    let mut slow = request("GET", server.url("/"));
    slow.timeout_ms = Some(200);
    bench.clients.enter();
    tokio::select! {
        error = bench.clients.http.send(slow) => assert_eq!(code(error), ErrorCode::Unavailable),
        () = bench.clients.until_still(Duration::from_millis(20)) => panic!("it waits"),
    }
}

#[tokio::test]
async fn an_attempt_that_begins_again_goes_on_counting_its_requests() {
    let server = Server::new(|_| answer("200 OK", "", "")).await;
    let rules = may(vec![everything(&server.origin)]);
    let bench = Bench::with(|parts| {
        parts.grants.asked = rules.clone();
        parts.grants.allowed = rules;
        parts.network = Network::new(loopback(), BTreeMap::new());
        parts.used.http_requests = 999;
    })
    .await;
    get(&bench, server.url("/")).await.unwrap();
    assert_eq!(bench.clients.used().http_requests, 1_000);
    let refused = get(&bench, server.url("/")).await;
    assert_eq!(code(refused), ErrorCode::QuotaExceeded);
    assert_eq!(bench.clients.used().http_requests, 1_000);
}

#[tokio::test]
async fn an_attempt_sends_so_many_requests_and_no_more() {
    let server = Server::new(|_| answer("302 Found", "location: /\r\n", "")).await;
    let bench = reaching(&[&server.origin]).await;
    let many = || vec![request("GET", server.url("/")); 64];
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.extend(bench.clients.http.send_many(many()).await.unwrap());
    }
    let refused = answers.into_iter().filter_map(Result::err);
    let codes: Vec<_> = refused.map(|error| error.code).collect();
    assert!(!codes.is_empty() && codes.iter().all(|code| *code == ErrorCode::QuotaExceeded));
    assert_eq!(server.seen().len(), 1_000);
}

#[tokio::test]
async fn interim_answers_have_an_end() {
    const INTERIM: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let some = |_: &str| [INTERIM.repeat(3), answer("200 OK", "", "there")].concat();
    let server = Server::new(some).await;
    let bench = reaching(&[&server.origin]).await;
    let response = get(&bench, server.url("/")).await.unwrap();
    assert_eq!((response.status, &*response.body), (200, &b"there"[..]));
    let server = Server::endless(INTERIM, INTERIM).await;
    let bench = reaching(&[&server.origin]).await;
    let error = get(&bench, server.url("/")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge, "{error}");
    assert!(error.message.contains("does not end"), "{error}");
    let server = Server::new(|_| {
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec()
    })
    .await;
    let bench = reaching(&[&server.origin]).await;
    assert_eq!(
        code(get(&bench, server.url("/")).await),
        ErrorCode::Unavailable
    );
}
