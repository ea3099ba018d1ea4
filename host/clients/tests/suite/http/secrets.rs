//! Secrets: where they go, and that they come back masked.

use taskhost_clients::error::ErrorCode;
use taskhost_clients::http::Request;
use taskhost_clients::run::RunClients;
use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::Label;

use super::plain_server::{Server, answer};
use super::{SECRET, allowing, reaching, request, text, warnings, with};
use crate::bench::code;

#[tokio::test]
async fn a_secret_is_swapped_in_and_comes_back_masked() {
    let echo = |seen: &str| {
        let value = seen
            .split("x-key: ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap();
        answer(
            "200 OK",
            &format!("x-echo: {value}\r\n"),
            &format!("<{value}> {seen}"),
        )
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
    assert!(
        seen.contains(&format!("x-key: a {SECRET}, {SECRET}!\r\n")),
        "{seen}"
    );
    assert!(
        seen.contains("accept-encoding: identity\r\n") && !seen.contains("gzip"),
        "{seen}"
    );
    let stars = "*".repeat(SECRET.len());
    let masked = format!("a {stars}, {stars}!");
    assert!(
        text(&response).starts_with(&format!("<{masked}>")),
        "{}",
        text(&response)
    );
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
    for foreign in [
        &stale,
        "taskhost-secret-",
        &format!("{placeholder}taskhost-secret-ä"),
    ] {
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
    assert_ne!(
        again.clients.secrets.placeholder("key").unwrap(),
        placeholder
    );
    let shown = format!(
        "{:?} {:?} {:?}",
        again.clients,
        bench.clients,
        warnings(&bench)
    );
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
    assert_eq!(
        code(RunClients::describing().secrets.placeholder("key")),
        ErrorCode::Denied
    );
}

#[tokio::test]
async fn a_redirect_that_has_a_secret_in_it_is_not_followed() {
    // Where it leads stands in the request's path; what the server saw of the key, in its place.
    let reflect = |seen: &str| {
        let to = seen.split(' ').nth(1).unwrap().strip_prefix("/?").unwrap();
        let location = to.replace("KEY", seen.split("x-key: ").nth(1).unwrap_or("").trim());
        let location = location.split("\r\n").next().unwrap();
        answer("302 Found", &format!("location: {location}\r\n"), "")
    };
    let server = Server::new(reflect).await;
    let other = Server::new(|_| answer("200 OK", "", "")).await;
    let bench = reaching(&[&server.origin, &other.origin]).await;
    let placeholder = bench.clients.secrets.placeholder("key").unwrap();
    for to in [
        "/KEY",
        "//127.0.0.2:1/denied/KEY",
        "http://KEY.invalid/",
        "file:///KEY",
        &other.url("/?KEY"),
    ] {
        let get = request("GET", server.url(&format!("/?{to}")));
        let denied = bench
            .clients
            .http
            .send(with(get, "x-key", &placeholder))
            .await;
        let error = denied.unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{to}: {error:?}");
        assert!(error.message.contains("secret of this task"), "{error:?}");
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    }
    let told = warnings(&bench).join("\n");
    assert!(
        told.contains("denied: ") && !told.contains(SECRET),
        "{told}"
    );
    assert!(other.seen().is_empty(), "{:?}", other.seen());
}

/// What is masked where the secret cannot come from would tell that a guess is right.
#[tokio::test]
async fn who_cannot_know_a_secret_is_answered_as_it_is() {
    let echo = |seen: &str| answer("200 OK", "", seen.split(' ').nth(1).unwrap());
    let (knows, other) = (Server::new(echo).await, Server::new(echo).await);
    let bench = reaching(&[&knows.origin, &other.origin]).await;
    let guess = format!("/?{SECRET}");
    let from_other = bench.clients.http.send(request("GET", other.url(&guess)));
    let from_other = from_other.await.unwrap();
    assert_eq!(text(&from_other), guess);
    assert!(from_other.url.ends_with(&guess), "{}", from_other.url);
    let from_knows = bench.clients.http.send(request("GET", knows.url(&guess)));
    assert!(!text(&from_knows.await.unwrap()).contains(SECRET));
}
