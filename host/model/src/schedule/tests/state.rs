//! What is decided of a schedule, step by step, and over crashes (T22).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::ids::{Incarnation, RunId, ScheduleId, Space, TaskId, TypeId};

fn schedule(rule: Rule, overlap: Overlap, catch_up: CatchUp) -> Schedule {
    let start = at("2026-11-29T00:00:00Z");
    Schedule {
        id: ScheduleId::parse("nightly").unwrap(),
        space: Space::parse("default").unwrap(),
        timing: timing(rule, "UTC", "2026-11-29T00:00:00Z"),
        overlap,
        catch_up,
        task: FiredTask {
            type_id: TypeId::parse("hello").unwrap(),
            stream: None,
            also_reads: Vec::new(),
            params: Arc::from("{}"),
            priority: None,
            timeout_ms: None,
        },
        author: "ann".to_owned(),
        key: None,
        key_expires_at: None,
        created_at: start,
        updated_at: start,
        paused: None,
        next: Some(at("2026-11-29T01:00:00Z")),
        waiting: Vec::new(),
        active: Vec::new(),
        past: Vec::new(),
        counts: Counts::default(),
        act_at: None,
        version: 1,
    }
}

fn hourly(overlap: Overlap, catch_up: CatchUp) -> Schedule {
    schedule(interval("1h"), overlap, catch_up)
}

fn decide(schedule: &mut Schedule, now: &str) -> bool {
    let times = schedule.timing.due_times().unwrap();
    let decided = schedule
        .decide(&times, at(now), Incarnation::new())
        .unwrap();
    schedule.stamp(at(now));
    decided
}

/// Writes what is to be written; the tasks.
fn write(schedule: &mut Schedule, now: &str) -> Vec<TaskId> {
    let to_write: Vec<_> = schedule
        .active
        .iter()
        .filter(|it| !it.is_written)
        .cloned()
        .collect();
    for fire in &to_write {
        assert!(schedule.note_written(fire.run, at(now)));
        assert!(!schedule.note_written(fire.run, at(now)), "it is no news");
    }
    to_write.into_iter().map(|fire| fire.task).collect()
}

fn ids(names: &[&str]) -> Vec<TaskId> {
    names
        .iter()
        .map(|name| TaskId::parse(name).unwrap())
        .collect()
}

#[test]
fn a_due_time_is_decided_once() {
    let mut one = hourly(Overlap::Skip, CatchUp::Latest);
    assert!(!decide(&mut one, "2026-11-29T00:59:59Z"));
    assert!(decide(&mut one, "2026-11-29T01:00:00Z"));
    assert_eq!(one.next, Some(at("2026-11-29T02:00:00Z")));
    assert!(!decide(&mut one, "2026-11-29T01:00:01Z"), "it is decided");
    assert_eq!(
        one.act_at,
        Some(at("2026-11-29T01:00:01Z")),
        "its task is to be written"
    );
    let written = write(&mut one, "2026-11-29T01:00:01Z");
    assert_eq!(written, ids(&["nightly.20261129T010000Z"]));
    one.stamp(at("2026-11-29T01:00:02Z"));
    assert_eq!((one.act_at, one.counts.fired), (one.next, 1));
}

/// T11: a clock that goes back by ten minutes, or by a day, fires nothing again.
#[test]
fn a_clock_that_goes_back_repeats_nothing() {
    let mut one = hourly(Overlap::Queue, CatchUp::All(10));
    decide(&mut one, "2026-11-29T01:00:00Z");
    for now in [
        "2026-11-29T00:50:00Z",
        "2026-11-29T01:00:00Z",
        "2026-11-28T01:00:00Z",
    ] {
        assert!(!decide(&mut one, now));
    }
    one.pause(Some("ann"), None, at("2026-11-28T01:00:00Z"));
    let times = one.timing.due_times().unwrap();
    one.resume(&times, at("2026-11-28T01:00:00Z")).unwrap();
    assert_eq!(one.next, Some(at("2026-11-29T02:00:00Z")));
}

