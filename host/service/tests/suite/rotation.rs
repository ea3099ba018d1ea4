//! The hosts' own key: the same on all of them, and changed without losing a run.

use taskhost_model::status::Status;
use taskhost_service::error::ServiceError;
use taskhost_service::key_ring::KeyRing;

use crate::guest;
use crate::population::{Population, host_on, ring};

#[tokio::test]
async fn a_host_with_another_key_or_none_does_not_start() {
    let it = Population::start().await;
    let other = host_on(&it.stores[0], &it.clock, ring(2), "host-1").await;
    let Err(error @ ServiceError::WrongKey { .. }) = other else {
        panic!("{other:?}");
    };
    let says = error.to_string();
    assert!(
        says.contains("TASKHOST_KEY") && says.contains("former"),
        "{says}"
    );
    let without = crate::bench::parts(&it.stores[0], &it.clock);
    let without = taskhost_service::Service::start(without).await;
    assert!(matches!(without, Err(ServiceError::NoKey)), "{without:?}");
    host_on(&it.stores[0], &it.clock, ring(1), "host-1")
        .await
        .unwrap();
}

#[tokio::test]
async fn runs_outlive_a_change_of_the_hosts_key() {
    let it = Population::start().await;
    it.schedule(&it.who("ann"), "t", guest::READS, Some(guest::STREAM))
        .await
        .unwrap();
    let before = it.keys().await;
    it.service.abandon().await;
    let changed = KeyRing::new([2; 32], vec![[1; 32]]);
    let host = host_on(&it.stores[0], &it.clock, changed.clone(), "host-0")
        .await
        .unwrap();
    // Its sweeper seals anew what was sealed with the former one.
    let resealed = async {
        while it.keys().await[0].sealed == before[0].sealed {
            crate::bench::a_moment().await;
        }
    };
    tokio::time::timeout(crate::hold::PATIENCE, resealed)
        .await
        .unwrap();
    host.abandon().await;
    // The former one is not needed any more, and does not do.
    let former = host_on(&it.stores[0], &it.clock, ring(1), "host-0").await;
    assert!(
        matches!(former, Err(ServiceError::WrongKey { .. })),
        "{former:?}"
    );
    let host = host_on(&it.stores[0], &it.clock, ring(2), "host-0")
        .await
        .unwrap();
    host.begin();
    let task = it.ended("t").await;
    assert_eq!(task.status, Status::Completed, "{:?}", task.error);
    it.until_keys(0).await;
}
