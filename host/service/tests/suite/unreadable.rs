//! A stored descriptor that this host cannot read: shown with its trouble, beside all others.

use std::sync::Arc;

use taskhost_model::ids::{Digest, TypeId};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::Service;
use taskhost_service::types::ShownState;
use taskhost_store::components::{Version, VersionState};
use taskhost_store::limits::Limits;
use taskhost_store::open::in_memory;

use crate::bench::parts;
use crate::guest;
use crate::people::somebody;

fn version(digit: char, uploaded_ms: i64, limits: &str) -> Version {
    Version {
        digest: Digest::parse(&digit.to_string().repeat(64)).unwrap(),
        type_id: TypeId::parse("broken").unwrap(),
        descriptor: format!(
            r#"{{"id":"broken","version":"{digit}","title":"Says {digit}","limits":{limits}}}"#
        ),
        state: VersionState::Active,
        bytes: 0,
        uploaded_at: Timestamp::from_ms(uploaded_ms),
        activated_at: None,
        approval: None,
        signed_by: None,
    }
}

#[tokio::test]
async fn one_that_cannot_be_read_is_shown_with_its_trouble_and_hides_no_other() {
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    let stores = in_memory(Limits::default(), clock.clone());
    let (former, active) = (version('a', 1, "{}"), version('b', 2, "[7]"));
    for version in [&former, &active] {
        let put = stores.components.put(version, Arc::from([]));
        assert!(put.await.unwrap());
    }
    let service = Service::start(parts(&stores, &clock)).await.unwrap();
    let types = &service.types;
    types
        .push(&somebody(), guest::component(0), None)
        .await
        .unwrap();
    let all = types.list(&somebody()).await.unwrap();
    let ids: Vec<_> = all.iter().map(|view| view.id.as_str()).collect();
    assert_eq!(ids, ["broken", guest::TYPE]);
    assert_eq!(all[1].versions[0].state, ShownState::Active);
    let view = types.get(&somebody(), &active.type_id).await.unwrap();
    assert_eq!(view.active.as_ref(), Some(&active.digest));
    let [unreadable, readable] = &view.versions[..] else {
        panic!("{view:?}");
    };
    assert_eq!(unreadable.state, ShownState::Rejected);
    let reason = unreadable.reason.as_deref().unwrap();
    assert!(reason.contains("cannot be read (invalid type"), "{reason}");
    assert!(reason.ends_with("push its component again"), "{reason}");
    assert_eq!(
        (readable.title.as_str(), readable.state),
        ("Says a", ShownState::Retired)
    );
    let digest = &active.digest;
    types
        .delete(&somebody(), &active.type_id, digest)
        .await
        .unwrap();
    let left = types.get(&somebody(), &active.type_id).await.unwrap();
    assert_eq!(left.versions.len(), 1);
}
