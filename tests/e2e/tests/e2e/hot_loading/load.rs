//! Two hundred tasks at any time, each followed from its scheduling to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use taskhost_e2e::component::{Steps, stepping};
use taskhost_e2e::host::Host;
use taskhost_e2e::tasks::{TERMINAL, task};

/// Tasks at once.
pub(super) const LANES: usize = 200;
/// Types whose result is their version.
pub(super) const TELLING: [(&str, Steps); 2] = [
    ("steady", steps(0, 0, 1_000)),
    ("retrying", steps(2, 700, 50)),
];
/// Guests of `tests/guests/`, of which each version does the same.
pub(super) const REAL: [&str; 4] = ["sleeper", "fails", "spin", "cooperative"];

const fn steps(failing_attempts: u32, retry_after_ms: u64, sleep_ms: u64) -> Steps {
    Steps {
        failing_attempts,
        retry_after_ms,
        sleep_ms,
    }
}

/// A version of one of the [`TELLING`] types.
pub(super) fn telling(type_id: &str, version: usize) -> Vec<u8> {
    let steps = TELLING.iter().find(|(id, _)| *id == type_id).unwrap().1;
    let retry = json!({"attempts": steps.failing_attempts + 1});
    let descriptor = json!({"id": type_id, "version": version.to_string(), "title": type_id,
        "limits": {"memory_mib": 8}, "retry": retry});
    stepping(&descriptor.to_string(), &version.to_string(), steps)
}

/// What has been pushed of a type: the digests, in order, and how many pushes have begun.
#[derive(Debug, Default)]
struct Releases {
    begun: usize,
    digests: Vec<String>,
}

/// The tasks, and the versions that they may run on.
#[derive(Debug, Default)]
pub(super) struct Load {
    releases: Mutex<BTreeMap<String, Releases>>,
    is_over: AtomicBool,
}

/// A task that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    id: String,
    type_id: String,
    /// Its last answer.
    answer: Value,
    /// Every digest that it was seen with.
    digests: BTreeSet<String>,
    /// Which releases may have been active at its first claim: the first one, and the first one
    /// that cannot.
    releases: std::ops::Range<usize>,
    /// How many had been active while it still waited for its last attempt.
    releases_before_retry: usize,
}

impl Load {
    /// A push of a type begins: from now on tasks may be claimed for it.
    pub(super) fn begins(&self, type_id: &str) {
        let mut all = self.releases.lock().unwrap();
        all.entry(type_id.to_owned()).or_default().begun += 1;
    }

    /// It has been answered: from now on no task is claimed for what came before.
    pub(super) fn is_active(&self, type_id: &str, digest: &Value) {
        let mut all = self.releases.lock().unwrap();
        let releases = all.get_mut(type_id).unwrap();
        releases.digests.push(digest.as_str().unwrap().to_owned());
        assert_eq!(releases.digests.len(), releases.begun);
    }

    /// How many pushes of a type have begun.
    pub(super) fn begun(&self, type_id: &str) -> usize {
        self.releases
            .lock()
            .unwrap()
            .get(type_id)
            .map_or(0, |of| of.begun)
    }

    fn active(&self, type_id: &str) -> usize {
        self.releases.lock().unwrap()[type_id].digests.len() - 1
    }

