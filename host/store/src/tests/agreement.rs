//! Random histories: after each operation memory and another store give the same answers.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use taskhost_model::error::{ErrorKind, TaskError};
use taskhost_model::ids::{Incarnation, RunId};
use taskhost_model::status::Status;
use taskhost_model::task::{Fence, Parent, Progress, Suspension, Usage};

use super::{memory, quick_folder, sqlite};
use crate::conformance::{Subject, given};
use crate::event::{Event, NewRun, RunEvent, RunReport, WriteCondition};
use crate::queue::ClaimRequest;
use crate::tasks::ListRequest;

const IDS: [&str; 5] = ["a", "b", "C", "d", "e"];
const TYPES: [&str; 2] = ["hello", "other"];
/// Concurrency keys.
const KEYS: [Option<&str>; 3] = [None, Some("one"), Some("two \u{0}")];

/// One step; numbers are reduced to what there is.
#[derive(Debug, Clone)]
enum Step {
    Schedule {
        id: usize,
        kind: usize,
        key: usize,
        delay_ms: i64,
        priority: i32,
        absent: bool,
    },
    Again,
    Claim {
        limit: usize,
        both: bool,
        most: u64,
    },
    Cancel(usize),
    Acknowledge(usize),
    Delete {
        id: usize,
        at_version: bool,
    },
    Run {
        fence: usize,
        what: usize,
    },
    HostLost {
        fence: usize,
        crashes_max: u32,
    },
    PreviousEnded(usize),
    Resume(usize),
    RemoveTombstones,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..IDS.len();
    prop_oneof![
        6 => (id.clone(), 0..2usize, 0..KEYS.len(), -50..200i64, -2..3i32, any::<bool>()).prop_map(
            |(id, kind, key, delay_ms, priority, absent)| Step::Schedule {
                id, kind, key, delay_ms, priority, absent
            }
        ),
        1 => Just(Step::Again),
        4 => (0..3usize, any::<bool>(), 0..3u64).prop_map(|(limit, both, most)| {
            Step::Claim { limit, both, most }
        }),
        1 => id.clone().prop_map(Step::Cancel),
        1 => id.clone().prop_map(Step::Acknowledge),
        1 => (id, any::<bool>()).prop_map(|(id, at_version)| Step::Delete { id, at_version }),
        6 => (0..8usize, 0..9usize).prop_map(|(fence, what)| Step::Run { fence, what }),
        1 => (0..8usize, 1..3u32).prop_map(|(fence, crashes_max)| Step::HostLost {
            fence, crashes_max
        }),
        1 => (0..8usize).prop_map(Step::PreviousEnded),
        1 => (0..8usize).prop_map(Step::Resume),
        1 => Just(Step::RemoveTombstones),
        2 => (1..100u64).prop_map(Step::Wait),
    ]
}

/// The two stores and what has been learned from them.
pub(super) struct Pair {
    memory: Subject,
    other: Subject,
    fences: Vec<(usize, Fence)>,
    last_run: Option<(usize, NewRun)>,
    incarnation: Incarnation,
}

impl Pair {
    /// Memory, and another store on the same clock.
    pub(super) async fn new(other: Subject) -> Self {
        let memory = memory(&other.clock);
        for subject in [&memory, &other] {
            subject.has_component('a').await.unwrap();
        }
        Self {
            memory,
            other,
            fences: Vec::new(),
            last_run: None,
            incarnation: Incarnation::new(),
        }
    }

    /// A history of so many steps, drawn by chance, whose runs are all of another millisecond.
    pub(super) async fn run_some(&mut self, count: usize) {
        let mut runner = proptest::test_runner::TestRunner::default();
        for number in 0..count {
            let step = step().new_tree(&mut runner).unwrap().current();
            eprintln!("step {number}: {step:?}");
            self.run(step).await;
            self.memory.wait_ms(1);
            self.compare().await;
        }
    }

    async fn apply(&self, id: usize, event: Event) {
        let ours = self.memory.apply(IDS[id], event.clone()).await.unwrap();
        let theirs = self.other.apply(IDS[id], event.clone()).await.unwrap();
        assert_eq!(ours.outcome, theirs.outcome, "{event:?}");
        assert_eq!(ours.task, theirs.task, "{event:?}");
    }

