//! Requests to the outside, against real servers on loopback, whose range is opened for that.

mod limits;
mod names;
#[path = "../../../../tests/e2e/src/plain_server.rs"]
#[allow(unreachable_pub, reason = "end-to-end tests use the same server")]
mod plain_server;
mod redirects;
mod secrets;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::http::{Network, Range, Request, Response};
use taskhost_clients::run::RunClients;
use taskhost_clients::secrets::Secret;
use taskhost_model::capabilities::{Capabilities, HttpRule};
use taskhost_model::ids::Label;
use taskhost_model::task::LogLevel;

use crate::bench::{Bench, code};
use names::FakeNames;
use plain_server::{Server, answer};

const SECRET: &str = "s3cr3t/of+the:host";

fn rule(origin: &str, methods: &[&str], path_prefix: &str) -> HttpRule {
    HttpRule {
        origin: origin.to_owned(),
        methods: methods.iter().map(ToString::to_string).collect(),
        path_prefix: path_prefix.to_owned(),
    }
}

fn everything(origin: &str) -> HttpRule {
    rule(origin, &["GET", "HEAD", "POST", "PUT"], "/")
}

fn may(http: Vec<HttpRule>) -> Capabilities {
    let secrets = vec![Label::parse("key").unwrap()];
    Capabilities {
        http,
        secrets,
        ..Capabilities::default()
    }
}

fn loopback() -> Vec<Range> {
    vec!["127.0.0.0/8".parse().unwrap()]
}

/// A run that may reach these origins and use `key` at the first of them.
async fn reaching(origins: &[&str]) -> Bench {
    let rules: Vec<_> = origins.iter().map(|origin| everything(origin)).collect();
    allowing(may(rules.clone()), may(rules), &origins[..1]).await
}

async fn allowing(asked: Capabilities, allowed: Capabilities, of_key: &[&str]) -> Bench {
    let of_key = of_key.iter().map(ToString::to_string).collect();
    let key = Secret::new(SECRET.to_owned(), of_key).unwrap();
    let secrets = BTreeMap::from([(Label::parse("key").unwrap(), key)]);
    within(asked, allowed, Network::new(loopback(), secrets)).await
}

async fn within(asked: Capabilities, allowed: Capabilities, network: Network) -> Bench {
    Bench::with(|parts| {
        parts.grants.asked = asked;
        parts.grants.allowed = allowed;
        parts.network = network;
    })
    .await
}

fn request(method: &str, url: impl Into<String>) -> Request {
    Request {
        method: method.to_owned(),
        url: url.into(),
        ..Request::default()
    }
}

fn with(mut request: Request, name: &str, value: &str) -> Request {
    request.headers.push((name.to_owned(), value.to_owned()));
    request
}