    /// Every lane ends with the task that it is at.
    pub(super) fn is_over(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    /// One task after the other, until it is over.
    pub(super) async fn lane(&self, host: &Host, lane: usize) -> Vec<Ended> {
        let mut ended = Vec::new();
        while !self.is_over.load(Ordering::SeqCst) {
            let (type_id, params) = match lane % 10 {
                0 | 1 => ("cooperative", json!({})),
                // What computes does so every now and then: the cores are shared with others.
                2 if ended.len() % 2 == 1 => ("spin", json!({"cpu_ms": 5})),
                2..=4 => ("sleeper", json!({"ms": 500 + lane * 7})),
                5 | 6 => ("fails", fails()),
                7 | 8 => ("steady", json!({})),
                _ => ("retrying", json!({})),
            };
            let id = format!("{type_id}-{lane}-{}", ended.len());
            let first = self.active(type_id);
            host.schedule(&id, type_id, params).await;
            ended.push(self.follow(host, id, type_id, first).await);
        }
        ended
    }

    async fn follow(&self, host: &Host, id: String, type_id: &str, first: usize) -> Ended {
        let (mut since, mut digests) = (0, BTreeSet::new());
        let mut releases_before_retry = first;
        loop {
            let active = self.active(type_id);
            let answer = host
                .get(&format!("{}?wait=20s&since={since}", task(&id)))
                .await;
            if answer.status == 304 {
                continue;
            }
            let answer = answer.expect(200);
            since = answer["revision"].as_u64().unwrap();
            digests.extend(answer["run"]["digest"].as_str().map(str::to_owned));
            if answer["run"]["state"] == "waiting_retry" {
                releases_before_retry = active;
            }
            if TERMINAL.iter().any(|status| answer["status"] == *status) {
                let releases = first..self.begun(type_id);
                return Ended {
                    id,
                    type_id: type_id.to_owned(),
                    answer,
                    digests,
                    releases,
                    releases_before_retry,
                };
            }
        }
    }

    /// Which release a task ran on, after it was seen that it ran on no other.
    fn release_of(&self, ended: &Ended) -> usize {
        let digest = ended.answer["run"]["digest"].as_str().unwrap();
        assert!(
            ended.digests.iter().all(|seen| seen == digest),
            "{ended:#?}"
        );
        let all = self.releases.lock().unwrap();
        let digests = &all[&ended.type_id].digests;
        let release = digests.iter().position(|each| each == digest);
        release.unwrap_or_else(|| panic!("of no release: {ended:#?}"))
    }

    /// Sees that a task ended as it has to, on a version that was active at its first claim.
    pub(super) fn judge(&self, ended: &Ended, failures: &Failures) -> Kept {
        let (release, answer) = (self.release_of(ended), &ended.answer);
        assert!(
            ended.releases.contains(&release),
            "release {release}: {ended:#?}"
        );
        let (status, attempt) = match ended.type_id.as_str() {
            "cooperative" => ("canceled", 1),
            "fails" | "retrying" => ("completed", 3),
            _ => ("completed", 1),
        };
        assert_eq!(answer["status"], status, "{ended:#?}");
        assert_eq!(answer["run"]["attempt"], attempt, "{ended:#?}");
        if TELLING.iter().any(|(id, _)| *id == ended.type_id) {
            // Releases are numbered from 0, and what ran says its own number.
            assert_eq!(answer["payload"], release, "{ended:#?}");
            // So does each attempt that failed.
            let said = failures.get(&ended.id).cloned().unwrap_or_default();
            let expected = vec![release.to_string(); attempt - 1];
            assert_eq!(said, expected, "{ended:#?}");
        }
        Kept {
            ended_beside_newer: ended.releases.end > release + 1,
            retried_beside_newer: ended.releases_before_retry > release,
        }
    }
}

/// What a task's failed attempts said, in order, by its id.
type Failures = BTreeMap<String, Vec<String>>;

/// Reads them from the host's log, where the last quoted text of a line is the error's message.
pub(super) fn failures(log: &str) -> Failures {
    let mut all = Failures::new();
    let failed = log.lines().filter(|line| line.contains("a run failed"));
    for line in failed {
        let (_, rest) = line.split_once(" task=").unwrap();
        let id = rest.split(' ').next().unwrap().to_owned();
        let said = line.trim_end().strip_suffix('"').unwrap();
        let said = said.rsplit_once('"').unwrap().1.to_owned();
        all.entry(id).or_default().push(said);
    }
    all
}

/// Whether a task held on to its version while there was a newer one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    pub(super) ended_beside_newer: bool,
    pub(super) retried_beside_newer: bool,
}

fn fails() -> Value {
    json!({"code": "again", "retryable": true, "retry_after_ms": 700, "succeed_on_attempt": 3})
}