/// T11: a clock that goes forward, and a host that was away, miss what the policy says.
#[test]
fn what_has_passed_is_made_up_for_as_the_policy_says() {
    for (catch_up, fired, missed) in [
        (CatchUp::None, &[][..], 5),
        (CatchUp::Latest, &["nightly.20261129T050000Z"][..], 4),
        (
            CatchUp::All(2),
            &["nightly.20261129T040000Z", "nightly.20261129T050000Z"][..],
            3,
        ),
    ] {
        let mut one = hourly(Overlap::Queue, catch_up);
        decide(&mut one, "2026-11-29T05:30:00Z");
        let mut all = Vec::new();
        loop {
            let written = write(&mut one, "2026-11-29T05:30:00Z");
            if written.is_empty() {
                break;
            }
            all.extend(written);
            one.forget_ended(|_| true);
            decide(&mut one, "2026-11-29T05:30:00Z");
        }
        assert_eq!(all, ids(fired), "{catch_up:?}");
        assert_eq!(one.counts.missed, missed);
        assert_eq!(one.next, Some(at("2026-11-29T06:00:00Z")));
        let last = one
            .past
            .iter()
            .find(|past| past.outcome == PastOutcome::Missed)
            .unwrap();
        assert!(last.reason.as_ref().unwrap().contains("in time"));
    }
    let mut late = hourly(Overlap::Skip, CatchUp::None);
    decide(&mut late, "2026-11-29T01:00:59Z");
    assert_eq!(late.active.len(), 1, "less than a minute is not late");
}