async fn get(bench: &Bench, url: impl Into<String>) -> Result<Response, ClientError> {
    bench.clients.http.send(request("GET", url)).await
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

fn warnings(bench: &Bench) -> Vec<String> {
    let log = bench.said.log.lock().unwrap();
    let warnings = log.iter().filter(|line| line.level == LogLevel::Warn);
    warnings.map(|line| line.message.clone()).collect()
}

#[tokio::test]
async fn a_request_is_sent_as_it_was_given_and_answered() {
    let server = Server::new(|_| answer("201 Created", "x-a: 1\r\nX-B: \u{e9}\r\n", "made")).await;
    let bench = reaching(&[&server.origin]).await;
    let mut post = request("POST", server.url("/v1/things?a=b#part"));
    post.body = Some(b"body".to_vec());
    let post = with(with(post, "X-Own", "ä"), "x-own", "twice");
    let response = bench.clients.http.send(post).await.unwrap();
    assert_eq!((response.status, text(&response)), (201, "made"));
    let header = |name: &str| response.headers.iter().find(|(of, _)| of == name);
    assert_eq!(header("x-a").unwrap().1, "1");
    assert_eq!(header("x-b").unwrap().1, "\u{e9}");
    let seen = server.seen();
    let [seen] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert!(
        seen.starts_with("POST /v1/things?a=b HTTP/1.1\r\n"),
        "{seen}"
    );
    let host = server.origin.strip_prefix("http://").unwrap();
    for line in [
        &format!("host: {host}") as &str,
        "x-own: ä",
        "x-own: twice",
        "content-length: 4",
        "connection: close",
        "user-agent: taskhost/",
        "\r\n\r\nbody",
    ] {
        assert!(seen.contains(line), "{line} is not in {seen}");
    }
}

#[tokio::test]
async fn both_sides_have_to_say_so_and_a_denial_is_told() {
    let server = Server::new(|_| answer("200 OK", "", "")).await;
    let other = Server::new(|_| answer("200 OK", "", "")).await;
    let asked = vec![
        rule(&server.origin, &["GET", "DELETE"], "/v1/"),
        rule(&other.origin, &["GET"], "/"),
    ];
    let allowed = vec![rule(&server.origin, &["GET", "POST"], "/")];
    let bench = allowing(may(asked), may(allowed), &[]).await;
    get(&bench, server.url("/v1/a/b?c")).await.unwrap();
    let count = server.seen().len();
    for (method, url, expected) in [
        ("GET", server.url("/v1"), "descriptor does not ask"),
        ("GET", server.url("/v2/"), "descriptor does not ask"),
        ("GET", server.url("/v1/../v2"), "descriptor does not ask"),
        (
            "GET",
            server.url("/v1/%2e%2E/v2"),
            "descriptor does not ask",
        ),
        ("GET", server.url("/v1/..%2fv2"), "in disguise"),
        ("GET", server.url("/v1/..;/v2"), "in disguise"),
        ("POST", server.url("/v1/a"), "descriptor does not ask"),
        ("DELETE", server.url("/v1/a"), "operator does not allow"),
        ("GET", other.url("/"), "operator does not allow"),
        (
            "GET",
            "https://a.example/".to_owned(),
            "descriptor does not ask",
        ),
        (
            "GET",
            server.url("/v1/").replace("http:", "https:"),
            "descriptor does not ask",
        ),
    ] {
        let denied = bench.clients.http.send(request(method, url.as_str())).await;
        let error = denied.unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{url}");
        assert!(error.message.contains(expected), "{error}");
        let told = warnings(&bench).pop().unwrap();
        assert!(told.ends_with(&error.message), "{told}");
    }
    assert_eq!((server.seen().len(), other.seen().len()), (count, 0));
    let described = RunClients::describing()
        .http
        .send(request("GET", server.url("/")))
        .await;
    assert_eq!(code(described), ErrorCode::Denied);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_connected_to() {
    let server = Server::new(|_| answer("200 OK", "", "")).await;
    let port = server.port();
    let spellings = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::1]",
        "[64:ff9b::127.0.0.1]",
        "[::127.0.0.1]",
        "localhost",
        "0.0.0.0",
        "0",
        "[::]",
        "10.0.0.1",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "100.64.0.1",
        "192.168.1.1",
        "172.31.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "[2002:7f00:1::]",
    ];
    for host in spellings {
        let origin = taskhost_clients::http::origin(&format!("http://{host}:{port}")).unwrap();
        let rules = may(vec![everything(&origin)]);
        let bench = within(rules.clone(), rules, Network::default()).await;
        let error = get(&bench, format!("http://{host}:{port}/"))
            .await
            .unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{host}: {error}");
        assert!(error.message.contains("not public"), "{error}");
        assert_eq!(warnings(&bench).len(), 1);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_is_denied_when_one_of_its_addresses_is_and_is_looked_up_once_a_connection() {
    let server = Server::new(|_| answer("200 OK", "", "")).await;
    let origin = format!("http://a.example:{}", server.port());
    let rules = may(vec![everything(&origin)]);
    let here: IpAddr = "127.0.0.1".parse().unwrap();
    // The second look finds another address, as one who rebinds a name would have it.
    let names = FakeNames::new(&[
        &["127.0.0.1"],
        &["127.0.0.1", "10.0.0.1"],
        &["::ffff:10.0.0.1"],
    ]);
    let names = Arc::new(names);
    let network = Network::with_names(loopback(), BTreeMap::new(), Arc::clone(&names) as _);
    let bench = within(rules.clone(), rules, network).await;
    get(&bench, format!("{origin}/")).await.unwrap();
    assert_eq!(names.asked(), ["a.example"]);
    assert_eq!(server.visitors()[0].ip(), here);
    for _ in 0..2 {
        assert_eq!(
            code(get(&bench, format!("{origin}/")).await),
            ErrorCode::Denied
        );
    }
    assert_eq!((names.asked().len(), server.seen().len()), (3, 1));
    // There is no such name any more.
    let error = get(&bench, format!("{origin}/")).await.unwrap_err();
    assert_eq!(
        (error.code, error.retryable),
        (ErrorCode::Unavailable, true)
    );
    // Without a rule nobody is asked.
    get(&bench, "http://b.example/").await.unwrap_err();
    assert_eq!(names.asked().len(), 4);
}
