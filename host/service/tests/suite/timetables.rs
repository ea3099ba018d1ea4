//! Schedules over hosts that are killed, held up and cut off, and over a store that fails.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use taskhost_model::ids::{ScheduleId, ScheduleKey, TypeId};
use taskhost_model::schedule::{CatchUp, FiredTask, Overlap, PastOutcome, Rule, Schedule};
use taskhost_model::status::Status;
use taskhost_model::time::Timestamp;
use taskhost_service::Service;
use taskhost_service::error::ServiceError;
use taskhost_service::schedules::{ScheduleView, ScheduleWish, TimingWish};
use taskhost_store::faulty::{Call, Fate, Policy, Seen};
use taskhost_store::open::Stores;
use taskhost_store::tasks::ListRequest;

use crate::bench::{Bench, STEP as BENCH_STEP, Seed, on_one_thread};
use crate::guest::{self, COMPLETES, WAITS};
use crate::people::{somebody, space};
use crate::record::Record;
use crate::together::{LineState, Settings, Together, still};

const HOSTS: Settings = Settings {
    slots: 8,
    hints: false,
};
const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn schedule_key(id: &str) -> ScheduleKey {
    ScheduleKey {
        space: space(),
        id: ScheduleId::parse(id).unwrap(),
    }
}

/// A schedule of tasks that do `kind`.
pub(crate) fn wish(interval: &str, kind: u8, overlap: Overlap) -> ScheduleWish {
    ScheduleWish {
        timing: TimingWish {
            rule: Rule::Interval(interval.to_owned()),
            time_zone: None,
            starts_at: None,
            ends_at: None,
            jitter: Duration::ZERO,
        },
        overlap,
        catch_up: CatchUp::All(1_000),
        task: FiredTask {
            type_id: TypeId::parse(guest::TYPE).unwrap(),
            stream: None,
            also_reads: Vec::new(),
            params: Arc::from(kind.to_string()),
            priority: None,
            timeout_ms: None,
        },
        condition: None,
    }
}

async fn put(service: &Service, id: &str, wish: ScheduleWish) -> ScheduleView {
    let (by, key) = (somebody(), schedule_key(id));
    let put = still(service.schedules.put(&by, &key, wish)).await;
    put.unwrap().view
}

async fn stored(stores: &Stores, id: &str) -> Schedule {
    let found = stores.schedules.get(&schedule_key(id)).await;
    found.unwrap().unwrap()
}

/// The tasks that a schedule has fired, each with the lease number of its run.
async fn fired(stores: &Stores, id: &str) -> Vec<(String, Status, u64)> {
    let mut request = ListRequest::all(space());
    request.id_contains = Some(format!("{id}."));
    request.limit = 1_000;
    let mut tasks = Vec::new();
    loop {
        let page = stores.tasks.list(&request).await.unwrap();
        let shown = page.tasks.iter();
        tasks.extend(shown.map(|it| (it.id.to_string(), it.status, it.run.lease_number)));
        request.cursor = page.next;
        if request.cursor.is_none() {
            return tasks;
        }
    }
}

