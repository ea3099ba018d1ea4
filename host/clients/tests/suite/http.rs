//! Requests to the outside, against real servers on loopback, whose range is opened for that.

mod names;
#[path = "../../../../tests/e2e/src/plain_server.rs"]
mod plain_server;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::http::{Network, Range, Request, Response};
use taskhost_clients::run::RunClients;
use taskhost_clients::secrets::Secret;
use taskhost_clients::stop::StopReason;
use taskhost_model::capabilities::{Capabilities, HttpRule};
use taskhost_model::ids::Label;
use taskhost_model::task::LogLevel;

use crate::bench::{Bench, MIB, code};
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
    let [seen] = &seen[..] else { panic!("{seen:?}") };
    assert!(seen.starts_with("POST /v1/things?a=b HTTP/1.1\r\n"), "{seen}");
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
        ("GET", server.url("/v1/%2e%2E/v2"), "descriptor does not ask"),
        ("GET", server.url("/v1/..%2fv2"), "in disguise"),
        ("GET", server.url("/v1/..;/v2"), "in disguise"),
        ("POST", server.url("/v1/a"), "descriptor does not ask"),
        ("DELETE", server.url("/v1/a"), "operator does not allow"),
        ("GET", other.url("/"), "operator does not allow"),
        ("GET", "https://a.example/".to_owned(), "descriptor does not ask"),
        ("GET", server.url("/v1/").replace("http:", "https:"), "descriptor does not ask"),
    ] {
        let denied = bench.clients.http.send(request(method, url.as_str())).await;
        let error = denied.unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{url}");
        assert!(error.message.contains(expected), "{error}");
        let told = warnings(&bench).pop().unwrap();
        assert!(told.ends_with(&error.message), "{told}");
    }
    assert_eq!((server.seen().len(), other.seen().len()), (count, 0));
    let described = RunClients::describing().http.send(request("GET", server.url("/"))).await;
    assert_eq!(code(described), ErrorCode::Denied);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_connected_to() {
    let server = Server::new(|_| answer("200 OK", "", "")).await;
    let port = server.port();
    let spellings = [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.1", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[::1]", "[64:ff9b::127.0.0.1]", "[::127.0.0.1]", "localhost", "0.0.0.0",
        "0", "[::]", "10.0.0.1", "169.254.169.254", "[fd00:ec2::254]", "[fe80::1]", "100.64.0.1",
        "192.168.1.1", "172.31.0.1", "224.0.0.1", "255.255.255.255", "[2002:7f00:1::]",
    ];
    for host in spellings {
        let origin = taskhost_clients::http::origin(&format!("http://{host}:{port}")).unwrap();
        let rules = may(vec![everything(&origin)]);
        let bench = within(rules.clone(), rules, Network::default()).await;
        let error = get(&bench, format!("http://{host}:{port}/")).await.unwrap_err();
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
    let names = FakeNames::new(&[&["127.0.0.1"], &["127.0.0.1", "10.0.0.1"], &["::ffff:10.0.0.1"]]);
    let names = Arc::new(names);
    let network = Network::with_names(loopback(), BTreeMap::new(), Arc::clone(&names) as _);
    let bench = within(rules.clone(), rules, network).await;
    get(&bench, format!("{origin}/")).await.unwrap();
    assert_eq!(names.asked(), ["a.example"]);
    assert_eq!(server.visitors()[0].ip(), here);
    for _ in 0..2 {
        assert_eq!(code(get(&bench, format!("{origin}/")).await), ErrorCode::Denied);
    }
    assert_eq!((names.asked().len(), server.seen().len()), (3, 1));
    // There is no such name any more.
    let error = get(&bench, format!("{origin}/")).await.unwrap_err();
    assert_eq!((error.code, error.retryable), (ErrorCode::Unavailable, true));
    // Without a rule nobody is asked.
    get(&bench, "http://b.example/").await.unwrap_err();
    assert_eq!(names.asked().len(), 4);
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_both_sides_allow() {
    let hop = |seen: &str| {
        let path = seen.split(' ').nth(1).unwrap();
        match path.strip_prefix("/").unwrap().parse::<u32>() {
            Ok(0) => answer("200 OK", "", seen),
            Ok(n) => answer("302 Found", &format!("location: {}\r\n", n - 1), "gone"),
            Err(_) => answer("200 OK", "", "?"),
        }
    };
    let server = Server::new(hop).await;
    let bench = reaching(&[&server.origin]).await;
    let mut post = with(request("POST", server.url("/5")), "authorization", "own");
    post.body = Some(b"body".to_vec());
    let post = with(post, "content-type", "text/plain");
    let response = bench.clients.http.send(post).await.unwrap();
    let last = text(&response);
    assert!(last.starts_with("GET /0 ") && last.contains("authorization: own"), "{last}");
    assert!(!last.contains("content-type") && !last.contains("body"), "{last}");
    assert_eq!(server.seen().len(), 6);
    let sixth = get(&bench, server.url("/6")).await.unwrap();
    assert_eq!((sixth.status, text(&sixth)), (302, "gone"));
}

#[tokio::test]
async fn each_hop_is_judged_anew() {
    let other = Server::new(|_| answer("200 OK", "", "reached")).await;
    let to = move |seen: &str| {
        let location = seen.split(' ').nth(1).unwrap().strip_prefix("/?").unwrap();
        answer("307 Temporary Redirect", &format!("location: {location}\r\n"), "as it came")
    };
    let server = Server::new(to).await;
    let inside = "http://10.1.2.3".to_owned();
    let rules = may(vec![
        everything(&server.origin),
        rule(&other.origin, &["GET"], "/open/"),
        everything(&inside),
    ]);
    let bench = allowing(rules.clone(), rules, &[]).await;
    let to = |location: &str| server.url(&format!("/?{location}"));
    let open = get(&bench, to(&other.url("/open/x"))).await.unwrap();
    assert_eq!(text(&open), "reached");
    for location in [
        &other.url("/closed"),
        &other.url("/open/..%2fclosed"),
        &format!("{inside}/"),
        "http://169.254.169.254/latest/",
        "file:///etc/passwd",
        "javascript:x",
        "http://u:p@127.0.0.1/",
        "//127.0.0.2:1/",
        "https://127.0.0.1/",
    ] {
        let denied = get(&bench, to(location)).await;
        assert_eq!(code(denied), ErrorCode::Denied, "{location}");
    }
    // What is no URL leads nowhere.
    for location in ["http://[", "http://a:b:c/"] {
        let response = get(&bench, to(location)).await.unwrap();
        assert_eq!((response.status, text(&response)), (307, "as it came"));
    }
    let denied = bench.clients.http.send(request("POST", to(&other.url("/open/x")))).await;
    assert_eq!(code(denied), ErrorCode::Denied);
    assert_eq!(other.seen().len(), 1);
}

#[tokio::test]
async fn only_harmless_headers_go_along_to_another_origin() {
    let other = Server::new(|_| answer("200 OK", "", "")).await;
    let location = other.url("/x");
    let redirect = move |_: &str| {
        answer("308 Permanent Redirect", &format!("location: {location}\r\n"), "")
    };
    let server = Server::new(redirect).await;
    let bench = reaching(&[&server.origin, &other.origin]).await;
    let placeholder = bench.clients.secrets.placeholder("key").unwrap();
    let mut put = request("PUT", server.url("/"));
    put.body = Some(b"kept".to_vec());
    for (name, value) in [
        ("authorization", "Bearer own"),
        ("cookie", "own"),
        ("x-api-key", "own"),
        ("accept", "text/plain"),
        ("user-agent", &placeholder),
        ("x-key", &placeholder),
    ] {
        put = with(put, name, value);
    }
    bench.clients.http.send(put).await.unwrap();
    let first = server.seen().join("");
    assert!(first.contains(&format!("x-key: {SECRET}\r\n")), "{first}");
    let second = other.seen().join("");
    assert!(second.starts_with("PUT /x ") && second.ends_with("kept"), "{second}");
    assert!(second.contains("accept: text/plain"), "{second}");
    for lost in ["own", "key", SECRET, &placeholder] {
        assert!(!second.contains(lost), "{lost} in {second}");
    }
}

#[tokio::test]
async fn a_secret_is_swapped_in_and_comes_back_masked() {
    let echo = |seen: &str| {
        let value = seen.split("x-key: ").nth(1).unwrap().split("\r\n").next().unwrap();
        answer("200 OK", &format!("x-echo: {value}\r\n"), &format!("<{value}> {seen}"))
    };
    let server = Server::new(echo).await;
    let bench = reaching(&[&server.origin]).await;
    let secrets = &bench.clients.secrets;
    let placeholder = secrets.placeholder("key").unwrap();
    assert_eq!(secrets.placeholder("key").unwrap(), placeholder);
    let value = format!("a {placeholder}, {placeholder}!");
    let get = with(request("GET", server.url("/")), "x-key", &value);
    let get = with(get, "accept-encoding", "gzip");
    let response = bench.clients.http.send(get).await.unwrap();
    let seen = server.seen().join("");
    assert!(seen.contains(&format!("x-key: a {SECRET}, {SECRET}!\r\n")), "{seen}");
    assert!(seen.contains("accept-encoding: identity\r\n") && !seen.contains("gzip"), "{seen}");
    let stars = "*".repeat(SECRET.len());
    let masked = format!("a {stars}, {stars}!");
    assert!(text(&response).starts_with(&format!("<{masked}>")), "{}", text(&response));
    assert!(!text(&response).contains(SECRET));
    assert!(response.headers.contains(&("x-echo".to_owned(), masked)));
}

#[tokio::test]
async fn a_secret_goes_nowhere_else() {
    let server = Server::new(|_| answer("200 OK", "", "")).await;
    let other = Server::new(|_| answer("200 OK", "", "")).await;
    let bench = reaching(&[&server.origin, &other.origin]).await;
    let placeholder = bench.clients.secrets.placeholder("key").unwrap();
    let send = |request: Request| bench.clients.http.send(request);
    let elsewhere = with(request("GET", other.url("/")), "x-key", &placeholder);
    let error = send(elsewhere).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    assert!(error.message.contains(&other.origin) && !error.message.contains(SECRET));
    let stale = placeholder[..placeholder.len() - 1].to_owned() + "!";
    for foreign in [&stale, "taskhost-secret-", &format!("{placeholder}taskhost-secret-ä")] {
        let get = with(request("GET", server.url("/")), "x-key", foreign);
        assert_eq!(code(send(get).await), ErrorCode::Denied, "{foreign}");
    }
    let in_url = request("GET", server.url(&format!("/?{placeholder}")));
    let mut in_body = request("POST", server.url("/"));
    in_body.body = Some(placeholder.clone().into_bytes());
    for misplaced in [in_url, in_body] {
        assert_eq!(code(send(misplaced).await), ErrorCode::Invalid);
    }
    assert!(server.seen().is_empty() && other.seen().is_empty());
    // Another attempt has another one.
    let again = reaching(&[&server.origin]).await;
    let get = with(request("GET", server.url("/")), "x-key", &placeholder);
    assert_eq!(code(again.clients.http.send(get).await), ErrorCode::Denied);
    assert_ne!(again.clients.secrets.placeholder("key").unwrap(), placeholder);
    let shown = format!("{:?} {:?} {:?}", again.clients, bench.clients, warnings(&bench));
    assert!(!shown.contains(SECRET));
}

#[tokio::test]
async fn placeholders_are_for_what_both_sides_name_and_the_operator_has_set_up() {
    let label = |name| Label::parse(name).unwrap();
    let secrets = |names: &[&'static str]| Capabilities {
        secrets: names.iter().map(|name| label(name)).collect(),
        ..Capabilities::default()
    };
    let (asked, allowed) = (secrets(&["key", "a", "c"]), secrets(&["key", "b", "c"]));
    let bench = allowing(asked, allowed, &[]).await;
    let of = |name| bench.clients.secrets.placeholder(name);
    assert!(of("key").is_ok());
    assert_eq!(code(of("a")), ErrorCode::Denied);
    assert_eq!(code(of("b")), ErrorCode::Denied);
    assert_eq!(code(of("c")), ErrorCode::NotFound);
    assert_eq!(code(of(&"\n".repeat(9_999))), ErrorCode::Denied);
    assert!(warnings(&bench).iter().all(|line| line.len() < 1_000));
    assert_eq!(code(RunClients::describing().secrets.placeholder("key")), ErrorCode::Denied);
}

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
        (with(good(), "transfer-encoding", "chunked"), ErrorCode::Invalid),
        (with(good(), "connection", "upgrade"), ErrorCode::Invalid),
        (with(good(), "x", &"a".repeat(33_000)), ErrorCode::TooLarge),
        (many, ErrorCode::TooLarge),
        (large, ErrorCode::TooLarge),
        (never, ErrorCode::Invalid),
        (forever, ErrorCode::Invalid),
        (request("get", server.url("/")), ErrorCode::Invalid),
        (request("", server.url("/")), ErrorCode::Invalid),
        (request("GET / HTTP/1.1\r\n", server.url("/")), ErrorCode::Invalid),
        (request("CONNECT", server.url("/")), ErrorCode::Invalid),
        (request("TRACE", server.url("/")), ErrorCode::Invalid),
        (request("GET", server.url("/\r\nx: y")), ErrorCode::Invalid),
        (request("GET", "/relative"), ErrorCode::Invalid),
        (request("GET", ""), ErrorCode::Invalid),
        (request("GET", server.url(&"a".repeat(9_000))), ErrorCode::TooLarge),
    ];
    for (request, expected) in cases {
        let shown = format!("{} {:.60} {:?}", request.method, request.url, request.timeout_ms);
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
    let error = get(&bench, server.url(&format!("/{}", MIB + 1))).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    let half = || request("GET", server.url(&format!("/{}", MIB / 2)));
    let answers = bench.clients.http.send_many(vec![half(), half(), half()]).await.unwrap();
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
    for bytes in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "SSH-2.0-x\r\n", "\0\0"] {
        let server = Server::new(move |_| bytes.as_bytes().to_vec()).await;
        let bench = reaching(&[&server.origin]).await;
        let error = get(&bench, server.url("/")).await.unwrap_err();
        assert_eq!((error.code, error.retryable), (ErrorCode::Unavailable, true), "{error}");
        assert!(error.message.starts_with(&server.origin), "{error}");
    }
    let closed = Server::new(|_| Vec::new()).await;
    let origin = closed.origin.clone();
    drop(closed);
    let bench = reaching(&[&origin]).await;
    let error = get(&bench, format!("{origin}/")).await.unwrap_err();
    assert_eq!((error.code, error.retryable), (ErrorCode::Unavailable, true), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let server = Server::silent(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nslow").await;
    let bench = reaching(&[&server.origin]).await;
    let mut slow = request("GET", server.url("/"));
    slow.timeout_ms = Some(50);
    let error = bench.clients.http.send(slow).await.unwrap_err();
    assert_eq!((error.code, error.retryable), (ErrorCode::Unavailable, true));
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
    assert_eq!(code(get(&bench, server.url("/")).await), ErrorCode::Canceled);
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
