//! More is scheduled than the host can run, for a while: it says so, keeps what it has accepted,
//! and is done with it afterwards.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use reqwest::header::AUTHORIZATION;
use serde_json::json;
use taskhost_e2e::answer::Answer;
use taskhost_e2e::held::Held;
use taskhost_e2e::holder::{ASKS, Holder, sent};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::task;
use taskhost_e2e::{PATIENCE, long};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

/// What the host can do: so many runs at once, of so long: 40 a second.
const SLOTS: u64 = 4;
const RUN_MS: u64 = 100;
/// What one person may send, however much more they do.
const REQUESTS_A_SECOND: u64 = 40;
/// What somebody sends who keeps to that, and how many times as much somebody else does. What is
/// let in of both is 1.5 times what can be done, and more at first, when many may come at once.
const STEADY_A_SECOND: u32 = 20;
const GREED: u32 = 8;
/// Whoever waits for an answer for longer hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
/// What the host may take on top for what waits, which is on disk.
const RSS_GROWTH_MAX_KIB: u64 = 48 * 1024;
const OLDEST: &str = "taskhost_backlog_oldest_seconds{type=\"sleeper\"}";
const BACKLOG: &str = "taskhost_backlog_runs{type=\"sleeper\"}";

/// Somebody who schedules tasks, from an address of their own, as requests are counted by address
/// too.
#[derive(Debug)]
struct Sender {
    name: &'static str,
    by: Holder,
    http: reqwest::Client,
    url: String,
    /// Between two requests.
    pace: Duration,
}

/// What a sender was told.
#[derive(Debug, Default)]
struct Told {
    accepted: Vec<String>,
    refused: usize,
}

impl Sender {
    async fn of(host: &Host, name: &'static str, from: u8, pace: Duration) -> Self {
        let wanted = json!({"name": name, "roles": {"default": "operator"}});
        let from = Ipv4Addr::new(127, 0, 0, from);
        let http = reqwest::Client::builder().local_address(IpAddr::from(from));
        Self {
            name,
            by: host.holder(&wanted).await,
            http: http.timeout(ANSWER_WITHIN).build().unwrap(),
            url: host.url.clone(),
            pace,
        }
    }

    /// Schedules tasks until then.
    async fn sends(self, until: Instant) -> Told {
        let mut told = Told::default();
        let mut pace = tokio::time::interval(self.pace);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < until {
            pace.tick().await;
            let id = format!("{}-{}", self.name, told.accepted.len());
            let body = json!({"type": "sleeper", "params": {"ms": RUN_MS}});
            let put = self.http.put(format!("{}{}", self.url, task(&id)));
            let put = put.header(AUTHORIZATION, self.by.authorization());
            let answer = sent(put.json(&body)).await;
            if answer.status == 201 {
                told.accepted.push(id);
            } else {
                is_refused_for_now(&answer);
                told.refused += 1;
            }
        }
        told
    }
}

/// With when to come again, and with nothing else.
fn is_refused_for_now(answer: &Answer) {
    match answer.status {
        429 => answer.problem(429, "too-many-requests"),
        _ => answer.problem(503, "busy"),
    };
    let after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&after), "{answer:?}");
    assert_eq!(answer.json()["retryable"], true, "{answer:?}");
}

/// T13: memory stays under a bound, who sends too much is told when to come again, whoever does not
/// is not refused, what was accepted ends, and the age of what waits goes up and is 0 at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_given_more_than_it_can_do_gets_over_it() {
    let lasts = Duration::from_secs(if long() { 120 } else { 8 });
    let home = Home::with(&["sleeper"]);
    home.settings(&format!(
        "runs.slots = {SLOTS}\nhttp.requests_a_second = {REQUESTS_A_SECOND}\n{ASKS}"
    ));
    let mut host = home.start().await;
    host.http = host.first_token().await.client();
    let pace = Duration::from_secs(1) / STEADY_A_SECOND;
    let greedy = Sender::of(&host, "greedy", 2, pace / GREED).await;
    let steady = Sender::of(&host, "steady", 3, pace).await;
    for n in 0..2 * SLOTS {
        host.run(&format!("warm-{n}"), "sleeper", json!({"ms": 1}))
            .await;
    }
    let before = Held::by(&host);
    let until = Instant::now() + lasts;
    let greedy = tokio::spawn(greedy.sends(until));
    let steady = tokio::spawn(steady.sends(until));
    let (mut most_kib, mut oldest) = (0, Vec::new());
    let mut looks = tokio::time::interval(BETWEEN_LOOKS);
    while Instant::now() < until {
        looks.tick().await;
        most_kib = most_kib.max(Held::by(&host).rss_kib);
        oldest.push(host.metric(OLDEST).await.unwrap_or_default());
    }
    let (greedy, steady) = (greedy.await.unwrap(), steady.await.unwrap());
    let behind = host.metric(BACKLOG).await.unwrap();
    println!(
        "greedy: {} accepted, {} refused; steady: {} accepted; at the end {behind} wait; \
         {} KiB before, at most {most_kib}; ages {oldest:?}",
        greedy.accepted.len(),
        greedy.refused,
        steady.accepted.len(),
        before.rss_kib
    );
    assert!(behind > 0.0, "it was more than it could do");
    assert!(greedy.refused > 0 && !greedy.accepted.is_empty());
    assert_eq!(steady.refused, 0, "who keeps to their share is let in");
    assert!(oldest.last().unwrap() > &0.5, "{oldest:?}");
    for none in [BACKLOG, OLDEST] {
        becomes(lasts, async || host.metric(none).await == Some(0.0)).await;
    }
    all_completed(&host, greedy.accepted.iter().chain(&steady.accepted)).await;
    most_kib = most_kib.max(Held::by(&host).rss_kib);
    let growth = most_kib.saturating_sub(before.rss_kib);
    assert!(growth < RSS_GROWTH_MAX_KIB, "{growth} KiB");
}

