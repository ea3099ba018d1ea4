//! Hosts that share a store (`HostStore` 1 to 3).
//!
//! What a store may show late is asked for again until it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use taskhost_model::ids::{Incarnation, Space};
use taskhost_model::task::Task;

use super::Subject;
use super::given::{cancel, claim_request, delete, key, space, type_id, until};
use crate::error::StoreError;
use crate::event::{Event, Outcome};
use crate::hosts::{Beat, Changed, Host, HostStore, Hosts};

fn hosts(s: &Subject) -> &Arc<dyn HostStore> {
    s.stores.hosts.as_ref().expect("the store is shared")
}

fn host(name: &str) -> Host {
    Host {
        host: name.to_owned(),
        incarnation: Incarnation::new(),
        beat: 1,
        address: Some("http://127.0.0.1:7700".to_owned()),
        slots: 64,
        running: 3,
        draining: true,
        not_claiming: Some("it is stopping".to_owned()),
        memory_bytes: Some(1 << 40),
        version: "1.0.0".to_owned(),
        types: BTreeMap::from([(type_id("hello"), "1.2.3".to_owned())]),
        is_lost: false,
    }
}

fn next_beat(host: &Host) -> Host {
    Host {
        beat: host.beat + 1,
        ..host.clone()
    }
}

async fn until_listed(s: &Subject, expected: &[&Host]) {
    let expected: Vec<Host> = expected.iter().map(|host| (*host).clone()).collect();
    let is_it = |found: &Hosts| found.lives == expected;
    until(|| hosts(s).list(), is_it).await;
}

/// A task whose run this life has claimed.
async fn held(s: &Subject, id: &str, by: Incarnation) -> Result<Task, StoreError> {
    s.scheduled(id).await?;
    let request = crate::queue::ClaimRequest {
        incarnation: by,
        ..claim_request(&["hello"], 1)
    };
    let claimed = s.stores.tasks.claim(&request).await?;
    assert_eq!(claimed.len(), 1, "{id} is due");
    Ok(claimed[0].task.clone())
}

/// Keys, sorted.
fn ids(tasks: &[Task]) -> Vec<String> {
    let mut ids: Vec<_> = tasks.iter().map(|task| task.id.to_string()).collect();
    ids.sort();
    ids
}

pub(super) async fn a_host_is_listed_as_it_last_beat(s: &Subject) -> Result<(), StoreError> {
    let (b, a) = (host("b"), host("a"));
    assert_eq!(hosts(s).beat(&b).await?, Beat::Written);
    assert_eq!(hosts(s).beat(&a).await?, Beat::Written);
    let later = Host {
        running: 5,
        ..next_beat(&b)
    };
    assert_eq!(hosts(s).beat(&later).await?, Beat::Written);
    assert_eq!(hosts(s).find(b.incarnation).await?, Some(later.clone()));
    assert_eq!(hosts(s).find(Incarnation::new()).await?, None);
    // Whoever got no answer beats the same again.
    assert_eq!(hosts(s).beat(&later).await?, Beat::Written);
    until_listed(s, &[&a, &later]).await;
    hosts(s).remove(a.incarnation).await?;
    assert_eq!(hosts(s).find(a.incarnation).await?, None);
    until_listed(s, &[&later]).await;
    Ok(())
}

pub(super) async fn a_life_that_was_declared_lost_never_beats_again(
    s: &Subject,
) -> Result<(), StoreError> {
    let it = host("a");
    hosts(s).beat(&it).await?;
    let second = next_beat(&it);
    hosts(s).beat(&second).await?;
    assert!(
        !hosts(s).declare_lost(it.incarnation, it.beat).await?,
        "it has beaten since"
    );
    assert!(hosts(s).declare_lost(it.incarnation, second.beat).await?);
    assert!(
        hosts(s).declare_lost(it.incarnation, it.beat).await?,
        "it is lost already"
    );
    let found = hosts(s).find(it.incarnation).await?;
    assert_eq!(found.map(|host| (host.beat, host.is_lost)), Some((2, true)));
    for beat in [&second, &next_beat(&second)] {
        assert_eq!(hosts(s).beat(beat).await?, Beat::Lost);
    }
    hosts(s).remove(it.incarnation).await?;
    let third = next_beat(&second);
    assert_eq!(hosts(s).beat(&third).await?, Beat::Lost);
    assert!(hosts(s).declare_lost(it.incarnation, 3).await?);
    assert_eq!(hosts(s).find(it.incarnation).await?, None, "none came back");
    // Another life of the same host is another one.
    assert_eq!(hosts(s).beat(&host("a")).await?, Beat::Written);
    Ok(())
}

