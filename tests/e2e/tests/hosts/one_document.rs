//! Clients of three hosts work on the same few tasks while hosts are killed, stand still and lose
//! their way to Elasticsearch. What they were told can be explained by one document for each task.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use taskhost_e2e::answer::Answer;
use taskhost_e2e::fleet::{Caller, Callers, Fleet, pass};
use taskhost_e2e::host::Host;
use taskhost_e2e::linear::{Call, Said, Seen, Wish, explain};
use taskhost_e2e::proxy::{self, Trouble, Way};
use taskhost_e2e::tasks::task;
use taskhost_model::ids::RunId;
use taskhost_model::status::Phase;
use tokio::time::Instant;

const HOSTS: usize = 3;
const CLIENTS_PER_HOST: usize = 5;
/// Of each client: together a hundred calls a second.
const PACE: Duration = Duration::from_millis(150);
/// Tasks at a time, and how long they are the ones.
const TASKS: usize = 4;
const TURN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What everybody was told, by task.
struct History {
    begun: Instant,
    calls: Mutex<BTreeMap<String, Vec<Call>>>,
    is_over: AtomicBool,
}

impl History {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }

    async fn call(&self, caller: &Caller, id: &str, wish: Wish, params_ms: u64) {
        let (method, path) = match wish {
            Wish::Schedule => (Method::PUT, task(id)),
            Wish::Cancel => (Method::POST, format!("{}/cancel", task(id))),
            Wish::Acknowledge => (Method::POST, format!("{}/acknowledge", task(id))),
            Wish::Delete => (Method::DELETE, task(id)),
            Wish::Get => (Method::GET, task(id)),
        };
        let body = json!({"type": "sleeper", "params": {"ms": params_ms}});
        let body = (wish == Wish::Schedule).then_some(&body);
        let begun = self.now();
        let answer = caller.ask(method, path, body, ANSWER_WITHIN).await;
        let call = Call {
            begun,
            ended: self.now(),
            wish,
            said: answer.map_or(Said::Unknown, |answer| said(wish, &answer)),
        };
        let mut calls = self.calls.lock().unwrap();
        calls.entry(id.to_owned()).or_default().push(call);
    }

    async fn client(&self, callers: &Callers, number: usize, seed: u64) {
        let mut random = StdRng::seed_from_u64(seed);
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !self.is_over.load(Ordering::SeqCst) {
            pace.tick().await;
            let Some(caller) = callers.get(number) else {
                continue;
            };
            let turn = self.begun.elapsed().as_secs() / TURN.as_secs();
            let id = format!("d{}-{turn}", random.random_range(0..TASKS));
            let wish = match random.random_range(0..100) {
                0..40 => Wish::Get,
                40..65 => Wish::Schedule,
                65..77 => Wish::Cancel,
                77..90 => Wish::Acknowledge,
                _ => Wish::Delete,
            };
            let ms = random.random_range(0..300);
            self.call(&caller, &id, wish, ms).await;
        }
    }
}

fn said(wish: Wish, answer: &Answer) -> Said {
    let code = || answer.json()["code"].as_str().map(str::to_owned);
    match (wish, answer.status) {
        (Wish::Schedule, 200) => Said::AlreadyRunning,
        (Wish::Schedule, 409) if code().as_deref() == Some("already-running") => {
            Said::AlreadyRunning
        }
        (Wish::Schedule | Wish::Acknowledge, 409) | (Wish::Delete, 404) => Said::Refused,
        (Wish::Schedule, 201) | (Wish::Cancel | Wish::Acknowledge | Wish::Get, 200) => {
            Said::Seen(seen(&answer.json()))
        }
        (Wish::Delete, 204) => Said::Done,
        (_, 500..) => Said::Unknown,
        _ => panic!("{answer:?}"),
    }
}

fn seen(answer: &Value) -> Seen {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (status, state) = (text(&answer["status"]), text(&answer["run"]["state"]));
    let is = |phase: &Phase| {
        let state_of = phase.run_state().map(|state| json!(state));
        Some(phase.status().as_str()) == status.as_deref()
            && (state_of.is_none() || state_of == state.as_ref().map(|state| json!(state)))
    };
    let phase = Phase::ALL.into_iter().find(is);
    Seen {
        phase: phase.unwrap_or_else(|| panic!("{answer:#}")),
        version: text(&answer["version"]).map_or(0, |version| version.parse().unwrap()),
        run: text(&answer["run"]["id"]).map(|id| RunId::parse(&id).unwrap()),
    }
}

