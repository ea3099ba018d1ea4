//! Elasticsearch is away and comes back: no host ends, none is lost, none claims, and afterwards
//! everything goes on at the rate of before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use reqwest::Method;
use serde_json::{Value, json};
use taskhost_e2e::elasticsearch::Elasticsearch;
use taskhost_e2e::fleet::{Caller, Fleet, pass, pass_until};
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::{TERMINAL, task};
use tokio::time::Instant;

/// One task each: far less than there could be, so that a busy machine keeps the pace.
const PACE: Duration = Duration::from_millis(50);
/// The rate is that of a span of so long.
const SPAN: Duration = Duration::from_secs(5);
/// And what began in it counts when it ended so soon after it.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// So soon the rate is that of before.
const BACK_WITHIN: Duration = Duration::from_secs(30);
/// What was claimed before may begin a little later.
const BEGINS_WITHIN_MS: u128 = 2_000;

/// A request that is not answered by then is given up; hosts give up before.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Longer than a lease.
const AWAY: Duration = Duration::from_secs(30);
/// What has not ended so long after it was accepted never will: it is longer than Elasticsearch is
/// away, a lease, and what was queued meanwhile.
const LOST_AFTER: Duration = Duration::from_secs(180);
/// Within it two hosts that nothing disturbs have their pace.
const WARM_WITHIN: Duration = Duration::from_secs(120);

/// When tasks were sent, were accepted, and ended.
#[derive(Default)]
struct Tally {
    times: Mutex<Vec<(Instant, Option<Instant>)>>,
    is_over: AtomicBool,
}

impl Tally {
    /// The part of a full rate that a span had.
    fn rate(&self, from: Instant) -> f64 {
        let all = self.times.lock().unwrap();
        let ended = all.iter().filter(|(begun, ended)| {
            let is_soon = ended.is_some_and(|ended| ended <= from + SPAN + ENDS_WITHIN);
            (from..from + SPAN).contains(begun) && is_soon
        });
        ended.count() as f64 / (SPAN.as_secs_f64() / PACE.as_secs_f64())
    }
}

/// Schedules a task and follows it to its end. Whether it was accepted.
async fn one(callers: Arc<Vec<Caller>>, tally: Arc<Tally>, n: usize) -> Option<String> {
    let (id, begun) = (format!("p-{n}"), Instant::now());
    let place = {
        let mut all = tally.times.lock().unwrap();
        all.push((begun, None));
        all.len() - 1
    };
    let body = json!({"type": "hello", "params": {"name": id}});
    let caller = &callers[n % callers.len()];
    let asked = caller.ask(Method::PUT, task(&id), Some(&body), ANSWER_WITHIN);
    let answer = asked.await.filter(|answer| answer.status < 500)?;
    let mut seen = answer.expect(201);
    while !TERMINAL.contains(&seen["status"].as_str().unwrap()) {
        assert!(begun.elapsed() < LOST_AFTER, "{id} is lost: {seen:#}");
        let path = format!("{}?wait=5s&since={}", task(&id), seen["revision"]);
        let asked = caller.ask(Method::GET, path, None, ANSWER_WITHIN);
        if let Some(answer) = asked.await.filter(|answer| answer.status == 200) {
            seen = answer.json();
            assert_ne!(seen["status"], "not_started", "{id} was accepted");
        }
    }
    tally.times.lock().unwrap()[place].1 = Some(Instant::now());
    Some(id)
}

async fn is_ready(host: &Host) -> bool {
    host.get("/readyz").await.status == 200
}

/// A task each [`PACE`], by one host after the other, until it is over.
fn load(hosts: &[Host], tally: Arc<Tally>) -> impl Future<Output = Vec<Option<String>>> + use<> {
    let callers = Arc::new(hosts.iter().map(Caller::of).collect::<Vec<_>>());
    let mut pace = tokio::time::interval(PACE);
    async move {
        let mut all = tokio::task::JoinSet::new();
        for n in 0.. {
            pace.tick().await;
            if tally.is_over.load(Ordering::SeqCst) {
                break;
            }
            all.spawn(one(Arc::clone(&callers), Arc::clone(&tally), n));
        }
        all.join_all().await
    }
}

