//! T22: schedules that several hosts fire, of which one is killed again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use taskhost_e2e::fleet::{Fleet, LEASE, pass};
use taskhost_e2e::host::Host;

const HOSTS: usize = 3;
const SCHEDULES: usize = 5;

async fn seen(host: &Host, number: usize) -> Value {
    let path = format!("/v1/spaces/default/schedules/s{number}");
    host.get(&path).await.expect(200)
}

/// The ids of all tasks that a schedule has fired.
async fn fired(fleet: &Fleet, host: &Host, number: usize) -> Vec<String> {
    fleet.settle().await;
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/spaces/default/tasks?limit=1000&q=s{number}.{cursor}");
        let page = host.get(&path).await.expect(200);
        let tasks = page["tasks"].as_array().unwrap();
        ids.extend(
            tasks
                .iter()
                .map(|task| task["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            return ids;
        };
        cursor = format!("&cursor={next}");
    }
}

/// Due times of one schedule between two fires, by their ids.
fn seconds_between(first: &str, last: &str) -> u64 {
    let second = |id: &str| {
        let (_, at) = id.rsplit_once('.').unwrap();
        let part = |from: usize, to: usize| at[from..to].parse::<u64>().unwrap();
        // Nobody runs this over the end of a month.
        ((part(6, 8) * 24 + part(9, 11)) * 60 + part(11, 13)) * 60 + part(13, 15)
    };
    second(last) - second(first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_due_time_fires_once_whatever_host_is_killed() {
    let kills = if taskhost_e2e::long() { 150 } else { 6 };
    let settings = "runs.crashes_max = 100\n";
    let Some(fleet) = Fleet::find(HOSTS, &["hello-task"], settings).await else {
        return;
    };
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut hosts: Vec<Option<Host>> = fleet.start_all().await.into_iter().map(Some).collect();
    let body = json!({"type": "hello", "params": {"name": "you"}, "interval": "1s",
        "overlap": "queue", "catch_up": "all", "catch_up_max": 1000});
    for number in 0..SCHEDULES {
        let host = hosts[number % HOSTS].as_ref().unwrap();
        let path = format!("/v1/spaces/default/schedules/s{number}");
        host.put(&path, &body).await.expect(201);
    }
    for _ in 0..kills {
        pass(Duration::from_millis(random.random_range(500..1_500))).await;
        let victim = random.random_range(0..HOSTS);
        match hosts[victim].take() {
            Some(host) => host.kill().await,
            None => hosts[victim] = Some(fleet.start(victim).await),
        }
        if hosts.iter().all(Option::is_none) {
            hosts[victim] = Some(fleet.start(victim).await);
        }
    }
    for (number, host) in hosts.iter_mut().enumerate() {
        if host.is_none() {
            *host = Some(fleet.start(number).await);
        }
    }
    // Whatever a life that is over has left is taken over.
    pass(LEASE + Duration::from_secs(5)).await;
    let host = hosts[0].as_ref().unwrap();
    for number in 0..SCHEDULES {
        let path = format!("/v1/spaces/default/schedules/s{number}/pause");
        host.post(&path, &json!({})).await.expect(200);
        let last = host
            .see("the last fire", async || {
                let seen = seen(host, number).await;
                let is_over = seen["last"]["status"] == "completed" || seen["active"] == json!([]);
                (is_over && seen["waiting"] == 0).then_some(seen)
            })
            .await;
        let ids = fired(&fleet, host, number).await;
        let different: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(different.len(), ids.len(), "none twice");
        let counts = &last["counts"];
        assert_eq!(
            (&counts["missed"], &counts["failed"]),
            (&json!(0), &json!(0)),
            "{counts}"
        );
        assert_eq!(counts["fired"], json!(ids.len()), "{last:#}");
        let span = seconds_between(different.first().unwrap(), different.last().unwrap());
        assert_eq!(ids.len() as u64, span + 1, "none lost: {different:?}");
        for id in &ids {
            assert_eq!(host.ends(id).await["status"], "completed");
        }
        println!("s{number}: {} fires, {kills} kills", ids.len());
    }
    for host in hosts.into_iter().flatten() {
        host.stop().await;
    }
    fleet.clear().await;
}