#[test]
fn years_that_have_passed_are_not_gone_through_one_by_one() {
    let begun = Instant::now();
    for rule in [cron("* * * * * *"), interval("1s"), rrule("FREQ=SECONDLY")] {
        for (catch_up, fires) in [(CatchUp::All(500), 500), (CatchUp::Latest, 1)] {
            let mut one = schedule(rule.clone(), Overlap::Queue, catch_up);
            decide(&mut one, "2029-11-29T00:00:00Z");
            let found = one.active.len() + one.waiting.len() + skipped(&one);
            assert_eq!(found, fires, "{rule:?}");
            assert_eq!(one.next, Some(at("2029-11-29T00:00:01Z")));
            assert!(one.counts.missed > 9_000);
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
}

fn skipped(schedule: &Schedule) -> usize {
    usize::try_from(schedule.counts.skipped).unwrap()
}

#[test]
fn an_overlap_is_dealt_with_as_the_policy_says() {
    let mut skip = hourly(Overlap::Skip, CatchUp::Latest);
    decide(&mut skip, "2026-11-29T01:00:00Z");
    write(&mut skip, "2026-11-29T01:00:00Z");
    decide(&mut skip, "2026-11-29T02:00:00Z");
    assert_eq!(
        (skip.counts.skipped, skip.active.len(), skip.waiting.len()),
        (1, 1, 0)
    );
    let past = skip.past.last().unwrap();
    assert!(
        past.reason
            .as_ref()
            .unwrap()
            .contains("nightly.20261129T010000Z")
    );
    skip.forget_ended(|_| true);
    decide(&mut skip, "2026-11-29T03:00:00Z");
    assert_eq!(
        write(&mut skip, "2026-11-29T03:00:00Z"),
        ids(&["nightly.20261129T030000Z"])
    );

    let mut queue = hourly(Overlap::Queue, CatchUp::Latest);
    for now in [
        "2026-11-29T01:00:00Z",
        "2026-11-29T02:00:00Z",
        "2026-11-29T03:00:00Z",
    ] {
        decide(&mut queue, now);
        write(&mut queue, now);
    }
    assert_eq!((queue.active.len(), queue.waiting.len()), (1, 2));
    queue.forget_ended(|_| true);
    decide(&mut queue, "2026-11-29T03:10:00Z");
    assert_eq!(
        write(&mut queue, "2026-11-29T03:10:00Z"),
        ids(&["nightly.20261129T020000Z"])
    );

    let mut cancel = hourly(Overlap::CancelOld, CatchUp::Latest);
    for now in [
        "2026-11-29T01:00:00Z",
        "2026-11-29T02:00:00Z",
        "2026-11-29T03:00:00Z",
    ] {
        decide(&mut cancel, now);
        write(&mut cancel, now);
    }
    assert!(cancel.active[0].is_to_cancel);
    assert_eq!(
        (
            cancel.active.len(),
            cancel.waiting.len(),
            cancel.counts.skipped
        ),
        (1, 1, 1)
    );
    cancel.forget_ended(|_| true);
    decide(&mut cancel, "2026-11-29T03:00:01Z");
    assert_eq!(
        write(&mut cancel, "2026-11-29T03:00:01Z"),
        ids(&["nightly.20261129T030000Z"])
    );
}

#[test]
fn what_waits_is_bounded() {
    let mut queue = schedule(interval("1s"), Overlap::Queue, CatchUp::All(1_000));
    decide(&mut queue, "2026-11-29T02:00:00Z");
    assert_eq!(queue.waiting.len(), 100);
    assert_eq!(queue.counts.skipped, 1_000 - 101);
    assert!(queue.past.len() <= 20);
}

#[test]
fn a_pause_fires_nothing_and_a_resume_makes_up_for_nothing() {
    let mut one = hourly(Overlap::Queue, CatchUp::All(10));
    decide(&mut one, "2026-11-29T01:00:00Z");
    decide(&mut one, "2026-11-29T02:00:00Z");
    one.pause(Some("ann"), Some("maintenance"), at("2026-11-29T02:10:00Z"));
    assert_eq!((one.waiting.len(), one.counts.skipped), (0, 1));
    write(&mut one, "2026-11-29T02:10:00Z");
    assert!(!decide(&mut one, "2026-11-29T08:00:00Z"));
    assert_eq!(one.act_at, None);
    let times = one.timing.due_times().unwrap();
    assert!(one.next_fires(&times, 3).is_empty());
    let task = one
        .run_now(at("2026-11-29T08:00:00Z"), Incarnation::new(), "bob")
        .unwrap();
    assert_eq!(
        one.waiting.len(),
        1,
        "wanted while it is paused, behind the one that runs"
    );
    assert_eq!(one.task_of(&one.waiting[0]), task);
    one.resume(&times, at("2026-11-29T08:10:00Z")).unwrap();
    assert_eq!(one.next, Some(at("2026-11-29T09:00:00Z")));
    assert_eq!(one.next_fires(&times, 3).len(), 3);
}

#[test]
fn a_fire_that_is_wanted_obeys_the_overlap() {
    let mut one = hourly(Overlap::Skip, CatchUp::Latest);
    let now = at("2026-11-29T00:30:00Z");
    let task = one.run_now(now, Incarnation::new(), "bob").unwrap();
    assert_eq!(
        write(&mut one, "2026-11-29T00:30:00Z"),
        std::slice::from_ref(&task)
    );
    let refused = one.run_now(now, Incarnation::new(), "bob");
    assert_eq!(refused, Err(StillRunning { task: task.clone() }));
    one.forget_ended(|_| true);
    let other = one.run_now(now, Incarnation::new(), "bob").unwrap();
    assert_ne!(other, task, "in the same millisecond");
    assert_eq!(
        one.next,
        Some(at("2026-11-29T01:00:00Z")),
        "what is due is not touched"
    );
    assert_eq!(one.past.last().unwrap().wanted_by.as_deref(), Some("bob"));
}

#[test]
fn what_fails_says_why() {
    let mut one = hourly(Overlap::Skip, CatchUp::Latest);
    decide(&mut one, "2026-11-29T01:00:00Z");
    let run = one.active[0].run;
    assert!(one.note_failed(run, "there is no stream `a`", at("2026-11-29T01:00:01Z")));
    assert!(!one.note_failed(run, "again", at("2026-11-29T01:00:01Z")));
    assert!(!one.note_written(run, at("2026-11-29T01:00:01Z")));
    let past = one.past.last().unwrap();
    assert_eq!(past.outcome, PastOutcome::Failed);
    assert_eq!(past.reason.as_deref(), Some("there is no stream `a`"));
    assert!(one.active.is_empty() && one.counts.failed == 1);
}

#[test]
fn jitter_is_the_same_everywhere_and_spread() {
    let mut one = hourly(Overlap::Skip, CatchUp::Latest);
    one.timing.jitter_ms = 600_000;
    let due = |hour: i64| at("2026-11-29T00:00:00Z").plus(Duration::from_secs(3_600 * hour as u64));
    let lots: BTreeSet<u64> = (0..100)
        .map(|hour| one.fire_at(due(hour)).since(due(hour)).as_secs())
        .collect();
    assert!(
        lots.len() > 60 && lots.iter().all(|lot| *lot < 600),
        "{lots:?}"
    );
    assert_eq!(one.fire_at(due(1)), one.clone().fire_at(due(1)));
    let first = one.fire_at(one.next.unwrap());
    assert!(
        !one.decide(
            &one.timing.due_times().unwrap(),
            first.minus(Duration::from_millis(1)),
            Incarnation::new()
        )
        .unwrap()
    );
    assert!(
        one.decide(&one.timing.due_times().unwrap(), first, Incarnation::new())
            .unwrap()
    );
}

#[test]
fn the_longest_id_leaves_room() {
    let mut one = hourly(Overlap::Skip, CatchUp::Latest);
    one.id = ScheduleId::parse(&"x".repeat(200)).unwrap();
    let task = one
        .run_now(at("2026-11-29T00:30:00Z"), Incarnation::new(), "bob")
        .unwrap();
    assert!(
        task.as_str()
            .starts_with(&format!("{}.20261129T003000Z-", one.id))
    );
}

#[test]
fn a_schedule_is_read_as_it_was_written() {
    let mut one = hourly(Overlap::CancelOld, CatchUp::All(7));
    one.timing.jitter_ms = 5;
    decide(&mut one, "2026-11-29T01:00:00Z");
    write(&mut one, "2026-11-29T01:00:00Z");
    decide(&mut one, "2026-11-29T02:30:00Z");
    one.pause(None, Some("why"), at("2026-11-29T02:30:00Z"));
    let text = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), one);
}

