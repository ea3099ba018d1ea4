//! Schedules on a store with people: who may, in whose name they fire, and what becomes of their
//! key.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::ids::{ScheduleKey, StreamName, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::rights::Role;
use taskhost_model::schedule::{Overlap, PastOutcome, Schedule};
use taskhost_model::status::Status;
use taskhost_service::error::ServiceError;
use taskhost_service::schedules::{ScheduleWish, Schedules};
use taskhost_store::memory::people::Rights;
use taskhost_store::streams::StreamSettings;

use crate::bench::a_moment;
use crate::guest::{self, READS};
use crate::hold::PATIENCE;
use crate::people::{key, space};
use crate::population::{Population, held};
use crate::timetables::{schedule_key, wish};

fn reading() -> ScheduleWish {
    let mut wish = wish("10s", READS, Overlap::Skip);
    wish.task.stream = Some(StreamName::parse(guest::STREAM).unwrap());
    wish
}

impl Population {
    async fn schedule_of(&self, id: &str) -> Schedule {
        let found = self.stores[0].schedules.get(&schedule_key(id)).await;
        found.unwrap().unwrap()
    }

    async fn until_schedule(&self, id: &str, is_so: impl Fn(&Schedule) -> bool) -> Schedule {
        let wait = async {
            loop {
                let schedule = self.schedule_of(id).await;
                if is_so(&schedule) {
                    return schedule;
                }
                a_moment().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap()
    }

    /// Somebody who manages the space, and may read the stream.
    fn in_charge(&self, name: &str) -> Requester {
        let rights = Rights::of(&space(), Role::Admin, &["logs.*"]);
        self.people.declare(name, "secret", rights);
        self.who(name)
    }
}

/// What comes of everything that changes a schedule that is there.
async fn each_change(
    schedules: &Schedules,
    by: &Requester,
    key: &ScheduleKey,
) -> [Result<(), ServiceError>; 4] {
    [
        schedules.pause(by, key, None, None).await.map(drop),
        schedules.resume(by, key, None).await.map(drop),
        schedules.run_now(by, key, None).await.map(drop),
        schedules.delete(by, key, None).await,
    ]
}

#[tokio::test]
async fn who_manages_the_space_manages_its_schedules() {
    let it = Population::start().await;
    let (mia, key) = (it.in_charge("mia"), schedule_key("nightly"));
    let schedules = it.service.schedules.clone();
    for who in ["ann", "vic", "eve", "far"] {
        let refused = schedules
            .put(&it.who(who), &key, reading())
            .await
            .unwrap_err();
        assert!(
            matches!(refused, ServiceError::Forbidden { .. }),
            "{who}: {refused}"
        );
    }
    schedules.put(&mia, &key, reading()).await.unwrap();
    for who in ["ann", "vic"] {
        let by = it.who(who);
        assert_eq!(
            schedules.get(&by, &key).await.unwrap().schedule.author,
            "mia"
        );
        let listed = schedules.list(&by, &space(), None, 10).await.unwrap();
        assert_eq!(listed.schedules.len(), 1);
        for refused in each_change(&schedules, &by, &key).await {
            assert!(
                matches!(refused, Err(ServiceError::Forbidden { .. })),
                "{refused:?}"
            );
        }
    }
    // Who may not read its stream sees no schedule, and finds its id taken.
    let eve = it.who("eve");
    let unseen = schedules.get(&eve, &key).await.unwrap_err();
    assert!(matches!(unseen, ServiceError::NotFound { .. }));
    assert!(
        schedules
            .list(&eve, &space(), None, 10)
            .await
            .unwrap()
            .schedules
            .is_empty()
    );
    let far = it.who("far");
    assert!(schedules.list(&far, &space(), None, 10).await.is_err());
    let rights = Rights::of(&space(), Role::Admin, &["other"]);
    it.people.declare("ira", "secret", rights);
    let blind = it.who("ira");
    for refused in each_change(&schedules, &blind, &key).await {
        assert!(
            matches!(refused, Err(ServiceError::NotFound { .. })),
            "{refused:?}"
        );
    }
    let mut other = reading();
    other.task.stream = None;
    let taken = schedules.put(&blind, &key, other).await.unwrap_err();
    assert!(
        matches!(taken, ServiceError::IdNotAvailable { .. }),
        "{taken}"
    );
    let unread = schedules
        .put(&blind, &schedule_key("own"), reading())
        .await
        .unwrap_err();
    assert!(matches!(unread, ServiceError::UnknownStream { .. }));
    assert_eq!(it.people.living_keys(), 1, "nobody else has one");
}

#[tokio::test]
async fn a_schedule_fires_in_the_name_of_its_author_with_a_key_of_its_own() {
    let it = Population::start().await;
    it.service.begin();
    let (mia, key_of) = (it.in_charge("mia"), schedule_key("nightly"));
    let schedules = it.service.schedules.clone();
    let view = schedules.put(&mia, &key_of, reading()).await.unwrap().view;
    let own = view.schedule.key.unwrap();
    it.sweeps().await;
    assert_eq!(it.keys().await.len(), 1, "no run holds it, and it stays");
    it.clock.advance(Duration::from_secs(10));
    it.service
        .schedules
        .put(&mia, &schedule_key("wakes"), reading())
        .await
        .unwrap();
    let fired = it
        .until_schedule("nightly", |it| it.counts.fired == 1)
        .await;
    let task = fired.past[0].task.clone().unwrap();
    let task = it.ended(task.as_str()).await;
    assert_eq!(
        (task.status, task.requested_by.as_str()),
        (Status::Completed, "mia")
    );
    assert_eq!(held(&task), own);
    // Put again by somebody else it has another key, and the first one ends.
    let max = it.in_charge("max");
    let view = schedules.put(&max, &key_of, reading()).await.unwrap().view;
    assert_ne!(view.schedule.key.unwrap(), own);
    assert_eq!(
        (view.schedule.author.as_str(), view.schedule.counts.fired),
        ("max", 1)
    );
    it.until_keys(2).await;
    schedules.delete(&max, &key_of, None).await.unwrap();
    schedules
        .delete(&mia, &schedule_key("wakes"), None)
        .await
        .unwrap();
    it.until_keys(0).await;
    assert_eq!(it.people.living_keys(), 0);
}

#[tokio::test]
async fn a_schedule_whose_key_is_not_accepted_pauses_and_says_so() {
    let it = Population::start().await;
    it.service.begin();
    let (mia, key_of) = (it.in_charge("mia"), schedule_key("nightly"));
    let schedules = it.service.schedules.clone();
    schedules.put(&mia, &key_of, reading()).await.unwrap();
    it.people.end_keys_of("mia");
    let run = schedules.run_now(&mia, &key_of, None).await.unwrap_err();
    assert!(matches!(run, ServiceError::NotFired { .. }), "{run}");
    let paused = it.schedule_of("nightly").await;
    let reason = paused.paused.clone().unwrap().reason.unwrap();
    assert!(reason.contains("granted to mia") && reason.contains("Put the schedule again"));
    assert!(!reason.contains("secret"), "{reason}");
    let last = paused.past.last().unwrap();
    assert_eq!(
        (last.outcome, last.reason.as_deref()),
        (PastOutcome::Failed, Some(&*reason))
    );
    assert_eq!(paused.act_at, None, "nothing more is tried");
    assert!(
        it.stores[0]
            .tasks
            .get(&key("nightly"))
            .await
            .unwrap()
            .is_none()
    );
    // A new key, and it goes on.
    let again = schedules.put(&mia, &key_of, reading()).await.unwrap().view;
    assert_eq!(again.state.as_str(), "active");
    assert!(schedules.run_now(&mia, &key_of, None).await.is_ok());
}

#[tokio::test]
async fn the_fire_of_a_stream_that_has_gone_fails_and_says_so() {
    let it = Population::start().await;
    it.service.begin();
    let (mia, key_of) = (it.in_charge("mia"), schedule_key("nightly"));
    let schedules = it.service.schedules.clone();
    schedules.put(&mia, &key_of, reading()).await.unwrap();
    let stream = it.stream(guest::STREAM);
    it.stores[0].streams.delete(&stream).await.unwrap();
    let refused = schedules.run_now(&mia, &key_of, None).await.unwrap_err();
    assert!(
        refused.to_string().contains("no stream `logs.test`"),
        "{refused}"
    );
    let view = schedules.get(&mia, &key_of).await.unwrap();
    assert_eq!(
        (view.state.as_str(), view.fires[0].outcome),
        ("active", PastOutcome::Failed)
    );
}

/// As a task that names streams, its schedule is for those who read all of them.
#[tokio::test]
async fn a_schedule_that_names_streams_is_for_those_who_read_all_of_them() {
    let it = Population::start().await;
    let names = guest::of_type("names", 0, r#""streams_from":"/streams","#);
    let adm = it.who("adm");
    it.service.types.push(&adm, names, None).await.unwrap();
    for stream in ["logs.more", "other"] {
        let (stream, settings) = (it.stream(stream), StreamSettings::default());
        let put = it.service.streams.put(&adm, &stream, &settings);
        put.await.unwrap();
    }
    let of = |streams: &[&str]| {
        let mut wish = wish("10s", READS, Overlap::Queue);
        wish.task.type_id = TypeId::parse("names").unwrap();
        wish.task.params = Arc::from(format!(r#"{{"streams":{streams:?}}}"#));
        wish
    };
    let (mia, key_of) = (it.in_charge("mia"), schedule_key("both"));
    let rights = Rights::of(&space(), Role::Admin, &["logs.test"]);
    it.people.declare("one", "secret", rights);
    let one = it.who("one");
    let schedules = it.service.schedules.clone();
    let both = of(&[guest::STREAM, "logs.more"]);
    let unread = schedules.put(&one, &key_of, both.clone()).await;
    assert!(
        matches!(unread, Err(ServiceError::UnknownStream { .. })),
        "{unread:?}"
    );
    let made = schedules.put(&mia, &key_of, both.clone()).await.unwrap();
    assert!(made.view.schedule.key.is_some(), "its runs read with a key");
    let run = schedules.run_now(&mia, &key_of, None).await.unwrap();
    let task = it.task(run.task.as_str()).await;
    assert_eq!(task.also_reads.len(), 2, "so does its task");
    // vic and the one in charge read one of the two, eve none.
    for (who, sees) in [
        ("ann", true),
        ("ben", true),
        ("vic", false),
        ("eve", false),
        ("one", false),
    ] {
        let by = it.who(who);
        let view = schedules.get(&by, &key_of).await;
        assert_eq!(view.is_ok(), sees, "{who}");
        let listed = schedules.list(&by, &space(), None, 10).await.unwrap();
        assert_eq!(listed.schedules.len() == 1, sees, "{who}");
    }
    for refused in each_change(&schedules, &one, &key_of).await {
        assert!(
            matches!(refused, Err(ServiceError::NotFound { .. })),
            "{refused:?}"
        );
    }
    let taken = schedules.put(&one, &key_of, of(&[guest::STREAM])).await;
    assert!(
        matches!(taken, Err(ServiceError::IdNotAvailable { .. })),
        "{taken:?}"
    );
}

#[tokio::test]
async fn a_type_that_names_more_streams_by_now_reads_none_of_them() {
    let it = Population::start().await;
    let adm = it.who("adm");
    let first = guest::of_type("names", 0, "");
    it.service.types.push(&adm, first, None).await.unwrap();
    let (mia, key_of) = (it.in_charge("mia"), schedule_key("grows"));
    let mut wish = wish("10s", READS, Overlap::Skip);
    wish.task.type_id = TypeId::parse("names").unwrap();
    wish.task.params = Arc::from(format!(r#"{{"streams":["{}"]}}"#, guest::STREAM));
    let schedules = it.service.schedules.clone();
    let made = schedules.put(&mia, &key_of, wish.clone()).await.unwrap();
    assert_eq!(made.view.schedule.key, None);
    let second = guest::of_type("names", 1, r#""streams_from":"/streams","#);
    it.service.types.push(&adm, second, None).await.unwrap();
    let refused = schedules.run_now(&mia, &key_of, None).await.unwrap_err();
    assert!(refused.to_string().contains(guest::STREAM), "{refused}");
    schedules.put(&mia, &key_of, wish).await.unwrap();
    schedules.run_now(&mia, &key_of, None).await.unwrap();
}

/// Whoever names the version that they have seen is not refused because a task has ended since.
#[tokio::test]
async fn run_now_of_a_version_is_no_other_one_since_a_task_has_ended() {
    let it = Population::start().await;
    it.service.begin();
    let (mia, key_of) = (it.in_charge("mia"), schedule_key("nightly"));
    let schedules = it.service.schedules.clone();
    schedules.put(&mia, &key_of, reading()).await.unwrap();
    let run = schedules.run_now(&mia, &key_of, None).await.unwrap();
    it.ended(run.task.as_str()).await;
    let seen = it.schedule_of("nightly").await;
    let again = schedules.run_now(&mia, &key_of, Some(seen.version)).await;
    assert_ne!(again.unwrap().task, run.task);
}
