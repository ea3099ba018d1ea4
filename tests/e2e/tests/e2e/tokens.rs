//! Tokens of the embedded store: the first one, those that it makes, and what becomes of those who
//! lose theirs.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use taskhost_e2e::PATIENCE;
use taskhost_e2e::holder::{ASKS, Holder, sent};
use taskhost_e2e::home::{Home, program};
use taskhost_e2e::host::{Cli, Host};
use taskhost_e2e::tasks::{stream, task};

/// What nothing may show of a token: its secret part.
fn secret(holder: &Holder) -> &str {
    holder.token.rsplit('_').next().unwrap()
}

fn everything_below(folder: &std::path::Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        match path.is_dir() {
            true => bytes.extend(everything_below(&path)),
            false => bytes.extend(std::fs::read(path).unwrap_or_default()),
        }
    }
    bytes
}

#[tokio::test]
async fn the_first_start_tells_an_admins_token_once_and_nothing_keeps_it() {
    let home = Home::with(&["hello-task"]);
    let (host, admin) = home.start_for_people().await;
    host.get("/v1/hosts").await.expect(200);
    let info = host.get("/v1/info").await.expect(200);
    assert_eq!(info["mode"], "people");
    host.run("t", "hello", json!({"name": "Ada"})).await;
    assert_eq!(host.task("t").await["requested_by"], "admin");
    for (path, status) in [
        ("/v1/info", 401),
        ("/", 401),
        ("/livez", 200),
        ("/login", 200),
    ] {
        let answer = sent(reqwest::Client::new().get(format!("{}{path}", host.url)));
        assert_eq!(answer.await.status, status, "{path}");
    }
    for wrong in [
        "Bearer x".to_owned(),
        format!("Bearer {}0", admin.token),
        format!("Basic {}", admin.token),
        format!("RunKey {}", admin.token),
        admin.token.clone(),
    ] {
        let request = reqwest::Client::new().get(format!("{}/v1/info", host.url));
        let answer = sent(request.header("authorization", &wrong)).await;
        let problem = answer.problem(401, "unauthorized").to_string();
        assert!(!problem.contains(secret(&admin)), "{problem}");
    }
    let told = host.log().matches(secret(&admin)).count();
    assert_eq!(told, 1, "it is told once");
    host.stop().await;
    let kept = everything_below(&home.data());
    let text = secret(&admin).as_bytes();
    assert!(!kept.windows(text.len()).any(|part| part == text));
    // The next start tells none, and takes the first one's.
    let mut host = home.start().await;
    assert!(Holder::told(&host.log()).is_none());
    host.http = admin.client();
    assert_eq!(host.task("t").await["status"], "completed");
    host.stop().await;
}

