//! Schedules (`ScheduleStore` 1 to 4).

use std::sync::Arc;

use taskhost_model::ids::{Incarnation, RunKeyId, ScheduleId, ScheduleKey, Space};
use taskhost_model::schedule::{CatchUp, Counts, FiredTask, Overlap, Rule, Schedule, Timing};
use taskhost_model::time::Timestamp;

use super::Subject;
use super::given::{run_key, space, type_id};
use crate::error::StoreError;
use crate::schedules::{DuePlace, ScheduleStore};

fn schedules(s: &Subject) -> &Arc<dyn ScheduleStore> {
    &s.stores.schedules
}

fn id(text: &str) -> ScheduleId {
    ScheduleId::parse(text).expect("ids of the cases are valid")
}

/// A schedule that somebody has to look at so many seconds from now, if at all.
fn schedule(s: &Subject, name: &str, act_in_s: Option<i64>) -> Schedule {
    let now = s.now();
    Schedule {
        id: id(name),
        space: space(),
        timing: Timing {
            rule: Rule::Interval("1h".to_owned()),
            time_zone: "UTC".to_owned(),
            starts_at: now,
            ends_at: None,
            jitter_ms: 7_000,
        },
        overlap: Overlap::Queue,
        catch_up: CatchUp::All(3),
        task: FiredTask {
            type_id: type_id("hello"),
            stream: None,
            also_reads: Vec::new(),
            params: Arc::from("{\"n\":1.0e400,\"text\":\"\\u0000\u{1f}é\"}"),
            priority: Some(-7),
            timeout_ms: Some(u64::MAX),
        },
        author: "somebody \u{e9}".to_owned(),
        key: None,
        key_expires_at: None,
        created_at: now,
        updated_at: now,
        paused: None,
        next: Some(now),
        waiting: Vec::new(),
        active: Vec::new(),
        past: Vec::new(),
        counts: Counts::default(),
        act_at: act_in_s.map(|seconds| Timestamp::from_ms(now.as_ms() + seconds * 1_000)),
        version: 5,
    }
}

/// The next version, in which something has happened.
fn changed(schedule: &Schedule, now: Timestamp) -> Schedule {
    let mut next = schedule.clone();
    let fired = next.run_now(now, Incarnation::new(), "somebody");
    fired.expect("a queue takes every fire");
    next.stamp(now);
    next
}

fn ids(found: &[Schedule]) -> Vec<&str> {
    found.iter().map(|schedule| schedule.id.as_str()).collect()
}

pub(super) async fn a_schedule_is_there_as_it_was_written(s: &Subject) -> Result<(), StoreError> {
    let first = schedule(s, "nightly", Some(60));
    assert_eq!(schedules(s).get(&first.key()).await?, None);
    assert!(schedules(s).put(&first, None).await?);
    assert_eq!(schedules(s).get(&first.key()).await?.as_ref(), Some(&first));
    let second = changed(&first, s.now());
    assert!(schedules(s).put(&second, Some(first.version)).await?);
    assert_eq!(
        schedules(s).get(&first.key()).await?.as_ref(),
        Some(&second)
    );
    let elsewhere = ScheduleKey {
        space: Space::parse("elsewhere").expect("it is valid"),
        id: id("nightly"),
    };
    assert_eq!(schedules(s).get(&elsewhere).await?, None);
    Ok(())
}

pub(super) async fn of_many_writers_of_a_schedule_one_writes(
    s: &Subject,
) -> Result<(), StoreError> {
    let first = schedule(s, "nightly", Some(60));
    for over in [None, Some(first.version)] {
        let mut writing = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let next = match over {
                None => changed(&first, s.now()),
                Some(_) => changed(&changed(&first, s.now()), s.now()),
            };
            let next = Schedule {
                version: first.version + u64::from(over.is_some()),
                ..next
            };
            let store = Arc::clone(schedules(s));
            writing.spawn(async move { Ok((store.put(&next, over).await?, next)) });
        }
        let written: Result<Vec<_>, StoreError> = writing.join_all().await.into_iter().collect();
        let mut written = written?;
        written.retain(|(is_written, _)| *is_written);
        assert_eq!(written.len(), 1, "over {over:?}");
        let stored = schedules(s).get(&first.key()).await?;
        assert_eq!(
            stored.as_ref(),
            Some(&written[0].1),
            "what was written stands there"
        );
    }
    Ok(())
}