    async fn run(&mut self, step: Step) {
        let fence = |number: usize| {
            let count = self.fences.len().max(1);
            self.fences.get(number % count).copied()
        };
        match step {
            Step::Schedule { .. } => self.schedule(step).await,
            Step::Again => {
                if let Some((id, run)) = self.last_run.clone() {
                    self.apply(id, Event::Schedule(Box::new(run))).await;
                }
            }
            Step::Claim { limit, both, most } => self.claim(limit, both, most).await,
            Step::Cancel(id) => self.apply(id, given::cancel()).await,
            Step::Acknowledge(id) => self.apply(id, given::acknowledge()).await,
            Step::Delete { id, at_version } => {
                let stored = self
                    .memory
                    .stores
                    .tasks
                    .get(&given::key(IDS[id]))
                    .await
                    .unwrap();
                let if_version = stored.map(|task| task.version).filter(|_| at_version);
                self.apply(id, Event::Delete { if_version }).await;
            }
            Step::Run {
                fence: number,
                what,
            } => {
                if let Some((id, fence)) = fence(number) {
                    let event = self.says(what);
                    self.apply(id, Event::Run { fence, event }).await;
                }
            }
            Step::HostLost {
                fence: number,
                crashes_max,
            } => {
                if let Some((id, fence)) = fence(number) {
                    self.apply(id, Event::HostLost { fence, crashes_max }).await;
                }
            }
            Step::PreviousEnded(number) => {
                if let Some((id, fence)) = fence(number) {
                    self.apply(id, Event::PreviousEnded { fence }).await;
                }
            }
            Step::Resume(number) => {
                if let Some((id, fence)) = fence(number) {
                    self.apply(id, Event::Resume { run: fence.run }).await;
                }
            }
            Step::RemoveTombstones => {
                let ours = self.memory.stores.tasks.remove_tombstones().await.unwrap();
                let theirs = self.other.stores.tasks.remove_tombstones().await.unwrap();
                assert_eq!(ours, theirs);
            }
            // One clock for both.
            Step::Wait(ms) => self.memory.wait_ms(ms),
        }
    }

    async fn schedule(&mut self, step: Step) {
        let Step::Schedule {
            id,
            kind,
            key,
            delay_ms,
            priority,
            absent,
        } = step
        else {
            return;
        };
        let mut run = self.memory.run(TYPES[kind]);
        run.due_at = given::at(self.memory.now().as_ms() + delay_ms);
        run.priority = priority;
        run.params = Arc::from(format!("{{\"delay\":{delay_ms}}}"));
        run.stream = (kind == 1).then(|| given::stream("logs").name);
        // Who is whose child makes no difference to what happens to it here.
        run.parent = self
            .fences
            .last()
            .filter(|_| kind == 0)
            .map(|(of, fence)| Parent {
                task: given::key(IDS[*of]).id,
                run: fence.run,
                key: "one".to_owned(),
                depth: 1,
                stream: None,
                also_reads: Vec::new(),
            });
        run.concurrency_key = KEYS[key].map(str::to_owned);
        run.timeout_ms = (priority > 0).then_some(5_000);
        run.condition = absent.then_some(WriteCondition::Absent);
        self.last_run = Some((id, run.clone()));
        self.apply(id, Event::Schedule(Box::new(run))).await;
    }

    fn says(&self, what: usize) -> RunEvent {
        let now = self.memory.now();
        let end = RunReport {
            started_at: what.is_multiple_of(2).then_some(now),
            progress: Some(Progress {
                done: what as u64,
                total: Some(9),
                message: "half \u{0} way".to_owned(),
                phase: Some("one".to_owned()),
                updated_at: Some(now),
            }),
            usage: (what > 0).then_some(Usage {
                cpu_ms: 7,
                ..Usage::default()
            }),
            log: Some(Arc::from(format!("line {what}\n"))),
        };
        let mut error = TaskError::of(ErrorKind::Task, "it ' failed");
        error.details = Some(serde_json::json!({"n": what}));
        match what {
            0 => RunEvent::Progress(end),
            1 | 2 => RunEvent::Completed {
                payload: Arc::from("{\"r\":1}"),
                end,
            },
            3 => RunEvent::Failed {
                error,
                retry_at: None,
                end,
            },
            4 => RunEvent::Failed {
                error,
                retry_at: Some(given::at(now.as_ms() + 30)),
                end,
            },
            5 => RunEvent::Paused {
                error,
                until: given::at(now.as_ms() + 30),
                end,
            },
            6 => RunEvent::HandedBack { end },
            7 => RunEvent::Suspended {
                suspension: Suspension {
                    wait: "for all".to_owned(),
                    until: given::at(now.as_ms() + 60),
                    times: 2,
                    ids: Vec::new(),
                },
                until: given::at(now.as_ms() + 30),
                end,
            },
            _ => RunEvent::Stopped { end },
        }
    }