pub(super) async fn a_beat_or_its_loss_is_first(s: &Subject) -> Result<(), StoreError> {
    for _ in 0..20 {
        let it = host("a");
        hosts(s).beat(&it).await?;
        let later = next_beat(&it);
        let (beat, is_lost) = tokio::join!(
            hosts(s).beat(&later),
            hosts(s).declare_lost(it.incarnation, it.beat)
        );
        let (beat, is_lost) = (beat?, is_lost?);
        assert_eq!(is_lost, beat == Beat::Lost);
        let found = hosts(s).find(it.incarnation).await?;
        assert_eq!(found.map(|host| host.is_lost), Some(is_lost));
    }
    Ok(())
}

pub(super) async fn what_a_life_holds_is_told(s: &Subject) -> Result<(), StoreError> {
    let (a, b) = (Incarnation::new(), Incarnation::new());
    held(s, "a-runs", a).await?;
    held(s, "b-runs", b).await?;
    held(s, "a-canceled", a).await?;
    s.apply("a-canceled", cancel()).await?;
    held(s, "a-deleted", a).await?;
    s.apply("a-deleted", delete()).await?;
    held(s, "a-replaced", a).await?;
    s.apply("a-replaced", delete()).await?;
    s.scheduled("a-replaced").await?;
    let ended = held(s, "a-ended", a).await?;
    s.completed("a-ended", ended.fence(), "{}").await?;
    s.scheduled("nobodys").await?;

    let of_a = ["a-canceled", "a-deleted", "a-replaced", "a-runs"];
    let is_it = |found: &Vec<Task>| ids(found) == of_a;
    until(|| hosts(s).held_by(a, 100), is_it).await;
    let is_it = |found: &Vec<Task>| ids(found) == ["b-runs"];
    until(|| hosts(s).held_by(b, 100), is_it).await;
    let is_it = |found: &Vec<Task>| ids(found) == of_a[..3];
    until(|| hosts(s).to_stop(a, 100), is_it).await;
    let is_both =
        |found: &Vec<Incarnation>| found.len() == 2 && found.contains(&a) && found.contains(&b);
    until(|| hosts(s).holders(), is_both).await;
    assert_eq!(hosts(s).held_by(a, 2).await?.len(), 2);
    assert_eq!(hosts(s).to_stop(a, 1).await?.len(), 1);
    assert!(hosts(s).to_stop(b, 100).await?.is_empty());
    assert!(hosts(s).held_by(Incarnation::new(), 9).await?.is_empty());
    Ok(())
}

pub(super) async fn what_was_taken_over_is_held_no_more(s: &Subject) -> Result<(), StoreError> {
    let (a, b) = (Incarnation::new(), Incarnation::new());
    let task = held(s, "t", a).await?;
    let lost = Event::HostLost {
        fence: task.fence(),
        crashes_max: 5,
    };
    assert_eq!(s.apply("t", lost).await?.outcome, Outcome::Changed);
    until(|| hosts(s).holders(), Vec::is_empty).await;
    let request = crate::queue::ClaimRequest {
        incarnation: b,
        ..claim_request(&["hello"], 1)
    };
    assert_eq!(s.stores.tasks.claim(&request).await?.len(), 1);
    until(|| hosts(s).holders(), |found| *found == [b]).await;
    let late = s.says(
        "t",
        task.fence(),
        crate::event::RunEvent::Stopped {
            end: super::given::no_report(),
        },
    );
    assert_eq!(late.await?.outcome, Outcome::Fenced);
    let taken = s.stores.tasks.get(&key("t")).await?;
    assert_eq!(taken.and_then(|task| task.run.incarnation), Some(b));
    Ok(())
}

pub(super) async fn a_change_of_types_is_told(s: &Subject) -> Result<(), StoreError> {
    let before = hosts(s).list().await?.types_version;
    hosts(s).beat(&host("a")).await?;
    hosts(s).types_changed().await?;
    let is_new = |found: &Hosts| found.types_version != before;
    let after = until(|| hosts(s).list(), is_new).await.types_version;
    hosts(s).types_changed().await?;
    let is_new = |found: &Hosts| found.types_version != after && found.types_version != before;
    until(|| hosts(s).list(), is_new).await;
    Ok(())
}

pub(super) async fn what_was_written_is_told_by_number(s: &Subject) -> Result<(), StoreError> {
    let spaces = [space()];
    s.scheduled("before").await?;
    let begin = until(
        || hosts(s).changed(&spaces, None, 100),
        |it| it.tasks.is_empty(),
    );
    let begin = begin.await.last;
    s.scheduled("a").await?;
    s.scheduled("b").await?;
    s.apply("a", delete()).await?;
    let has_both = |it: &Changed| {
        let state = |id: &str| it.tasks.iter().find(|task| task.key() == key(id));
        let is_deleted = state("a").is_some_and(|task| task.deleted_at.is_some());
        is_deleted && state("b").is_some()
    };
    let found = until(|| hosts(s).changed(&spaces, Some(begin), 1_000), has_both).await;
    assert!(found.last > begin);
    let elsewhere = [Space::parse("elsewhere").expect("it is valid")];
    let none = hosts(s).changed(&elsewhere, Some(begin), 1_000).await?;
    assert!(none.tasks.is_empty());
    Ok(())
}