/// The store of T22: a document, and tasks that a run has made. Each is written in one go.
#[derive(Default)]
struct World {
    schedule: Option<Schedule>,
    tasks: BTreeMap<TaskId, RunId>,
    /// Each task that was made, and of what due time.
    made: Vec<TaskId>,
}

impl World {
    fn put(&mut self, next: Schedule, over: u64) -> bool {
        let is_it = self.schedule.as_ref().is_some_and(|it| it.version == over);
        if is_it {
            self.schedule = Some(next);
        }
        is_it
    }

    fn make(&mut self, task: &TaskId, run: RunId) {
        if !self.tasks.contains_key(task) {
            self.tasks.insert(task.clone(), run);
            self.made.push(task.clone());
        }
        assert_eq!(self.tasks[task], run, "no other run has the task");
    }
}

/// A host that goes through its steps, and stops for ever after some of them.
struct Host {
    seen: Option<Schedule>,
    to_write: Vec<Active>,
    written: Vec<RunId>,
}

impl Host {
    fn new() -> Self {
        Self {
            seen: None,
            to_write: Vec::new(),
            written: Vec::new(),
        }
    }

    fn step(&mut self, world: &mut World, now: Timestamp) {
        if let Some(run) = self.written.pop() {
            let mut next = world.schedule.clone().unwrap();
            let over = next.version;
            if next.note_written(run, now) {
                next.stamp(now);
                assert!(world.put(next, over));
            }
        } else if let Some(fire) = self.to_write.pop() {
            world.make(&fire.task, fire.run);
            self.written.push(fire.run);
        } else if let Some(seen) = self.seen.take() {
            let mut next = seen.clone();
            next.forget_ended(|fire| fire.is_written);
            let times = next.timing.due_times().unwrap();
            let is_decided = next.decide(&times, now, Incarnation::new()).unwrap();
            next.stamp(now);
            if !is_decided || world.put(next, seen.version) {
                let stored = world.schedule.as_ref().unwrap();
                let open = stored.active.iter().filter(|fire| !fire.is_written);
                self.to_write = open.cloned().collect();
            }
        } else {
            self.seen.clone_from(&world.schedule);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// T22: three hosts step through their work in any order, and each is killed again and again,
    /// wherever it is. Each due time has one fire, and none is lost.
    #[test]
    fn each_due_time_is_fired_once_whatever_crashes(
        steps in prop::collection::vec((0..3_usize, prop::bool::weighted(0.2), 0..4_u64), 200..600),
    ) {
        let mut world = World {
            schedule: Some(schedule(interval("10s"), Overlap::Queue, CatchUp::All(1_000))),
            ..World::default()
        };
        let begin = at("2026-11-29T01:00:00Z");
        let mut now = begin;
        let mut hosts = [Host::new(), Host::new(), Host::new()];
        for (host, is_killed, seconds) in steps {
            now = now.plus(Duration::from_secs(seconds));
            if is_killed {
                hosts[host] = Host::new();
            }
            hosts[host].step(&mut world, now);
        }
        // Somebody is left, and has time.
        let mut last = Host::new();
        for _ in 0..2_000 {
            last.step(&mut world, now);
        }
        let due = now.since(begin).as_secs() / 10 + 1;
        let different: BTreeSet<&TaskId> = world.made.iter().collect();
        prop_assert_eq!(different.len(), world.made.len(), "none twice");
        prop_assert_eq!(world.made.len() as u64, due, "none lost");
        prop_assert_eq!(world.schedule.unwrap().counts.fired, due);
    }
}
