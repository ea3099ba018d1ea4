//! Sessions of people with a browser: how they begin and end, and what nobody gets a browser to do.

use reqwest::{Method, RequestBuilder};
use serde_json::json;
use taskhost_e2e::answer::Answer;
use taskhost_e2e::holder::{Holder, sent};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;

/// A browser, as the host sees one: it keeps a cookie and says where a page is from.
struct Keeping<'a> {
    host: &'a Host,
    cookie: String,
}

fn bare(host: &Host, method: Method, path: &str) -> RequestBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
        .request(method, format!("{}{path}", host.url))
}

impl Keeping<'_> {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        bare(self.host, method, path).header("cookie", &self.cookie)
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        sent(request).await
    }
}

async fn logged_in<'a>(host: &'a Host, holder: &Holder) -> Keeping<'a> {
    let login = bare(host, Method::POST, "/login").json(&json!({"token": holder.token}));
    let answer = sent(login).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "on loopback: {cookie}");
    assert!(!cookie.contains(&holder.token));
    assert_eq!(answer.header("cache-control"), "no-store");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    Keeping { host, cookie }
}

#[tokio::test]
async fn a_session_stands_for_its_token_until_either_ends() {
    let (host, admin) = Home::with(&["hello-task"]).start_for_people().await;
    let wanted = json!({"name": "ann", "roles": {"default": "operator"}});
    let ann = host.holder(&wanted).await;
    let browser = logged_in(&host, &ann).await;
    let origin = host.url.clone();
    let list = || browser.request(Method::GET, "/v1/spaces/default/tasks");
    browser.send(list()).await.expect(200);
    let body = json!({"type": "hello", "params": {"name": "Ada"}});
    let put = || browser.request(Method::PUT, &task("t")).json(&body);
    // A page elsewhere makes a browser send what it keeps: nothing is done by that.
    for origin in [None, Some("null"), Some("https://evil.example")] {
        let request = match origin {
            Some(origin) => put().header("origin", origin),
            None => put(),
        };
        browser
            .send(request)
            .await
            .problem(403, "origin-not-allowed");
    }
    let read = list().header("origin", "https://evil.example");
    browser.send(read).await.problem(403, "origin-not-allowed");
    browser
        .send(put().header("origin", &origin))
        .await
        .expect(201);
    assert_eq!(host.task("t").await["requested_by"], "ann");
    // A token that comes along is who counts, not the cookie.
    let other = list().header("authorization", "Bearer x");
    browser.send(other).await.problem(401, "unauthorized");
    // Two cookies are none: one may be of somebody who wants this one to be somebody else.
    let two = format!("{}; {}", browser.cookie, browser.cookie);
    let two = bare(&host, Method::GET, "/v1/info").header("cookie", two);
    sent(two).await.problem(401, "unauthorized");
    // Whoever logs out is nobody, also where somebody has kept the cookie.
    let logout = || browser.request(Method::POST, "/logout");
    browser
        .send(logout())
        .await
        .problem(403, "origin-not-allowed");
    let left = browser.send(logout().header("origin", &origin)).await;
    assert_eq!(left.status, 204, "{left:?}");
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{left:?}");
    browser.send(list()).await.problem(401, "unauthorized");
    // And whose token is revoked.
    let browser = logged_in(&host, &ann).await;
    host.delete(&format!("/v1/tokens/{}", ann.id))
        .await
        .expect(200);
    let list = browser.request(Method::GET, "/v1/spaces/default/tasks");
    browser.send(list).await.problem(401, "unauthorized");
    let log = host.log();
    assert!(
        !log.contains(&browser.cookie) && !log.contains(&ann.token),
        "{log}"
    );
    assert_eq!(log.matches(&admin.token).count(), 1);
    host.stop().await;
}

#[tokio::test]
async fn pages_ask_who_somebody_is_and_lead_on() {
    let (host, admin) = Home::new().start_for_people().await;
    for path in ["/", "/streams/logs?a=b", "/login"] {
        let answer = sent(bare(&host, Method::GET, path)).await;
        assert_eq!(
            answer.status,
            if path == "/login" { 200 } else { 401 },
            "{answer:?}"
        );
        assert!(
            answer.header("content-type").starts_with("text/html"),
            "{answer:?}"
        );
        assert!(answer.text.contains("name=\"token\""), "{answer:?}");
        // A browser has nothing to ask for by itself.
        assert!(
            !answer.header("www-authenticate").contains("Basic"),
            "{answer:?}"
        );
    }
    let asked = sent(bare(&host, Method::GET, "/streams/logs?a=b")).await;
    assert!(
        asked.text.contains("value=\"/streams/logs?a=b\""),
        "{asked:?}"
    );
    let form = |token: &str, next: &str| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("next", next)
            .finish();
        let request = bare(&host, Method::POST, "/login");
        let kind = "application/x-www-form-urlencoded";
        sent(request.header("content-type", kind).body(form))
    };
    let wrong = form("tkh_x", "/").await;
    assert_eq!(wrong.status, 401, "{wrong:?}");
    assert!(wrong.header("set-cookie").is_empty(), "{wrong:?}");
    assert!(
        wrong.text.contains("name=\"token\"") && !wrong.text.contains("tkh_x"),
        "{wrong:?}"
    );
    for (next, location) in [
        ("/streams/logs", "/streams/logs"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
    ] {
        let right = form(&admin.token, next).await;
        assert_eq!(
            (right.status, right.header("location")),
            (303, location),
            "{right:?}"
        );
        assert!(!right.header("set-cookie").is_empty());
    }
    // A form of another origin logs nobody in.
    let foreign = bare(&host, Method::POST, "/login").json(&json!({"token": admin.token}));
    let foreign = sent(foreign.header("origin", "https://evil.example")).await;
    foreign.problem(403, "origin-not-allowed");
    for made_up in ["x", "", "taskhost_session", &"A".repeat(300)] {
        let cookie = format!("taskhost_session={made_up}");
        let request = bare(&host, Method::GET, "/v1/info").header("cookie", cookie);
        sent(request).await.problem(401, "unauthorized");
    }
    host.stop().await;
}
