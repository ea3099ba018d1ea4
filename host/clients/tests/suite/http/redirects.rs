//! Redirects: each hop is judged as the first one was, and takes along what everybody may see.

use taskhost_clients::error::ErrorCode;

use super::plain_server::{Server, answer};
use super::{SECRET, allowing, everything, get, may, reaching, request, rule, text, with};
use crate::bench::code;

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
    assert!(
        last.starts_with("GET /0 ") && last.contains("authorization: own"),
        "{last}"
    );
    assert!(
        !last.contains("content-type") && !last.contains("body"),
        "{last}"
    );
    assert_eq!(server.seen().len(), 6);
    assert_eq!(response.url, server.url("/0"));
    let mut odd = request("GET", server.url("/0"));
    odd.options = Some(r#"{"redirects":0}"#.to_owned());
    assert_eq!(code(bench.clients.http.send(odd).await), ErrorCode::Invalid);
    let sixth = get(&bench, server.url("/6")).await.unwrap();
    assert_eq!((sixth.status, text(&sixth)), (302, "gone"));
}

#[tokio::test]
async fn each_hop_is_judged_anew() {
    let other = Server::new(|_| answer("200 OK", "", "reached")).await;
    let to = move |seen: &str| {
        let location = seen.split(' ').nth(1).unwrap().strip_prefix("/?").unwrap();
        answer(
            "307 Temporary Redirect",
            &format!("location: {location}\r\n"),
            "as it came",
        )
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
    let denied = bench
        .clients
        .http
        .send(request("POST", to(&other.url("/open/x"))))
        .await;
    assert_eq!(code(denied), ErrorCode::Denied);
    assert_eq!(other.seen().len(), 1);
}

#[tokio::test]
async fn only_harmless_headers_go_along_to_another_origin() {
    let other = Server::new(|_| answer("200 OK", "", "")).await;
    let location = other.url("/x");
    let redirect = move |_: &str| {
        answer(
            "308 Permanent Redirect",
            &format!("location: {location}\r\n"),
            "",
        )
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
    assert!(
        second.starts_with("PUT /x ") && second.ends_with("kept"),
        "{second}"
    );
    assert!(second.contains("accept: text/plain"), "{second}");
    for lost in ["own", "key", SECRET, &placeholder] {
        assert!(!second.contains(lost), "{lost} in {second}");
    }
}