/// Asks until it is so, and not so often that it is too much: what was behind after so long.
async fn becomes(lasts: Duration, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        let mut again = tokio::time::interval(BETWEEN_LOOKS);
        while !is_so().await {
            again.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE + lasts, waiting).await;
    waited.expect("it comes to an end");
}

/// Asked by the page, since requests for each one of them would be too many as well.
async fn all_completed(host: &Host, accepted: impl Iterator<Item = &String>) {
    let accepted: BTreeSet<&str> = accepted.map(String::as_str).collect();
    becomes(Duration::ZERO, async || {
        let path = "/v1/spaces/default/tasks?status=in_progress&limit=1";
        let answer = host.get(path).await;
        answer.status == 200 && answer.json()["tasks"] == json!([])
    })
    .await;
    let completed = host.listed("status=completed").await;
    let completed: BTreeSet<&str> = completed.iter().map(String::as_str).collect();
    let missing: Vec<_> = accepted.difference(&completed).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Connections of a host that has few; of them so many may wait for changes.
const CONNECTIONS: usize = 32;
const WATCHERS: usize = CONNECTIONS * 3 / 4;
/// Large bodies at once: `UPLOADS_AT_ONCE` in `host/server/src/http/state.rs`.
const UPLOADS: usize = 4;

/// T13: what the host has no place for is told when to come again, and does not hang; everybody
/// else is answered meanwhile.
#[tokio::test]
async fn who_finds_no_place_is_told_when_to_come_again() {
    let home = Home::with(&["hello-task"]);
    home.settings(&format!("http.connections_max = {CONNECTIONS}\n"));
    let host = home.start().await;
    let address = host.url.strip_prefix("http://").unwrap().to_owned();
    let mut bodies = Vec::new();
    for _ in 0..UPLOADS {
        let mut body = TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /v1/spaces/default/tasks/bulk HTTP/1.1\r\nhost: {address}\r\n\
             content-type: application/x-ndjson\r\ncontent-length: 1000\r\n\r\n"
        );
        body.write_all(head.as_bytes()).await.unwrap();
        bodies.push(body);
    }
    let line = "{\"type\":\"hello\",\"params\":{\"name\":\"x\"}}\n";
    let bulk = "/v1/spaces/default/tasks/bulk";
    // It comes when the others have their places, or takes one of them: that ends by itself.
    let one_too_many = async || {
        let answer = host.upload(bulk, "application/x-ndjson", line).await;
        (answer.status != 200).then_some(answer)
    };
    let refused = host.see("a refusal", one_too_many).await;
    refused.problem(503, "busy");
    is_refused_for_now(&refused);
    host.run("beside", "hello", json!({"name": "x"})).await;
    drop(bodies);
    let is_free = async || {
        let answer = host.upload(bulk, "application/x-ndjson", line).await;
        (answer.status == 200).then_some(())
    };
    host.see("a free place", is_free).await;

    let revision = &host.task("beside").await["revision"];
    let path = format!("{}?wait=60s&since={revision}", task("beside"));
    let waits = || tokio::spawn(host.request(reqwest::Method::GET, &path).send());
    let waiting: Vec<_> = (0..WATCHERS).map(|_| waits()).collect();
    let all_wait = async || {
        let waiting = host.metric("taskhost_http_watchers").await;
        (waiting == Some(WATCHERS as f64)).then_some(())
    };
    host.see("all wait", all_wait).await;
    let refused = host.get(&path).await;
    refused.problem(503, "busy");
    is_refused_for_now(&refused);
    host.schedule("another", "hello", json!({"name": "y"}))
        .await;
    for waiting in waiting {
        waiting.abort();
    }
    host.stop().await;
}
