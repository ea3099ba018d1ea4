//! Tasks that are scheduled all the while, and the account of what clients were told of them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::component::with_origins;
use crate::fleet::Callers;
use crate::host::Host;
use crate::plain_server::{Server, answer};
use crate::tasks::{TERMINAL, task};

/// Of one client, between two tasks.
const PACE: Duration = Duration::from_millis(40);
/// A host that was killed may keep a client waiting.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Kinds of tasks, in turn.
const KINDS: usize = 5;
/// The one of them that tells the outside of its executions.
const TELLER: usize = 4;
/// One of so many is followed by whoever scheduled it.
const FOLLOWED: usize = 16;

/// What clients were told.
#[derive(Debug)]
pub struct Account {
    /// Each execution of a task of the kind that tells it: its host says so to the outside.
    executions: Server,
    /// The answers to what was accepted, by task id.
    accepted: Mutex<BTreeMap<String, Value>>,
    /// Tasks of which nobody knows whether they were accepted.
    unsure: Mutex<Vec<String>>,
    /// The last status that will not change by itself, as somebody was told.
    ended: Mutex<BTreeMap<String, Value>>,
    is_over: AtomicBool,
}

impl Account {
    /// An empty one.
    pub async fn new() -> Self {
        Self {
            executions: Server::new(|_| answer("200 OK", "", "noted")).await,
            accepted: Mutex::default(),
            unsure: Mutex::default(),
            ended: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// The component that tells of its executions, and the settings that allow it that.
    #[must_use]
    pub fn teller(&self) -> (Vec<u8>, String) {
        let origin = &self.executions.origin;
        let settings = format!(
            "[[allow]]\ntype = \"sends\"\nsecrets = [\"key\"]\nhttp = [\n\
             {{ origin = \"{origin}\", methods = [\"GET\", \"POST\"] }},\n\
             {{ origin = \"http://127.0.0.1:10002\", methods = [\"GET\", \"POST\"] }},\n\
             {{ origin = \"http://10.0.0.1\" }}]\n\
             [secrets.key]\nenv = \"XDG_CACHE_HOME\"\norigins = [\"{origin}\"]\n\
             [outbound]\nopen_networks = [\"127.0.0.0/8\"]\n"
        );
        let origins = [("http://127.0.0.1:10001", origin.as_str())];
        (with_origins("sends", &origins), settings)
    }

    fn wanted(&self, id: &str, n: usize) -> Value {
        let (type_id, params) = match n % KINDS {
            0 => ("hello", json!({"name": id})),
            1 => ("sleeper", json!({"ms": 200})),
            2 => (
                "fails",
                json!({"code": "x", "retryable": true, "succeed_on_attempt": 2}),
            ),
            3 => ("fails", json!({"code": "x", "retryable": true})),
            _ => {
                let url = self.executions.url(&format!("/open/{id}"));
                ("sends", json!({"requests": [{"url": url}]}))
            }
        };
        json!({"type": type_id, "params": params})
    }

    /// Ends the load: each client after the task that it is at.
    pub fn is_over(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// How many tasks were accepted by now.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    /// Schedules tasks over whichever host is there, and follows some of them to their end.
    pub async fn client(&self, callers: &Callers, name: &str) {
        let mut pace = tokio::time::interval(PACE);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for n in 0_usize.. {
            pace.tick().await;
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let Some((_, caller)) = callers.pick(n) else {
                continue;
            };
            let id = format!("{name}-{n}");
            let body = self.wanted(&id, n);
            let asked = caller.ask(Method::PUT, task(&id), Some(&body), ANSWER_WITHIN);
            match asked.await {
                Some(answer) if answer.status == 201 => {
                    let mut accepted = self.accepted.lock().unwrap();
                    accepted.insert(id.clone(), answer.json());
                }
                Some(answer) if answer.status < 500 => panic!("{answer:?}"),
                _ => self.unsure.lock().unwrap().push(id.clone()),
            }
            if n.is_multiple_of(FOLLOWED) {
                self.follow(callers, &id, n).await;
            }
        }
    }

    /// Reads over one host after the other until the task has ended.
    async fn follow(&self, callers: &Callers, id: &str, first: usize) {
        let mut since = 0;
        for n in first..first + 100 {
            let Some((_, caller)) = callers.pick(n) else {
                continue;
            };
            let path = format!("{}?wait=1s&since={since}", task(id));
            let asked = caller.ask(Method::GET, path, None, ANSWER_WITHIN).await;
            let Some(answer) = asked.filter(|answer| answer.status == 200) else {
                continue;
            };
            let seen = answer.json();
            let status = seen["status"].as_str().unwrap();
            if status == "not_started" {
                let is_accepted = self.accepted.lock().unwrap().contains_key(id);
                assert!(!is_accepted, "{id} was accepted, and is not there");
                return;
            }
            if TERMINAL.contains(&status) {
                self.ended.lock().unwrap().insert(id.to_owned(), seen);
                return;
            }
            since = seen["revision"].as_u64().unwrap();
        }
    }

    /// Waits until everything has ended, and looks that it ended once, as it has to; so many hosts
    /// were stopped in order, which hand back what they run. Answers how often a run was begun anew
    /// since its host was lost.
    pub async fn check(&self, host: &Host, stops: u64) -> u64 {
        let accepted = std::mem::take(&mut *self.accepted.lock().unwrap());
        let told = std::mem::take(&mut *self.ended.lock().unwrap());
        let mut reruns = 0;
        let mut claims = BTreeMap::new();
        for (id, answered) in &accepted {
            let ended = host.ends(id).await;
            ended_once(answered, &ended, stops);
            reruns += ended["run"]["crashes"].as_u64().unwrap();
            let n: usize = id.rsplit('-').next().unwrap().parse().unwrap();
            let attempt = ended["run"]["attempt"].as_u64().unwrap();
            let expected = match n % KINDS {
                2 => ("completed", 2),
                3 => ("failed", 3),
                _ => ("completed", 1),
            };
            let end = (ended["status"].as_str().unwrap(), attempt);
            assert_eq!(end, expected, "{ended:#}");
            if let Some(told) = told.get(id) {
                assert_eq!(told, &ended, "what was told of an ended task stays");
            }
            if n % KINDS == TELLER {
                claims.insert(id, ended["run"]["lease_number"].as_u64().unwrap());
            }
        }
        let unsure = std::mem::take(&mut *self.unsure.lock().unwrap());
        for id in unsure {
            if host.task(&id).await["status"] != "not_started" {
                reruns += host.ends(&id).await["run"]["crashes"].as_u64().unwrap();
            }
        }
        let executions = self.executions();
        for (id, claims) in claims {
            let count = executions.get(id).copied().unwrap_or_default();
            assert!((1..=claims).contains(&count), "{id}: {count} of {claims}");
        }
        reruns
    }

    /// How often each task that tells it was executed.
    fn executions(&self) -> BTreeMap<String, u64> {
        let mut executions = BTreeMap::new();
        for request in self.executions.seen() {
            let path = request.split_whitespace().nth(1).unwrap_or_default();
            let id = path.rsplit('/').next().unwrap_or_default();
            *executions.entry(id.to_owned()).or_default() += 1;
        }
        executions
    }
}

/// The version counts each end, each failed attempt, each lost host and each run handed back, and
/// nothing else of a task that nobody touches: so that it was moved just as often as its run tells,
/// and ended once.
fn ended_once(answered: &Value, ended: &Value, stops: u64) {
    let version = |of: &Value| of["version"].as_str().unwrap().parse::<u64>().unwrap();
    let run = &ended["run"];
    let count = |key: &str| run[key].as_u64().unwrap();
    assert_eq!(run["id"], answered["run"]["id"], "{ended:#}");
    let claims = count("lease_number");
    let moved = version(ended) - version(answered);
    assert_eq!(moved, claims, "each claim has one end: {ended:#}");
    let ends = count("attempt") + count("crashes");
    assert!((ends..=ends + stops).contains(&claims), "{ended:#}");
}