#[tokio::test]
async fn tokens_are_made_listed_and_revoked_by_the_command_line() {
    let home = Home::with(&["hello-task"]);
    let (host, admin) = home.start_for_people().await;
    let file = home.path().join("token");
    std::fs::write(&file, &admin.token).unwrap();
    let file = file.to_str().unwrap();
    let asked = |arguments: &[&str]| {
        let mut command = program();
        command.env("TASKHOST_URL", &host.url).args(arguments);
        command.args(["--token-file", file]);
        Cli::of(command)
    };
    let made = asked(&[
        "token", "create", "ann", "--role", "operator", "--in", "default",
    ])
    .await;
    // The token alone: so that it can go on into a file.
    let ann = Holder::told(&made.out).unwrap();
    assert_eq!(made.out.trim(), ann.token, "{made:?}");
    assert!(!made.err.contains(secret(&ann)), "{made:?}");
    let listed = asked(&["token", "list"]).await.done();
    assert!(
        listed.contains(&ann.id) && listed.contains("default: operator"),
        "{listed}"
    );
    assert!(!listed.contains(secret(&ann)) && !listed.contains(secret(&admin)));
    let by_ann = async |arguments: &[&str]| {
        let mut command = program();
        command.env("TASKHOST_URL", &host.url).args(arguments);
        Cli::of({
            command.env("TASKHOST_TOKEN", &ann.token);
            command
        })
        .await
    };
    let ran = by_ann(&[
        "schedule",
        "hello",
        "--params",
        "{\"name\":\"Ada\"}",
        "--watch",
    ])
    .await;
    assert!(ran.out.contains("completed"), "{ran:?}");
    let refused = by_ann(&["token", "list"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("the role `admin`"), "{refused:?}");
    // A token is never taken as an argument.
    let whole = asked(&["token", "revoke", &ann.token]).await;
    assert_eq!(whole.code, Some(2), "{whole:?}");
    assert!(!whole.err.contains(secret(&ann)), "{whole:?}");
    asked(&["token", "revoke", &ann.id]).await.done();
    let refused = by_ann(&["list"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let audit = asked(&["audit", "--deed", "token"]).await.done();
    assert!(
        audit.contains("token.revoke") && audit.contains(&ann.id),
        "{audit}"
    );
    for text in [&audit, &host.log(), &refused.err] {
        assert!(!text.contains(secret(&ann)), "{text}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_revoked_token_ends_what_it_watches_and_no_run_of_its_begins() {
    let home = Home::with(&["sleeper", "hello-task"]);
    let (host, _) = home.start_for_people().await;
    host.put(&stream("logs"), &json!({})).await.expect(201);
    let ann = host
        .holder(&json!({"name": "ann", "roles": {"default": "operator"}}))
        .await;
    let schedule = |id: &str, body: &serde_json::Value| {
        let request = host.request(Method::PUT, &task(id)).json(body);
        host.send_for(&ann, request)
    };
    let later = json!({"type": "hello", "params": {"name": "Ada"},
        "run_at": "2999-01-01T00:00:00Z"});
    let far = schedule("far", &later).await;
    far.names("run_at");
    let soon = chrono_in(Duration::from_secs(4));
    let waits = json!({"type": "hello", "params": {"name": "Ada"}, "run_at": soon});
    schedule("waits", &waits).await.expect(201);
    // Somebody else's run is not touched by it.
    host.put(&task("mine"), &waits).await.expect(201);
    let watched = host.request(Method::GET, &format!("{}/events", task("waits")));
    let watched = watched.header("authorization", ann.authorization()).send();
    let mut events = taskhost_e2e::events::Events::new(watched.await.unwrap());
    assert_eq!(events.next().await.unwrap().name, "status");
    let since = host.task("waits").await["revision"].clone();
    let long = format!("{}?wait=60s&since={since}", task("waits"));
    let long_poll = host.get_for(&ann, &long);
    let revoke = async {
        host.delete(&format!("/v1/tokens/{}", ann.id))
            .await
            .expect(200);
        host.get_for(&ann, "/v1/info")
            .await
            .problem(401, "unauthorized");
    };
    let (answer, ()) =
        tokio::time::timeout(PATIENCE / 2, async { tokio::join!(long_poll, revoke) })
            .await
            .expect("a long poll outlives its token");
    assert!(answer.status == 401 || answer.status == 200, "{answer:?}");
    let ended = async { while events.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE / 2, ended)
        .await
        .expect("a stream of events outlives its token");
    let failed = host.ends("waits").await;
    assert_eq!(failed["status"], "failed", "{failed:#}");
    assert_eq!(failed["error"]["kind"], "identity", "{failed:#}");
    assert_eq!(host.ends("mine").await["status"], "completed");
    host.stop().await;
}

/// So long from now, in epoch milliseconds.
fn chrono_in(time: Duration) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let at = now.unwrap() + time;
    u64::try_from(at.as_millis()).unwrap()
}

#[tokio::test]
async fn two_admins_that_revoke_each_other_leave_one_and_the_last_one_gets_back_in() {
    let home = Home::new();
    let (host, admin) = home.start_for_people().await;
    let everything = |name: &str| json!({"name": name, "roles": {"*": "admin"}});
    let (one, two) = (
        host.holder(&everything("one")).await,
        host.holder(&everything("two")).await,
    );
    let revoke = |by: &Holder, of: &Holder| {
        let request = host.request(Method::DELETE, &format!("/v1/tokens/{}", of.id));
        let by = by.clone();
        let host = &host;
        async move { host.send_for(&by, request).await.status }
    };
    let (first, second) = tokio::join!(revoke(&one, &two), revoke(&two, &one));
    let mut done = [first, second];
    done.sort_unstable();
    assert_eq!(done, [200, 401]);
    let left = if first == 200 { &one } else { &two };
    assert_eq!(revoke(left, &admin).await, 200);
    let last = host.request(Method::DELETE, &format!("/v1/tokens/{}", left.id));
    let last = host.send_for(left, last).await.expect(200);
    assert_eq!(last["admins_left"], 0, "{last:#}");
    for by in [&admin, &one, &two] {
        host.get_for(by, "/v1/info")
            .await
            .problem(401, "unauthorized");
    }
    // While a host has the folder nobody makes a token beside it.
    let create = || {
        let mut command = program();
        command.args([
            "token",
            "create",
            "root",
            "--role",
            "admin",
            "--everywhere",
            "--data",
        ]);
        command.arg(home.data());
        command
    };
    let refused = Cli::of(create()).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.err.contains("in use by another taskhost"),
        "{refused:?}"
    );
    host.stop().await;
    let root = Holder::told(&Cli::of(create()).await.done()).unwrap();
    let mut host = home.start().await;
    assert!(Holder::told(&host.log()).is_none(), "it is no first start");
    host.http = root.client();
    let audit = host
        .get("/v1/audit?deed=token.create&target=root")
        .await
        .expect(200);
    assert_eq!(audit["entries"][0]["by"], "host", "{audit:#}");
    host.stop().await;
}

#[tokio::test]
async fn tokens_end_by_their_time_and_wrong_wishes_are_told() {
    let (host, _) = Home::new().start_for_people().await;
    let wanted = json!({"name": "ann", "roles": {"default": "viewer"},
        "expires_at": chrono_in(Duration::from_millis(1_500))});
    let ann = host.holder(&wanted).await;
    host.get_for(&ann, "/v1/info").await.expect(200);
    let ended = async {
        while host.get_for(&ann, "/v1/info").await.status == 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("it ends");
    for (wrong, field) in [
        (json!({"name": "", "roles": {"default": "viewer"}}), "name"),
        (json!({"name": "a", "roles": {}}), "roles"),
        (
            json!({"name": "a", "roles": {"Default": "viewer"}}),
            "roles",
        ),
        (
            json!({"name": "a", "roles": {"default": "root"}}),
            "roles.default",
        ),
        (
            json!({"name": "a", "roles": {"*": "viewer"}, "streams": ["a*b"]}),
            "streams",
        ),
        (
            json!({"name": "a", "roles": {"*": "viewer"}, "expires_at": 1}),
            "expires_at",
        ),
        (
            json!({"name": "a", "roles": {"*": "viewer"}, "secret": "x"}),
            "secret",
        ),
    ] {
        host.post("/v1/tokens", &wrong).await.names(field);
    }
    let viewer = json!({"name": "vic", "roles": {"*": "viewer"}});
    let vic = host.holder(&viewer).await;
    for (method, path) in [
        (Method::GET, "/v1/tokens"),
        (Method::POST, "/v1/tokens"),
        (Method::DELETE, "/v1/tokens/0000000000000000"),
        (Method::GET, "/v1/audit"),
        (Method::GET, "/v1/hosts"),
        (Method::GET, "/metrics"),
    ] {
        let request = host.request(method.clone(), path);
        let request = match method {
            Method::POST => request.json(&viewer),
            _ => request,
        };
        host.send_for(&vic, request).await.problem(403, "forbidden");
    }
    let none = host.delete("/v1/tokens/0000000000000000").await;
    none.problem(404, "not-found");
    host.stop().await;
}

#[tokio::test]
async fn a_host_of_one_user_has_no_tokens_and_one_with_tokens_is_not_opened_by_chance() {
    let home = Home::with(&["hello-task"]);
    let host = home.start().await;
    host.get("/v1/tokens").await.problem(409, "no-tokens");
    let wanted = json!({"name": "ann", "roles": {"*": "admin"}});
    host.post("/v1/tokens", &wanted)
        .await
        .problem(409, "no-tokens");
    let login = host.post("/login", &json!({"token": "x"})).await;
    login.problem(404, "not-found");
    // A task that nobody's token stands for.
    let soon = chrono_in(Duration::from_secs(3));
    let body = json!({"type": "hello", "params": {"name": "x"}, "run_at": soon});
    host.put(&task("of-nobody"), &body).await.expect(201);
    host.stop().await;
    home.settings(ASKS);
    let mut host: Host = home.start().await;
    let admin = host.first_token().await;
    host.http = admin.client();
    let failed = host.ends("of-nobody").await;
    assert_eq!(failed["error"]["kind"], "identity", "{failed:#}");
    host.stop().await;
    home.settings(&format!("{ASKS}listen = \"0.0.0.0:0\"\n").replace("listen", "#listen"));
    let mut open = home.serve();
    open.args(["--listen", "0.0.0.0:0"]);
    let refused = open.output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("`tls_cert` and `tls_key`"), "{said}");
    home.settings("");
    let mut open = home.serve();
    open.args(["--listen", "0.0.0.0:0"]);
    let refused = open.output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("Say `identity = \"tokens\"`"), "{said}");
}