pub(super) async fn a_repeated_write_of_a_schedule_is_recognized(
    s: &Subject,
) -> Result<(), StoreError> {
    let first = schedule(s, "nightly", Some(60));
    assert!(schedules(s).put(&first, None).await?);
    assert!(
        schedules(s).put(&first, None).await?,
        "whoever got no answer"
    );
    let second = changed(&first, s.now());
    assert!(schedules(s).put(&second, Some(first.version)).await?);
    assert!(schedules(s).put(&second, Some(first.version)).await?);
    let other = changed(&first, s.now());
    assert!(
        !schedules(s).put(&other, Some(first.version)).await?,
        "another one's is there"
    );
    assert!(!schedules(s).put(&first, None).await?, "it is there");
    assert_eq!(schedules(s).get(&first.key()).await?, Some(second));
    Ok(())
}

pub(super) async fn a_removed_schedule_is_gone(s: &Subject) -> Result<(), StoreError> {
    let first = schedule(s, "nightly", Some(-60));
    let key = first.key();
    assert!(!schedules(s).remove(&key, first.version).await?);
    schedules(s).put(&first, None).await?;
    assert!(!schedules(s).remove(&key, first.version + 1).await?);
    assert!(schedules(s).remove(&key, first.version).await?);
    assert!(!schedules(s).remove(&key, first.version).await?);
    assert_eq!(schedules(s).get(&key).await?, None);
    let late = changed(&first, s.now());
    assert!(
        !schedules(s).put(&late, Some(first.version)).await?,
        "it stays gone"
    );
    s.settle().await?;
    assert_eq!(schedules(s).due(s.now(), None, 10).await?, []);
    assert_eq!(schedules(s).list(&space(), None, 10).await?, []);
    Ok(())
}

pub(super) async fn schedules_are_listed_by_their_ids(s: &Subject) -> Result<(), StoreError> {
    let names = ["B", "a", "a-1", "a.1", "b"];
    for name in names.iter().rev() {
        schedules(s).put(&schedule(s, name, None), None).await?;
    }
    let elsewhere = Schedule {
        space: Space::parse("elsewhere").expect("it is valid"),
        ..schedule(s, "c", None)
    };
    schedules(s).put(&elsewhere, None).await?;
    s.settle().await?;
    let all = schedules(s).list(&space(), None, 10).await?;
    assert_eq!(ids(&all), names);
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = schedules(s).list(&space(), after.as_ref(), 2).await?;
        after = page.last().map(|schedule| schedule.id.clone());
        let is_last = page.len() < 2;
        paged.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(paged, all);
    assert_eq!(
        schedules(s).list(&elsewhere.space, None, 10).await?,
        [elsewhere]
    );
    Ok(())
}

pub(super) async fn due_schedules_come_in_the_order_of_their_time(
    s: &Subject,
) -> Result<(), StoreError> {
    for (name, act_in_s) in [
        ("later", Some(1)),
        ("never", None),
        ("now", Some(0)),
        ("first", Some(-60)),
        ("also-first", Some(-60)),
        ("second", Some(-59)),
    ] {
        schedules(s).put(&schedule(s, name, act_in_s), None).await?;
    }
    let elsewhere = Schedule {
        space: Space::parse("elsewhere").expect("it is valid"),
        ..schedule(s, "also-there", Some(-60))
    };
    schedules(s).put(&elsewhere, None).await?;
    s.settle().await?;
    let expected = ["also-first", "first", "also-there", "second", "now"];
    let all = schedules(s).due(s.now(), None, 10).await?;
    assert_eq!(ids(&all), expected);
    let mut after = None;
    for (number, one) in all.iter().enumerate() {
        let page = schedules(s).due(s.now(), after.as_ref(), 2).await?;
        assert_eq!(
            ids(&page),
            expected[number..(number + 2).min(expected.len())]
        );
        after = DuePlace::of(one);
    }
    assert_eq!(schedules(s).due(s.now(), after.as_ref(), 2).await?, []);
    s.wait_ms(1_000);
    let more = schedules(s).due(s.now(), after.as_ref(), 2).await?;
    assert_eq!(ids(&more), ["later"]);
    Ok(())
}

/// Of a store with people (`RunKeyStore` 2).
pub(super) async fn a_schedule_holds_its_key(s: &Subject) -> Result<(), StoreError> {
    let keys = &s.stores.people.as_ref().expect("the store has people").keys;
    let kept = run_key("ann");
    keys.put(&kept).await?;
    let others = [kept.id, RunKeyId::new()];
    assert_eq!(keys.held(&others).await?, []);
    let with_key = Schedule {
        key: Some(kept.id),
        ..schedule(s, "nightly", None)
    };
    schedules(s).put(&with_key, None).await?;
    assert_eq!(keys.held(&others).await?, [kept.id]);
    let mut without = changed(&with_key, s.now());
    without.key = None;
    schedules(s).put(&without, Some(with_key.version)).await?;
    assert_eq!(keys.held(&others).await?, []);
    Ok(())
}
