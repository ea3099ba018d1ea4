//! Requests of task types to the outside: where they may go, with which secrets, and how they end.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use taskhost_e2e::component::with_origins;
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::plain_server::{Server, answer};
use taskhost_e2e::tasks::task;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::cancel::SOON;

const SECRET: &str = "a-secret/that:nobody+sees";

/// A host whose type `sends` may reach both servers, and use `key` at the first.
async fn host_of(first: &Server, second: &Server, more: &str) -> Host {
    let home = Home::new();
    let origins = [
        ("http://127.0.0.1:10001", first.origin.as_str()),
        ("http://127.0.0.1:10002", second.origin.as_str()),
    ];
    home.add_bytes("sends", &with_origins("sends", &origins));
    fs::write(home.path().join("value"), format!("{SECRET}\n")).unwrap();
    let (a, b) = (&first.origin, &second.origin);
    home.settings(&format!(
        "[[allow]]\ntype = \"sends\"\nsecrets = [\"key\"]\nhttp = [\n\
         {{ origin = \"{a}\", methods = [\"GET\", \"POST\"], path_prefix = \"/open/\" }},\n\
         {{ origin = \"{b}\", methods = [\"GET\", \"POST\"] }},\n\
         {{ origin = \"http://10.0.0.1\" }}]\n\
         [secrets.key]\nfile = \"value\"\norigins = [\"{a}\"]\n{more}"
    ));
    home.start().await
}

const OPEN: &str = "[outbound]\nopen_networks = [\"127.0.0.0/8\"]\n";

async fn sent(host: &Host, id: &str, requests: Value) -> Vec<Value> {
    let done = host.run(id, "sends", json!({"requests": requests})).await;
    assert_eq!(done["status"], "completed", "{done:#}");
    done["payload"]["answers"].as_array().unwrap().clone()
}