    async fn claim(&mut self, limit: usize, both: bool, most: u64) {
        let types: &[&str] = if both { &TYPES } else { &TYPES[..1] };
        let mut request = ClaimRequest {
            incarnation: self.incarnation,
            ..given::claim_request(types, limit)
        };
        for wanted in &mut request.types {
            wanted.runs_per_key = Some(most).filter(|most| *most > 0);
        }
        let ours = self.memory.stores.tasks.claim(&request).await.unwrap();
        let theirs = self.other.stores.tasks.claim(&request).await.unwrap();
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!((&ours.task, &ours.params), (&theirs.task, &theirs.params));
            let id = IDS.iter().position(|id| *id == ours.task.id.as_str());
            self.fences.push((id.unwrap(), ours.task.fence()));
        }
    }

    /// Both tell the same parents and children.
    async fn compare_families(&self) {
        let (ours, theirs) = (&self.memory.stores.tasks, &self.other.stores.tasks);
        let (mut mine, mut other) = (
            ours.parents().await.unwrap(),
            theirs.parents().await.unwrap(),
        );
        mine.sort();
        other.sort();
        assert_eq!(mine, other);
        for (_, fence) in &self.fences {
            let (mut mine, mut other) = (
                ours.children(fence.run).await.unwrap(),
                theirs.children(fence.run).await.unwrap(),
            );
            mine.living.sort();
            other.living.sort();
            assert_eq!(mine, other);
        }
    }

    /// Both tell the same of each key.
    async fn compare_keys(&self) {
        let (ours, theirs) = (&self.memory.stores.tasks, &self.other.stores.tasks);
        for type_name in TYPES {
            for key in KEYS.into_iter().flatten() {
                let (space, type_id) = (given::space(), given::type_id(type_name));
                let mine = ours.holders(&space, &type_id, key).await.unwrap();
                let other = theirs.holders(&space, &type_id, key).await.unwrap();
                assert_eq!(mine, other, "{type_name} {key}");
            }
        }
    }

    /// Every read gives the same answer.
    async fn compare(&self) {
        let (ours, theirs) = (&self.memory.stores.tasks, &self.other.stores.tasks);
        for id in IDS {
            let key = given::key(id);
            assert_eq!(
                ours.get(&key).await.unwrap(),
                theirs.get(&key).await.unwrap()
            );
            let texts = |stored: Option<crate::queue::StoredTask>| {
                stored.map(|stored| (stored.task, stored.params, stored.payload))
            };
            let (mine, other) = (
                ours.read(&key).await.unwrap(),
                theirs.read(&key).await.unwrap(),
            );
            let (mine, other) = (texts(mine), texts(other));
            assert_eq!(mine, other);
            let run = mine.map_or_else(RunId::new, |(task, ..)| task.run.id);
            let (mine, other) = (ours.log(&key, run).await, theirs.log(&key, run).await);
            assert_eq!(mine.unwrap(), other.unwrap());
        }
        self.other.settle().await.unwrap();
        for statuses in [
            vec![],
            vec![Status::InProgress],
            vec![Status::Failed, Status::Canceled],
        ] {
            let mut request = ListRequest::all(given::space());
            request.statuses = statuses;
            request.limit = 2;
            // Cursors are each store's own affair; what they lead to is not.
            let mut other_request = request.clone();
            loop {
                let mine = ours.list(&request).await.unwrap();
                let other = theirs.list(&other_request).await.unwrap();
                assert_eq!(mine.tasks, other.tasks);
                (request.cursor, other_request.cursor) = (mine.next, other.next);
                assert_eq!(request.cursor.is_some(), other_request.cursor.is_some());
                if request.cursor.is_none() {
                    break;
                }
            }
        }
        assert_eq!(
            ours.next_due().await.unwrap(),
            theirs.next_due().await.unwrap()
        );
        let (mine, other) = (
            ours.unfinished().await.unwrap(),
            theirs.unfinished().await.unwrap(),
        );
        assert_eq!(
            (mine.by_digest, mine.by_type),
            (other.by_digest, other.by_type)
        );
        self.compare_families().await;
        self.compare_keys().await;
        let (mut mine, mut other) = (ours.held(9).await.unwrap(), theirs.held(9).await.unwrap());
        mine.sort_by_key(|task| task.id.clone());
        other.sort_by_key(|task| task.id.clone());
        assert_eq!(mine, other);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn memory_and_sqlite_agree(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = quick_folder();
        let clock = given::clock();
        runtime.block_on(async {
            let mut pair = Pair::new(sqlite(folder.path(), &clock)).await;
            for step in steps {
                pair.run(step).await;
                pair.compare().await;
            }
            pair.other.stores.close().await;
        });
    }
}
