//! Components (`ComponentStore` 1, 2 and 4), and runs that are pinned to them (`RunQueue` 3).

use std::sync::Arc;

use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::Label;

use super::Subject;
use super::given::{at, cancel, claim_request, digest, no_report, type_id};
use crate::components::{Approval, COMPONENT_BYTES_MAX, Paused, Version, VersionState};
use crate::error::StoreError;
use crate::event::{Event, RunEvent};

fn version(digit: char, type_name: &str, uploaded_ms: i64) -> Version {
    Version {
        digest: digest(digit),
        type_id: type_id(type_name),
        descriptor: format!(r#"{{"id":"{type_name}","odd":"\u0000"}}"#),
        state: VersionState::Active,
        bytes: 3,
        uploaded_at: at(uploaded_ms),
        activated_at: Some(at(uploaded_ms)),
        approval: None,
        signed_by: None,
    }
}

fn bytes(content: &[u8]) -> Arc<[u8]> {
    Arc::from(content)
}

async fn state(s: &Subject, digit: char) -> Result<VersionState, StoreError> {
    let found = s.stores.components.get(&digest(digit)).await?;
    Ok(found.expect("the version is there").state)
}

pub(super) async fn a_component_never_changes(s: &Subject) -> Result<(), StoreError> {
    let components = &s.stores.components;
    assert!(components.get(&digest('a')).await?.is_none());
    assert!(components.bytes(&digest('a')).await?.is_none());
    let first = version('a', "hello", 1);
    assert!(components.put(&first, bytes(b"\0asm")).await?);
    let other = version('a', "other", 2);
    assert!(!components.put(&other, bytes(b"other")).await?);
    assert_eq!(components.get(&digest('a')).await?, Some(first));
    assert_eq!(components.bytes(&digest('a')).await?, Some(bytes(b"\0asm")));
    let too_large = vec![0; usize::try_from(COMPONENT_BYTES_MAX).unwrap_or(0) + 1];
    let refused = components
        .put(&version('b', "hello", 1), Arc::from(too_large))
        .await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(components.list().await?.len(), 1);
    Ok(())
}

pub(super) async fn one_version_of_a_type_is_active(s: &Subject) -> Result<(), StoreError> {
    let components = &s.stores.components;
    for (digit, type_name) in [('a', "hello"), ('b', "hello"), ('c', "other")] {
        components
            .put(&version(digit, type_name, 1), bytes(b""))
            .await?;
    }
    use VersionState::{Active, Draining};
    assert_eq!(state(s, 'a').await?, Draining);
    assert_eq!(state(s, 'b').await?, Active);
    components.activate(&digest('a'), at(9), None).await?;
    assert_eq!(
        (state(s, 'a').await?, state(s, 'b').await?),
        (Active, Draining)
    );
    components.activate(&digest('a'), at(10), None).await?;
    assert_eq!(
        (state(s, 'a').await?, state(s, 'b').await?),
        (Active, Draining)
    );
    assert_eq!(state(s, 'c').await?, Active, "of another type");
    let active = components.get(&digest('a')).await?.expect("it is there");
    assert_eq!(active.activated_at, Some(at(10)));
    components.activate(&digest('f'), at(11), None).await?;
    assert_eq!(
        state(s, 'a').await?,
        Active,
        "an unknown digest changes nothing"
    );
    Ok(())
}

pub(super) async fn versions_retire_and_go(s: &Subject) -> Result<(), StoreError> {
    let components = &s.stores.components;
    components
        .put(&version('a', "hello", 1), bytes(b"a"))
        .await?;
    components.retire(&digest('a')).await?;
    assert_eq!(
        state(s, 'a').await?,
        VersionState::Active,
        "only what drains retires"
    );
    components
        .put(&version('b', "hello", 2), bytes(b"b"))
        .await?;
    components.retire(&digest('a')).await?;
    assert_eq!(state(s, 'a').await?, VersionState::Retired);
    assert!(components.delete(&digest('a')).await?);
    assert!(!components.delete(&digest('a')).await?);
    assert!(components.get(&digest('a')).await?.is_none());
    assert!(components.bytes(&digest('a')).await?.is_none());
    assert_eq!(components.bytes(&digest('b')).await?, Some(bytes(b"b")));
    Ok(())
}

/// Two versions of one type, of which the second one is active.
async fn replaced(s: &Subject) -> Result<(), StoreError> {
    for digit in ['a', 'b'] {
        let version = version(digit, "hello", 1);
        s.stores.components.put(&version, bytes(b"")).await?;
    }
    Ok(())
}

pub(super) async fn a_version_stays_as_long_as_a_run_is_pinned_to_it(
    s: &Subject,
) -> Result<(), StoreError> {
    let components = &s.stores.components;
    replaced(s).await?;
    let first = s.running("t").await?;
    components.retire(&digest('a')).await?;
    assert!(!components.delete(&digest('a')).await?, "it runs");
    let back = RunEvent::HandedBack { end: no_report() };
    s.says("t", first, back).await?;
    assert!(!components.delete(&digest('a')).await?, "it runs again");
    let again = s.claim(1).await?.remove(0).task;
    assert_eq!(again.run.digest, Some(digest('a')));
    s.apply("t", cancel()).await?;
    assert!(!components.delete(&digest('a')).await?, "it may run yet");
    assert!(components.bytes(&digest('a')).await?.is_some());
    let stopped = RunEvent::Stopped { end: no_report() };
    s.says("t", again.fence(), stopped).await?;
    assert!(components.delete(&digest('a')).await?);
    Ok(())
}

pub(super) async fn no_run_is_pinned_to_a_version_that_has_gone(
    s: &Subject,
) -> Result<(), StoreError> {
    replaced(s).await?;
    s.scheduled("t").await?;
    s.schedule("other", s.run("other")).await?;
    // Somebody wants to run it on the version that he knows, and that is gone by now.
    let mut former = claim_request(&["hello", "other"], 2);
    let other = version('c', "other", 1);
    s.stores.components.put(&other, bytes(b"")).await?;
    former.types[1].digest = other.digest;
    assert!(s.stores.components.delete(&digest('a')).await?);
    let claimed = s.stores.tasks.claim(&former).await?;
    assert_eq!(claimed.len(), 1, "of the other type alone");
    assert_eq!(claimed[0].task.type_id, type_id("other"));
    let mut newer = former;
    newer.types[0].digest = digest('b');
    let claimed = s.stores.tasks.claim(&newer).await?;
    assert_eq!(claimed[0].task.run.digest, Some(digest('b')));
    Ok(())
}

/// As [`no_run_is_pinned_to_a_version_that_has_gone`], where nothing has taken its place.
pub(super) async fn tasks_wait_when_the_last_version_has_gone(
    s: &Subject,
) -> Result<(), StoreError> {
    let components = &s.stores.components;
    let (last, next) = (version('a', "hello", 1), version('b', "hello", 2));
    components.put(&last, bytes(b"")).await?;
    assert!(components.delete(&digest('a')).await?);
    let late = Event::Schedule(Box::new(s.run("hello")));
    s.apply("t", late).await?;
    assert!(s.claim(1).await?.is_empty());
    components.put(&next, bytes(b"")).await?;
    let mut newer = claim_request(&["hello"], 1);
    newer.types[0].digest = digest('b');
    let claimed = s.stores.tasks.claim(&newer).await?;
    assert_eq!(claimed[0].task.run.digest, Some(digest('b')));
    Ok(())
}

pub(super) async fn the_active_version_stays_as_long_as_a_task_waits_for_it(
    s: &Subject,
) -> Result<(), StoreError> {
    let components = &s.stores.components;
    replaced(s).await?;
    s.scheduled("ready").await?;
    assert!(!components.delete(&digest('b')).await?, "it is due");
    s.apply("ready", cancel()).await?;
    let mut later = s.run("hello");
    later.due_at = at(s.now().as_ms() + 1_000);
    s.schedule("later", later).await?;
    assert!(!components.delete(&digest('b')).await?, "it will be due");
    s.apply("later", cancel()).await?;
    let fence = s.running("t").await?;
    assert!(!components.delete(&digest('b')).await?, "it may run again");
    s.completed("t", fence, "{}").await?;
    s.schedule("other", s.run("other")).await?;
    assert!(components.delete(&digest('b')).await?);
    Ok(())
}

pub(super) async fn the_last_version_frees_the_labels(s: &Subject) -> Result<(), StoreError> {
    let (components, documents) = (&s.stores.components, &s.stores.documents);
    let label = Label::parse("features").expect("it is valid");
    for digit in ['a', 'b'] {
        components
            .put(&version(digit, "hello", 1), bytes(b""))
            .await?;
    }
    documents.take_label(&label, &type_id("hello")).await?;
    components.delete(&digest('a')).await?;
    assert_eq!(documents.label_owner(&label).await?, Some(type_id("hello")));
    components.delete(&digest('b')).await?;
    assert_eq!(documents.label_owner(&label).await?, None);
    Ok(())
}

pub(super) async fn components_are_listed_newest_first(s: &Subject) -> Result<(), StoreError> {
    let components = &s.stores.components;
    assert!(components.list().await?.is_empty());
    for (digit, type_name, ms) in [('a', "b", 1), ('b', "a", 1), ('c', "b", 2), ('d', "a", 2)] {
        components
            .put(&version(digit, type_name, ms), bytes(b""))
            .await?;
    }
    let listed: Vec<_> = components
        .list()
        .await?
        .into_iter()
        .map(|it| it.digest)
        .collect();
    assert_eq!(listed, [digest('d'), digest('b'), digest('c'), digest('a')]);
    Ok(())
}

pub(super) async fn an_approval_is_kept_with_what_it_makes_active(
    s: &Subject,
) -> Result<(), StoreError> {
    let components = &s.stores.components;
    components
        .put(&version('a', "hello", 1), bytes(b"a"))
        .await?;
    let waiting = Version {
        state: VersionState::PendingApproval,
        activated_at: None,
        signed_by: Some("first".to_owned()),
        ..version('b', "hello", 2)
    };
    components.put(&waiting, bytes(b"b")).await?;
    assert_eq!(components.get(&digest('b')).await?, Some(waiting.clone()));
    assert_eq!(state(s, 'a').await?, VersionState::Active, "it goes on");
    components.retire(&digest('b')).await?;
    assert_eq!(state(s, 'b').await?, VersionState::PendingApproval);
    let allowed = Capabilities {
        secrets: vec![Label::parse("key").expect("it is valid")],
        ..Capabilities::default()
    };
    let approval = Approval {
        by: "bob".to_owned(),
        at: at(3),
        allowed,
    };
    components
        .activate(&digest('b'), at(3), Some(&approval))
        .await?;
    assert_eq!(state(s, 'a').await?, VersionState::Draining);
    components.activate(&digest('a'), at(4), None).await?;
    components.activate(&digest('b'), at(5), None).await?;
    components.sign(&digest('b'), "second").await?;
    components.sign(&digest('f'), "of nothing").await?;
    let expected = Version {
        state: VersionState::Active,
        activated_at: Some(at(5)),
        approval: Some(approval),
        signed_by: Some("second".to_owned()),
        ..waiting
    };
    assert_eq!(components.get(&digest('b')).await?, Some(expected));
    Ok(())
}

pub(super) async fn a_type_is_paused_until_it_goes_on_or_is_gone(
    s: &Subject,
) -> Result<(), StoreError> {
    let components = &s.stores.components;
    let paused = |reason: Option<&str>| Paused {
        by: "bob".to_owned(),
        at: at(1),
        reason: reason.map(ToOwned::to_owned),
    };
    assert_eq!(components.paused().await?, []);
    components
        .put(&version('a', "hello", 1), bytes(b"a"))
        .await?;
    let hello = type_id("hello");
    components
        .set_paused(&hello, Some(&paused(Some("it ' floods"))))
        .await?;
    let other = paused(None);
    components
        .set_paused(&type_id("other"), Some(&other))
        .await?;
    let expected = [
        (hello.clone(), paused(Some("it ' floods"))),
        (type_id("other"), other.clone()),
    ];
    assert_eq!(components.paused().await?, expected);
    components.set_paused(&hello, Some(&other)).await?;
    assert_eq!(components.paused().await?[0], (hello.clone(), other));
    components.set_paused(&type_id("other"), None).await?;
    components.set_paused(&type_id("none"), None).await?;
    assert_eq!(components.paused().await?.len(), 1);
    components.delete(&digest('a')).await?;
    assert_eq!(components.paused().await?, []);
    Ok(())
}
