//! The host is killed at random moments under load, again and again on the same folder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use taskhost_e2e::home::Home;
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::{TERMINAL, task};

/// Clients at once.
const CLIENTS: usize = 8;

/// What clients were told, by task id: the last status that will not change by itself, or none
/// when the schedule was answered and nothing else.
type Told = BTreeMap<String, Option<Value>>;

/// One client: schedules tasks and reads until the host is gone.
async fn client(host: Arc<Host>, name: String, answers: Arc<AtomicUsize>) -> Told {
    let mut told = Told::new();
    for n in 0_usize.. {
        let id = format!("{name}-{n}");
        let (type_id, params) = match n % 3 {
            0 => ("hello", json!({"name": id})),
            1 => ("sleeper", json!({"ms": 5})),
            _ => (
                "fails",
                json!({"code": "x", "retryable": true, "succeed_on_attempt": 2}),
            ),
        };
        let body = json!({"type": type_id, "params": params});
        let request = host.request(reqwest::Method::PUT, &task(&id)).json(&body);
        match host.try_send(request).await {
            Ok(answer) => assert_eq!(answer.status, 201, "{answer:?}"),
            Err(_) => return told,
        }
        told.insert(id.clone(), None);
        answers.fetch_add(1, Ordering::SeqCst);
        // Every second task is followed to its end, so that ends are told, too.
        let mut since = 0;
        while is_followed(n) {
            let path = format!("{}?wait=10s&since={since}", task(&id));
            let Ok(answer) = host
                .try_send(host.request(reqwest::Method::GET, &path))
                .await
            else {
                return told;
            };
            if answer.status == 200 {
                let seen = answer.json();
                since = seen["revision"].as_u64().unwrap();
                if TERMINAL.contains(&seen["status"].as_str().unwrap()) {
                    told.insert(id.clone(), Some(seen));
                    answers.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
        }
    }
    told
}

fn is_followed(n: usize) -> bool {
    n.is_multiple_of(2)
}

/// Loads a host until so many answers were given, and kills it while more are on their way.
async fn load_and_kill(host: Host, life: usize, answers_wanted: usize) -> Told {
    let (host, answers) = (Arc::new(host), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (host, answers) = (Arc::clone(&host), Arc::clone(&answers));
            tokio::spawn(client(host, format!("l{life}-c{n}"), answers))
        })
        .collect();
    host.see("answers", async || {
        (answers.load(Ordering::SeqCst) >= answers_wanted).then_some(())
    })
    .await;
    rustix::process::kill_process(host.pid(), rustix::process::Signal::KILL).unwrap();
    let mut told = Told::new();
    for client in clients {
        told.extend(client.await.unwrap());
    }
    Arc::into_inner(host)
        .expect("all clients have ended")
        .died()
        .await;
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_at_any_moment_loses_nothing() {
    let kills = if taskhost_e2e::long() { 50 } else { 8 };
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let home = Home::with(&["hello-task", "sleeper", "fails"]);
    // A run may be hit more than once.
    home.settings("runs.crashes_max = 100\n");
    let mut told = Told::new();
    for life in 0..kills {
        let host = home.start().await;
        told.extend(load_and_kill(host, life, random.random_range(1..200)).await);
    }
    let host = home.start().await;
    assert!(told.len() > kills, "there was load");
    for (id, before) in &told {
        let ended = host.ends(id).await;
        assert_eq!(ended["status"], "completed", "{ended:#}");
        if let Some(before) = before {
            assert_eq!(&ended, before, "what was told of an ended task stays");
        }
    }
    let mut listed = host.listed("").await;
    let count = listed.len();
    listed.sort();
    listed.dedup();
    assert_eq!(listed.len(), count, "each task has one document");
    for id in &listed {
        host.reaches(id, "completed").await;
    }
    host.stop().await;
}