/// Two hosts under a steady load, a time without Elasticsearch, and what is so afterwards.
async fn outage(goes: impl AsyncFn(&Elasticsearch), comes: impl AsyncFn(&Elasticsearch)) {
    let Some(fleet) = Fleet::find(2, &["hello-task", "sleeper"], "").await else {
        return;
    };
    let hosts = fleet.start_all().await;
    for (n, host) in hosts.iter().enumerate() {
        let params = json!({"ms": 3_600_000});
        host.schedule(&format!("long-{n}"), "sleeper", params).await;
    }
    let running = |task: &Value| task["run"]["state"] == "running";
    let mut long = Vec::new();
    for n in 0..2 {
        long.push(hosts[0].until(&format!("long-{n}"), running).await);
    }
    let tally = Arc::new(Tally::default());
    let load = tokio::spawn(load(&hosts, Arc::clone(&tally)));
    let before = steady(&tally, WARM_WITHIN).await;
    println!("{:.0} % of the pace before", before * 100.0);

    goes(&fleet.elasticsearch).await;
    let (gone, comes_at) = (now_ms(), Instant::now() + AWAY);
    for host in &hosts {
        let says_so = async || (!is_ready(host).await).then_some(());
        host.see("that it is not ready", says_so).await;
        host.get("/livez").await.expect(200);
    }
    // It is how long it is away
    pass_until(comes_at).await;
    for host in &hosts {
        assert!(!is_ready(host).await, "ready without its store");
        let log = host.log();
        assert!(!log.contains("the store answers again"), "{log}");
    }
    let back = now_ms();
    comes(&fleet.elasticsearch).await;
    let after = steady(&tally, BACK_WITHIN).await;
    println!("{:.0} % of the pace afterwards", after * 100.0);
    tally.is_over.store(true, Ordering::SeqCst);
    let ids = load.await.unwrap();
    let accepted: Vec<_> = ids.into_iter().flatten().collect();
    println!("{} tasks were accepted and ended", accepted.len());
    for host in &hosts {
        assert!(is_ready(host).await);
        let log = host.log();
        assert!(!log.contains("declared lost"), "{log}");
        assert!(log.contains("the store answers again"), "{log}");
    }
    for id in accepted {
        let ended = hosts[0].task(&id).await;
        assert_eq!(ended["status"], "completed", "{ended:#}");
        let began = ended["run"]["started_at"].as_str().unwrap();
        let began = at_ms(began);
        let meanwhile = gone + BEGINS_WITHIN_MS..back;
        assert!(!meanwhile.contains(&began), "claimed meanwhile: {ended:#}");
    }
    for (n, before) in long.iter().enumerate() {
        let id = format!("long-{n}");
        let now = hosts[0].task(&id).await;
        assert_eq!(now["run"], before["run"], "it runs on");
        hosts[0].verb(&id, "cancel").await.expect(200);
        hosts[1].reaches(&id, "canceled").await;
    }
    for host in hosts {
        host.stop().await;
    }
    fleet.clear().await;
}

/// Returns the rate of the first span that is as it should be, which has to end within the time.
async fn steady(tally: &Tally, within: Duration) -> f64 {
    let begun = Instant::now();
    loop {
        let from = Instant::now();
        // A rate is one over time
        pass(SPAN + ENDS_WITHIN).await;
        let rate = tally.rate(from);
        if rate >= 0.95 {
            return rate;
        }
        assert!(
            begun.elapsed() < within,
            "{:.0} % of the pace",
            rate * 100.0
        );
    }
}

fn now_ms() -> u128 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_millis()
}

/// Of a time in an answer.
fn at_ms(text: &str) -> u128 {
    let at: taskhost_model::time::Timestamp =
        serde_json::from_value(Value::String(text.to_owned())).unwrap();
    u128::try_from(at.as_ms()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_elasticsearch_stands_still() {
    if !taskhost_e2e::long() {
        return;
    }
    let goes = async |server: &Elasticsearch| server.freeze();
    outage(goes, async |server| server.thaw()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_elasticsearch_is_started_again() {
    if !taskhost_e2e::long() {
        return;
    }
    let goes = async |server: &Elasticsearch| server.stop().await;
    outage(goes, async |server| server.start().await).await;
}
