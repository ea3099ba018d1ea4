//! How a host is reached: encrypted off loopback, and not by more than it can serve.

use std::time::{Duration, Instant};

use serde_json::json;
use taskhost_e2e::PATIENCE;
use taskhost_e2e::holder::ASKS;
use taskhost_e2e::home::Home;
use taskhost_e2e::tasks::task;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn address(url: &str) -> String {
    url.split_once("://").unwrap().1.to_owned()
}

/// Waits until the other end has hung up; how many bytes it has sent.
async fn until_closed(stream: &mut TcpStream) -> usize {
    let (mut bytes, mut part) = (0, [0; 65_536]);
    let closed = async {
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            bytes += count;
        }
    };
    tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("it is not cut off");
    bytes
}

#[tokio::test]
async fn off_loopback_it_speaks_tls_and_its_cookies_go_encrypted_alone() {
    let home = Home::new();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (home.path().join("cert.pem"), home.path().join("key.pem"));
    std::fs::write(&cert, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    home.settings(&format!(
        "{ASKS}tls_cert = {cert:?}\ntls_key = {key:?}\nhttp.header_timeout_s = 1\n"
    ));
    let mut command = home.serve();
    command.args(["--listen", "0.0.0.0:0"]);
    let host = taskhost_e2e::host::Host::of(command).await;
    assert!(host.url.starts_with("https://0.0.0.0:"), "{}", host.url);
    let admin = host.first_token().await;
    let port = host.url.rsplit(':').next().unwrap().parse().unwrap();
    let told = taskhost_e2e::encrypted::asked(
        port,
        &own.cert,
        &format!(
            "POST /login HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n",
            admin.authorization()
        ),
    )
    .await;
    assert!(told.starts_with("HTTP/1.1 204"), "{told}");
    assert!(told.contains("__Host-taskhost_session="), "{told}");
    assert!(told.contains("; Secure"), "{told}");
    // Who speaks something else is not answered, and who says nothing is not waited for.
    for sent in [&b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"[..], b""] {
        let mut plain = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        plain.write_all(sent).await.unwrap();
        assert!(until_closed(&mut plain).await < 100);
    }
    host.stop().await;
}

#[tokio::test]
async fn who_sends_too_much_is_told_to_wait_and_others_are_not() {
    let home = Home::new();
    home.settings(&format!("{ASKS}http.requests_a_second = 5\n"));
    let mut host = home.start().await;
    let admin = host.first_token().await;
    host.http = reqwest::Client::new();
    let mut refused = None;
    for _ in 0..40 {
        let answer = host.get_for(&admin, "/v1/info").await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("it takes 40 at once");
    let problem = refused.problem(429, "too-many-requests");
    assert_eq!(problem["retryable"], true);
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&seconds), "{refused:?}");
    // Whoever guesses is counted by where they come from.
    let mut last = 0;
    for _ in 0..40 {
        let guess = host.request(reqwest::Method::GET, "/v1/info");
        let guess = guess.header("authorization", "Bearer guess");
        last = host.send(guess).await.status;
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    // Nobody is kept from asking whether it lives.
    host.get("/livez").await.expect(200);
    host.stop().await;
}

/// A host of one user counts nothing.
#[tokio::test]
async fn one_user_sends_as_much_as_they_like() {
    let home = Home::new();
    home.settings("http.requests_a_second = 1\n");
    let host = home.start().await;
    for _ in 0..20 {
        host.get("/v1/info").await.expect(200);
    }
    host.stop().await;
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let home = Home::with(&["hello-task"]);
    home.settings("http.header_timeout_s = 1\nhttp.body_timeout_s = 1\nhttp.write_timeout_s = 1\n");
    let host = home.start().await;
    let at = address(&host.url);
    let began = Instant::now();
    // A head that never ends.
    let mut head = TcpStream::connect(&at).await.unwrap();
    head.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        .await
        .unwrap();
    until_closed(&mut head).await;
    // A body that does not come.
    let mut body = TcpStream::connect(&at).await.unwrap();
    let text = "POST /v1/spaces/default/tasks/t/cancel HTTP/1.1\r\nhost: 127.0.0.1\r\n\
                content-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    body.write_all(text.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = tokio::time::timeout(PATIENCE, body.read_exact(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    // Answers that nobody takes: far more than what the system holds for a connection.
    for number in 0..64 {
        let name = "x".repeat(60_000);
        host.run(&format!("t{number}"), "hello", json!({ "name": name }))
            .await;
    }
    let mut greedy = TcpStream::connect(&at).await.unwrap();
    let ask = format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", task("t1"));
    let asked = async {
        // Its answers are not read, so that at some time its requests are not either.
        while greedy.write_all(ask.repeat(100).as_bytes()).await.is_ok() {}
    };
    let asked = tokio::time::timeout(PATIENCE, asked).await;
    assert!(asked.is_ok(), "it is waited for endlessly");
    assert!(began.elapsed() > Duration::from_secs(1));
    host.get("/livez").await.expect(200);
    host.stop().await;
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let host = Home::new().start().await;
    let at = address(&host.url);
    for head in [
        format!("x: {}\r\n", "y".repeat(1024 * 1024)),
        "x: y\r\n".repeat(1_000),
    ] {
        let mut stream = TcpStream::connect(&at).await.unwrap();
        let text = format!("GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n{head}\r\n");
        // It may hang up before it has all of it.
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
    }
    host.get("/livez").await.expect(200);
    host.stop().await;
}