/// The log of the task's run, as text.
async fn log(host: &Host, id: &str) -> String {
    let run = host.task(id).await["run"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let log = host.get(&format!("{}/runs/{run}/log", task(id))).await;
    log.text
}

fn echo(seen: &str) -> Vec<u8> {
    answer("200 OK", "x-echo: 1\r\n", seen)
}

#[tokio::test]
async fn the_example_digests_a_document_with_a_token_that_nobody_sees() {
    let server = Server::new(|_| answer("203 Fine", "", "document")).await;
    let home = Home::new();
    let origins = [("http://127.0.0.1:18080", server.origin.as_str())];
    home.add_bytes("http-digest", &with_origins("http-digest", &origins));
    let origin = &server.origin;
    home.settings(&format!(
        "[[allow]]\ntype = \"http-digest\"\nsecrets = [\"http-digest-token\"]\n\
         http = [{{ origin = \"https://example.org\" }}, {{ origin = \"{origin}\" }}]\n\
         [secrets.http-digest-token]\nenv = \"HTTP_DIGEST_TOKEN\"\norigins = [\"{origin}\"]\n{OPEN}"
    ));
    let mut command = home.serve();
    // Proxies of the environment are not heeded: nobody listens there.
    let proxy = "http://127.0.0.1:1/";
    command
        .env("HTTP_DIGEST_TOKEN", SECRET)
        .env("http_proxy", proxy)
        .env("ALL_PROXY", proxy);
    let host = Host::of(command).await;
    let params = json!({"url": server.url("/a"), "with_token": true});
    let done = host.run("t", "http-digest", params).await;
    let sha256 = "43cc23fa52b87b4cc1d02b5b114154151d6adddb17c9fddc06b027fa99e24008";
    assert_eq!(done["payload"]["status"], 203, "{done:#}");
    assert_eq!(done["payload"]["sha256"], sha256);
    let seen = server.seen().join("");
    assert!(
        seen.contains(&format!("authorization: Bearer {SECRET}\r\n")),
        "{seen}"
    );
    let known = format!("{done} {} {}", log(&host, "t").await, host.log());
    assert!(!known.contains(SECRET), "{known}");
}

#[tokio::test]
async fn what_comes_back_has_the_secret_masked_and_other_places_do_not_get_it() {
    let (first, second) = (Server::new(echo).await, Server::new(echo).await);
    let host = host_of(&first, &second, OPEN).await;
    let with_secret = |url: String| json!({"url": url, "headers": [["x-key", "{secret}"]]});
    let answers = sent(
        &host,
        "t",
        json!([
            with_secret(first.url("/open/x")),
            with_secret(second.url("/x")),
            {"url": first.url("/closed")},
            {"url": first.url("/open/..%2fclosed")},
            {"url": "http://10.0.0.1/"},
            {"url": "http://169.254.169.254/latest/meta-data/"},
            {"url": first.url("/open/"), "headers": [["x", "a\r\nx-injected: 1"]]},
        ]),
    )
    .await;
    let masked = format!("x-key: {}\r\n", "*".repeat(SECRET.len()));
    let body = answers[0]["body"].as_str().unwrap();
    assert!(body.contains(&masked), "{body}");
    let codes = ["denied", "denied", "denied", "denied", "denied", "invalid"];
    for (answer, code) in answers[1..].iter().zip(codes) {
        assert_eq!(answer["code"], code, "{answer}");
    }
    assert_eq!((first.seen().len(), second.seen().len()), (1, 0));
    assert!(first.seen()[0].contains(&format!("x-key: {SECRET}\r\n")));
    // Each denial stands in the run's log, and for the operator in the host's with what would help.
    let (of_run, of_host) = (log(&host, "t").await, host.log());
    for answer in &answers[1..6] {
        let message = answer["message"].as_str().unwrap();
        assert!(of_run.contains(message), "{message} in {of_run}");
    }
    for setting in [
        format!(
            "[secrets.key]\norigins = [\"{}\", \"{}\"]",
            first.origin, second.origin
        ),
        "[outbound]\nopen_networks = [\"10.0.0.1/32\"]".to_owned(),
    ] {
        assert!(of_host.contains(&setting), "{setting} in {of_host}");
    }
    assert!(!of_run.contains(SECRET) && !of_host.contains(SECRET));
    let other = json!([{"url": first.url("/open/"), "headers": [["x", "{other}"]]}]);
    assert_eq!(sent(&host, "o", other).await[0]["code"], "denied");
}

#[tokio::test]
async fn this_machine_is_not_reached_until_its_range_is_opened() {
    let (first, second) = (Server::new(echo).await, Server::new(echo).await);
    let host = host_of(&first, &second, "").await;
    let answers = sent(&host, "t", json!([{"url": first.url("/open/")}])).await;
    assert_eq!(answers[0]["code"], "denied", "{answers:?}");
    assert!(
        host.log().contains("open_networks = [\"127.0.0.1/32\"]"),
        "{}",
        host.log()
    );
    assert!(first.visitors().is_empty());
}

#[tokio::test]
async fn a_redirect_leads_nowhere_that_a_request_may_not_go() {
    let second = Server::new(echo).await;
    let (inside, other) = ("http://10.0.0.1/".to_owned(), second.url("/x"));
    let redirect = move |seen: &str| {
        let to = if seen.contains("/open/inside") {
            &inside
        } else {
            &other
        };
        answer("302 Found", &format!("location: {to}\r\n"), "")
    };
    let first = Server::new(redirect).await;
    let host = host_of(&first, &second, OPEN).await;
    let requests = json!([
        {"url": first.url("/open/inside")},
        {"url": first.url("/open/other"), "headers": [["x-key", "{secret}"], ["accept", "own"]]},
    ]);
    let answers = sent(&host, "t", requests).await;
    assert_eq!(answers[0]["code"], "denied");
    let body = answers[1]["body"].as_str().unwrap();
    assert!(
        body.starts_with("GET /x ") && body.contains("accept: own"),
        "{body}"
    );
    assert!(!body.contains("x-key"), "{body}");
}

#[tokio::test]
async fn a_cancel_ends_a_request_that_hangs() {
    let silent = Server::silent(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow").await;
    let second = Server::new(echo).await;
    let host = host_of(&silent, &second, OPEN).await;
    let requests = json!([{"url": silent.url("/open/")}]);
    host.schedule("t", "sends", json!({"requests": requests, "many": true}))
        .await;
    silent.begun().await;
    let begun = Instant::now();
    host.verb("t", "cancel").await.expect(200);
    host.reaches("t", "canceled").await;
    silent.hangs_up().await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

/// Listens on a port of four digits that nobody has.
async fn on_a_short_port() -> TcpListener {
    for port in 2_000..10_000 {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
    }
    panic!("every port of four digits is taken");
}

/// A server that speaks TLS with a certificate of its own for `127.0.0.1`; and that certificate.
async fn encrypted() -> (String, String) {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = on_a_short_port().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut part = [0; 4096];
            // What is asked does not matter, as long as it has come.
            if stream.read(&mut part).await.is_err() {
                continue;
            }
            stream
                .write_all(&answer("200 OK", "", "encrypted"))
                .await
                .ok();
            stream.shutdown().await.ok();
        }
    });
    (address.port().to_string(), own.cert.pem())
}

#[tokio::test]
async fn certificates_are_those_that_the_system_trusts() {
    let (port, certificate) = encrypted().await;
    let home = Home::new();
    // As long as the one it was built with.
    let (built, wanted) = (
        "http://127.0.0.1:18080",
        format!("https://127.0.0.1:{port}"),
    );
    let origins = [(built, wanted.as_str())];
    home.add_bytes("http-digest", &with_origins("http-digest", &origins));
    home.settings(&format!(
        "[[allow]]\ntype = \"http-digest\"\nsecrets = [\"http-digest-token\"]\n\
         http = [{{ origin = \"{wanted}\" }}, {{ origin = \"https://example.org\" }}]\n{OPEN}"
    ));
    let file = home.path().join("trusted.pem");
    fs::write(&file, certificate).unwrap();
    let params = json!({"url": format!("https://127.0.0.1:{port}/")});
    let mut command = home.serve();
    command.env("SSL_CERT_FILE", &file);
    let trusting = Host::of(command).await;
    let done = trusting.run("t", "http-digest", params.clone()).await;
    assert_eq!(done["payload"]["status"], 200, "{done:#}");
    trusting.stop().await;
    let host = home.start().await;
    host.schedule("u", "http-digest", params).await;
    let why = host
        .until("u", |task| {
            task["error"]["message"].is_string() || task["run"]["last_error"].is_object()
        })
        .await;
    assert!(why.to_string().contains("certificate"), "{why:#}");
}