/// One host, its way to Elasticsearch, and what is done to it.
struct Member {
    host: Option<Host>,
    way: String,
    trouble: Arc<Trouble>,
}

/// Does something to a host for a while.
async fn trouble(
    fleet: &Fleet,
    callers: &Callers,
    member: &mut Member,
    number: usize,
    random: &mut StdRng,
) -> &'static str {
    // Some are longer than a lease.
    let long = [2, 4, 20][random.random_range(0..3)];
    let long = Duration::from_secs(long);
    let host = member.host.as_ref().unwrap();
    match random.random_range(0..4) {
        0 => {
            callers.set(number, None);
            member.host.take().unwrap().kill().await;
            let host = fleet.start_over(number, &member.way).await;
            callers.set(number, Some(Caller::of(&host)));
            member.host = Some(host);
            "killed"
        }
        1 => {
            kill_process(host.pid(), Signal::STOP).unwrap();
            // It is how long it stands still
            pass(long).await;
            kill_process(host.pid(), Signal::CONT).unwrap();
            "stood still"
        }
        2 => {
            member.trouble.set(Way::Held);
            // It is how long nothing passes
            pass(long).await;
            member.trouble.set(Way::Open);
            "held up"
        }
        _ => {
            member.trouble.set(Way::Closed);
            // It is how long it is cut off
            pass(long).await;
            member.trouble.set(Way::Open);
            "cut off"
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_of_all_hosts_are_told_is_what_one_document_tells() {
    if !taskhost_e2e::long() {
        return;
    }
    let settings = "runs.slots = 16\nruns.crashes_max = 5\n";
    let Some(fleet) = Fleet::find(HOSTS, &["sleeper"], settings).await else {
        return;
    };
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut members = Vec::new();
    for number in 0..HOSTS {
        let (way, trouble) = proxy::before(&fleet.elasticsearch.url).await;
        let host = Some(fleet.start_over(number, &way).await);
        members.push(Member { host, way, trouble });
    }
    let callers = Callers::of(members.iter().flat_map(|member| &member.host));
    let callers = Arc::new(callers);
    let history = Arc::new(History {
        begun: Instant::now(),
        calls: Mutex::default(),
        is_over: AtomicBool::new(false),
    });
    let clients: Vec<_> = (0..HOSTS * CLIENTS_PER_HOST)
        .map(|n| {
            let (history, callers) = (Arc::clone(&history), Arc::clone(&callers));
            let seed = random.random();
            tokio::spawn(async move { history.client(&callers, n % HOSTS, seed).await })
        })
        .collect();
    let until = history.begun + Duration::from_secs(90);
    while Instant::now() < until {
        let number = random.random_range(0..HOSTS);
        let member = &mut members[number];
        let what = trouble(&fleet, &callers, member, number, &mut random).await;
        println!("{:?}: host {number} was {what}", history.begun.elapsed());
        // They are to work in peace for a moment, too
        pass(Duration::from_secs(1)).await;
    }
    history.is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    judge(&history, &callers).await;
    drop(members);
    fleet.clear().await;
}

/// Reads each task over each host once more, and explains what was told of it.
async fn judge(history: &History, callers: &Callers) {
    let ids: Vec<String> = history.calls.lock().unwrap().keys().cloned().collect();
    for id in &ids {
        for number in 0..HOSTS {
            let caller = callers.get(number).unwrap();
            history.call(&caller, id, Wish::Get, 0).await;
        }
    }
    let calls = std::mem::take(&mut *history.calls.lock().unwrap());
    let all = || calls.values().flatten();
    let unknown = all().filter(|call| call.said == Said::Unknown).count();
    println!(
        "{} calls, {unknown} without an answer, {} tasks",
        all().count(),
        ids.len()
    );
    assert!(all().count() > 1_000, "there were calls");
    for (id, calls) in &calls {
        if let Err(why) = explain(calls) {
            panic!("{id}: {why}\nof {calls:?}");
        }
    }
}
