//! What hosts ask of a real Elasticsearch, counted: `tests/elasticsearch/with.sh` names one.
//! Without it nothing is tested here, and each test says so.

use std::time::{Duration, Instant};

use taskhost_model::ids::TypeId;
use taskhost_model::status::Status;
use taskhost_service::{Tasks, Watch};
use tokio::sync::{Mutex, MutexGuard};

use crate::cluster::{Host, key, load, requests, somebody, start, wish};
use crate::guest;

/// Tasks in flight for each host: as many as it has slots.
const IN_FLIGHT: usize = 64;

/// One test at a time: what hosts ask by the clock is counted too, and must not be more because
/// others make everything slow.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn hosts(count: usize, hints: bool) -> Option<(Vec<Host>, MutexGuard<'static, ()>)> {
    if std::env::var_os("TASKHOST_ELASTICSEARCH_URL").is_none() {
        eprintln!("!!! SKIPPED: a real Elasticsearch; run tests/elasticsearch/with.sh");
        return None;
    }
    let alone = ALONE.lock().await;
    Some((start(count, hints).await.unwrap(), alone))
}

fn sent(hosts: &[Host]) -> u64 {
    requests(hosts).values().sum()
}

/// What comes within some milliseconds goes out together. On a slow machine that is less: there a
/// host asks so often a second besides.
const BESIDES: f64 = 100.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_in_a_crowd_takes_half_a_request() {
    let Some((hosts, _alone)) = hosts(1, true).await else {
        return;
    };
    load(&hosts, "first", 200, IN_FLIGHT).await.unwrap();
    let (before, begun) = (sent(&hosts), Instant::now());
    load(&hosts, "crowd", 1_000, IN_FLIGHT).await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let all = (sent(&hosts) - before) as f64;
    let kinds = requests(&hosts);
    assert!(
        all <= 500.0 + BESIDES * seconds,
        "{all} in {seconds} s: {kinds:?}"
    );
}

/// Nobody reads anything of it before it has ended.
async fn completes_alone(tasks: &Tasks, id: &str, watch: &mut Watch) {
    let (by, key) = (somebody().unwrap(), key(id).unwrap());
    tasks.schedule(&by, key, wish().unwrap()).await.unwrap();
    while watch.next().await.unwrap().task.status != Status::Completed {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_alone_takes_four_requests_at_most() {
    let Some((hosts, _alone)) = hosts(1, true).await else {
        return;
    };
    let tasks = &hosts[0].service.tasks;
    // Whoever watches has looked at the task, which is not counted.
    let mut watches = Vec::new();
    for number in 0..=50 {
        let id = format!("alone-{number}");
        let watch = tasks.watch(&somebody().unwrap(), &key(&id).unwrap()).await;
        watches.push((id, watch.unwrap()));
    }
    let (id, watch) = &mut watches[50];
    completes_alone(tasks, id, watch).await;
    let before = sent(&hosts);
    for (id, watch) in &mut watches[..50] {
        completes_alone(tasks, id, watch).await;
    }
    let each = (sent(&hosts) - before) as f64 / 50.0;
    assert!(
        each <= 4.0,
        "{each} requests a task: {:?}",
        requests(&hosts)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_hosts_ask_twice_a_second_at_most() {
    let Some((hosts, _alone)) = hosts(2, true).await else {
        return;
    };
    load(&hosts, "first", 10, 2).await.unwrap();
    // tidy: sleep allowed because it is the time in which requests are counted
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, begun) = (sent(&hosts), Instant::now());
    // tidy: sleep allowed because it is the time in which requests are counted
    tokio::time::sleep(Duration::from_secs(30)).await;
    let host_seconds = begun.elapsed().as_secs_f64() * hosts.len() as f64;
    let each = (sent(&hosts) - before) as f64 / host_seconds;
    assert!(each <= 2.0, "{each} a second: {:?}", requests(&hosts));
}

/// Whoever has changed task types may be unable to tell the others: they look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_type_is_found_without_a_hint() {
    let Some((hosts, _alone)) = hosts(2, false).await else {
        return;
    };
    let type_id = TypeId::parse("late").unwrap();
    hosts[0]
        .service
        .types
        .push(&somebody().unwrap(), guest::of_type("late", 0, ""), None)
        .await
        .unwrap();
    let begun = Instant::now();
    let is_claimed = |host: &Host| {
        let views = host.service.hosts.list();
        views
            .iter()
            .any(|view| view.this && view.task_types.contains_key(&type_id))
    };
    while !is_claimed(&hosts[1]) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not found");
        // tidy: sleep allowed because the other host looks in real time
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eprintln!("active on another host after {:?}", begun.elapsed());
}