/// T22: whoever of three hosts is killed, in whichever moment, each due time has one task.
async fn under_kills(seed: &Seed, fires: u64) {
    let mut random = seed.random();
    let mut it = Together::start(3, HOSTS).await;
    put(it.host(0), "each", wish("1s", COMPLETES, Overlap::Queue)).await;
    let first = stored(it.stores(0), "each").await.next.unwrap();
    for _ in 0..fires {
        let victim = random.random_range(0..3);
        if it.hosts[victim].is_none() {
            it.start_host(victim).await;
        }
        // It decides, and is not to come to writing the task.
        if random.random_bool(0.5) {
            it.lines[victim].set(LineState::TasksKept);
        }
        it.pass(SECOND.mul_f64(random.random_range(0.1..1.0))).await;
        it.kill(victim).await;
        // Mostly it is back before others take it for lost.
        if random.random_bool(0.8) {
            it.start_host(victim).await;
        }
    }
    for host in 0..3 {
        if it.hosts[host].is_none() {
            it.start_host(host).await;
        }
    }
    let key = schedule_key("each");
    still(it.host(0).schedules.pause(&somebody(), &key, None, None))
        .await
        .unwrap();
    let is_over = async |it: &Together| {
        let schedule = stored(it.stores(0), "each").await;
        let is_idle = schedule.active.iter().all(|fire| fire.is_written);
        is_idle
            && fired(it.stores(0), "each")
                .await
                .iter()
                .all(|it| it.1.is_terminal())
    };
    it.until(4 * LEASE, "every fire is carried out", is_over)
        .await;
    let schedule = stored(it.stores(0), "each").await;
    let next = schedule.next.unwrap();
    let due = next.since(first).as_secs();
    assert!(due >= fires / 3, "{due} due times");
    let counts = schedule.counts;
    assert_eq!((counts.failed, counts.missed), (0, 0), "{counts:?}");
    assert_eq!(
        counts.fired + counts.skipped,
        due,
        "none is lost: {counts:?}"
    );
    let tasks = fired(it.stores(0), "each").await;
    let ids: BTreeSet<&str> = tasks.iter().map(|task| task.0.as_str()).collect();
    assert_eq!(ids.len(), tasks.len());
    assert_eq!(tasks.len() as u64, counts.fired, "none comes twice");
    it.check_claims();
}

#[test]
fn one_fire_for_each_due_time_whatever_host_is_killed() {
    let is_long = std::env::var_os("TASKHOST_LONG").is_some();
    for seed in Seed::some(2, 4) {
        on_one_thread(under_kills(&seed, if is_long { 1_000 } else { 40 }));
    }
}

/// T22: a host that stood still with a fire in its hands, which others have carried out meanwhile.
#[test]
fn a_host_that_stood_still_fires_nothing_again() {
    on_one_thread(async {
        let mut it = Together::start(2, HOSTS).await;
        it.kill(1).await;
        put(it.host(0), "each", wish("1h", COMPLETES, Overlap::Skip)).await;
        it.lines[0].set(LineState::TasksKept);
        let is_decided = async |it: &Together| {
            let schedule = stored(it.stores(0), "each").await;
            schedule.active.iter().any(|fire| !fire.is_written)
        };
        it.until(2 * 3_600 * SECOND, "it is decided", is_decided)
            .await;
        assert!(fired(it.stores(0), "each").await.is_empty());
        it.lines[0].set(LineState::Held);
        it.start_host(1).await;
        let is_fired = async |it: &Together| fired(it.stores(0), "each").await.len() == 1;
        let took = it.until(3 * LEASE, "the other one carries it out", is_fired);
        assert!(
            took.await >= LEASE - 6 * SECOND,
            "not before its lease is over"
        );
        it.pass(10 * SECOND).await;
        let before = stored(it.stores(0), "each").await;
        assert_eq!(before.counts.fired, 1);
        it.lines[0].set(LineState::Open);
        it.pass(30 * SECOND).await;
        let tasks = fired(it.stores(0), "each").await;
        assert_eq!(tasks.len(), 1);
        assert_eq!((tasks[0].1, tasks[0].2), (Status::Completed, 1));
        assert_eq!(stored(it.stores(0), "each").await.counts, before.counts);
    });
}

/// A call fails, now and then after it was done.
#[derive(Debug)]
struct Fails {
    random: Mutex<StdRng>,
    on: AtomicBool,
    record: Arc<Record>,
}

