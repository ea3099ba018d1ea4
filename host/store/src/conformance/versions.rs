//! Components (`ComponentStore` 1, 2 and 4), and runs that are pinned to them (`RunQueue` 3).

use std::sync::Arc;

use taskhost_model::ids::Label;

use super::Subject;
use super::given::{at, cancel, claim_request, digest, no_report, type_id};
use crate::components::{COMPONENT_BYTES_MAX, Version, VersionState};
use crate::error::StoreError;
use crate::event::RunEvent;

fn version(digit: char, type_name: &str, uploaded_ms: i64) -> Version {
    Version {
        digest: digest(digit),
        type_id: type_id(type_name),
        descriptor: format!(r#"{{"id":"{type_name}","odd":"\u0000"}}"#),
        state: VersionState::Active,
        bytes: 3,
        uploaded_at: at(uploaded_ms),
        activated_at: Some(at(uploaded_ms)),
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
    components.activate(&digest('a'), at(9)).await?;
    assert_eq!(
        (state(s, 'a').await?, state(s, 'b').await?),
        (Active, Draining)
    );
    components.activate(&digest('a'), at(10)).await?;
    assert_eq!(
        (state(s, 'a').await?, state(s, 'b').await?),
        (Active, Draining)
    );
    assert_eq!(state(s, 'c').await?, Active, "of another type");
    let active = components.get(&digest('a')).await?.expect("it is there");
    assert_eq!(active.activated_at, Some(at(10)));
    components.activate(&digest('f'), at(11)).await?;
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
    former.types[1].digest = digest('c');
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