#[async_trait]
impl Policy for Fails {
    async fn before(&self, call: Call<'_>) -> Fate {
        if let Some(event) = call.event {
            self.record.called(event);
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        match random.random_range(0..100) {
            _ if !self.on.load(Ordering::SeqCst) => Fate::Done,
            0..15 => Fate::Rejected,
            15..30 => Fate::DoneButFailed,
            _ => Fate::Done,
        }
    }

    fn done(&self, seen: Seen<'_>) {
        self.record.done(seen);
    }

    async fn after(&self, _: Call<'_>) {}

    fn told(&self, seen: Seen<'_>) {
        self.record.told(seen);
    }
}

async fn over_faults(seed: &Seed) {
    let record = Arc::new(Record::default());
    let mut random = seed.random();
    let fails = Arc::new(Fails {
        random: Mutex::new(StdRng::seed_from_u64(random.random())),
        on: AtomicBool::new(false),
        record: Arc::clone(&record),
    });
    let policy: Arc<dyn Policy> = Arc::<Fails>::clone(&fails);
    let mut bench = Bench::start(record, &policy).await;
    put(
        &bench.service,
        "each",
        wish("1s", COMPLETES, Overlap::Queue),
    )
    .await;
    let first = stored(&bench.beneath, "each").await.next.unwrap();
    fails.on.store(true, Ordering::SeqCst);
    for second in 0..40 {
        for _ in 0..10 {
            bench.settle().await;
            bench.pass(BENCH_STEP * 10).await;
        }
        if second == 20 {
            // Nothing that a life of the host knew is needed by the next one.
            bench.service.abandon().await;
            fails.on.store(false, Ordering::SeqCst);
            bench.start_again().await;
            fails.on.store(true, Ordering::SeqCst);
        }
    }
    fails.on.store(false, Ordering::SeqCst);
    let mut waited = Duration::ZERO;
    let schedule = loop {
        bench.settle().await;
        let schedule = stored(&bench.beneath, "each").await;
        let is_idle = schedule.waiting.is_empty() && schedule.active.iter().all(|it| it.is_written);
        if is_idle && schedule.counts.fired > 40 {
            break schedule;
        }
        assert!(waited < 120 * SECOND, "stuck: {schedule:#?}");
        bench.pass(BENCH_STEP * 10).await;
        waited += BENCH_STEP * 10;
    };
    let due = schedule.next.unwrap().since(first).as_secs();
    let counts = schedule.counts;
    assert_eq!(
        (counts.fired, counts.failed, counts.missed, counts.skipped),
        (due, 0, 0, 0)
    );
    assert_eq!(fired(&bench.beneath, "each").await.len() as u64, due);
}

#[test]
fn a_store_that_fails_loses_no_fire_and_doubles_none() {
    for seed in Seed::some(4, 60) {
        on_one_thread(over_faults(&seed));
    }
}

#[test]
fn an_older_fire_is_waited_for_left_alone_or_canceled() {
    on_one_thread(async {
        let it = Together::start(1, HOSTS).await;
        for (id, overlap) in [
            ("skip", Overlap::Skip),
            ("queue", Overlap::Queue),
            ("cancel", Overlap::CancelOld),
        ] {
            put(it.host(0), id, wish("10s", WAITS, overlap)).await;
        }
        it.pass(35 * SECOND).await;
        let skip = stored(it.stores(0), "skip").await;
        assert_eq!((skip.counts.fired, skip.counts.skipped), (1, 2));
        let reason = skip.past.last().unwrap().reason.clone().unwrap();
        assert!(reason.contains("had not ended"), "{reason}");
        let queue = stored(it.stores(0), "queue").await;
        assert_eq!((queue.counts.fired, queue.waiting.len()), (1, 2));
        let is_third = async |it: &Together| stored(it.stores(0), "cancel").await.counts.fired == 3;
        it.soon(5 * SECOND, "two were canceled", is_third).await;
        let tasks = fired(it.stores(0), "cancel").await;
        let canceled = tasks.iter().filter(|it| it.1 == Status::Canceled).count();
        assert_eq!((tasks.len(), canceled), (3, 2), "{tasks:?}");
        // What waits begins when the older one has ended.
        let first = &fired(it.stores(0), "queue").await[0].0;
        let (by, key) = (somebody(), crate::people::key(first));
        let cancel = it.host(0).tasks.cancel(&by, &key, None, None);
        still(cancel).await.unwrap();
        let is_second = async |it: &Together| stored(it.stores(0), "queue").await.counts.fired == 2;
        it.soon(5 * SECOND, "the next one begins", is_second).await;
    });
}

/// The fire of a schedule whose type has gone says so, and the next ones do, too.
#[test]
fn a_fire_that_fails_is_visible() {
    on_one_thread(async {
        let it = Together::start(1, HOSTS).await;
        put(it.host(0), "each", wish("10s", COMPLETES, Overlap::Skip)).await;
        let types = &it.host(0).types;
        let view = still(types.get(&somebody(), &TypeId::parse(guest::TYPE).unwrap())).await;
        let digest = view.unwrap().versions[0].digest.clone();
        let type_id = TypeId::parse(guest::TYPE).unwrap();
        still(types.delete(&somebody(), &type_id, &digest))
            .await
            .unwrap();
        it.pass(21 * SECOND).await;
        let schedule = stored(it.stores(0), "each").await;
        assert_eq!((schedule.counts.failed, schedule.counts.fired), (2, 0));
        let past = schedule.past.last().unwrap();
        assert_eq!(past.outcome, PastOutcome::Failed);
        assert!(
            past.reason
                .as_ref()
                .unwrap()
                .contains("no task type `worker`")
        );
        let (by, key) = (somebody(), schedule_key("each"));
        let run = it.host(0).schedules.run_now(&by, &key, None);
        let refused = still(run).await.unwrap_err();
        assert!(
            matches!(refused, ServiceError::NotFired { .. }),
            "{refused}"
        );
        let (key, wish) = (schedule_key("other"), wish("10s", COMPLETES, Overlap::Skip));
        let again = it.host(0).schedules.put(&by, &key, wish);
        let refused = still(again).await.unwrap_err();
        assert!(matches!(refused, ServiceError::UnknownTaskType { .. }));
    });
}

#[test]
fn a_schedule_is_paused_resumed_run_and_removed() {
    on_one_thread(async {
        let it = Together::start(1, HOSTS).await;
        let (by, key) = (somebody(), schedule_key("each"));
        let schedules = it.host(0).schedules.clone();
        let view = put(it.host(0), "each", wish("10s", WAITS, Overlap::Skip)).await;
        let now = |seconds: i64| Timestamp::from_ms(1_795_000_000_000 + seconds * 1_000);
        let begun = view.schedule.created_at;
        let after = |seconds| begun.plus(Duration::from_secs(seconds));
        assert!(begun >= now(0));
        assert_eq!(view.next_fires.len(), 3);
        let paused = still(schedules.pause(&by, &key, Some("moving"), None))
            .await
            .unwrap();
        assert_eq!(paused.state.as_str(), "paused");
        it.pass(25 * SECOND).await;
        assert!(fired(it.stores(0), "each").await.is_empty());
        let run = still(schedules.run_now(&by, &key, None)).await.unwrap();
        assert!(run.task.as_str().starts_with("each.") && !run.is_waiting);
        let again = still(schedules.run_now(&by, &key, None)).await.unwrap_err();
        assert!(again.to_string().contains(run.task.as_str()), "{again}");
        let resumed = still(schedules.resume(&by, &key, None)).await.unwrap();
        assert!(resumed.schedule.next.unwrap() > after(25));
        assert_eq!(resumed.schedule.counts.missed, 0);
        let stale = still(schedules.pause(&by, &key, None, Some(1)))
            .await
            .unwrap_err();
        assert!(matches!(stale, ServiceError::VersionMismatch));
        still(schedules.delete(&by, &key, None)).await.unwrap();
        let gone = still(schedules.get(&by, &key)).await.unwrap_err();
        assert!(matches!(gone, ServiceError::NotFound { .. }));
        it.pass(25 * SECOND).await;
        assert_eq!(
            fired(it.stores(0), "each").await.len(),
            1,
            "its task goes on"
        );
    });
}
