//! What is lost on the way to Elasticsearch: nothing is done twice, and nothing is forgotten.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use taskhost_model::status::Status;

use super::Cluster;
use super::proxy::{self, Trouble};
use crate::conformance::{Subject, given};
use crate::error::StoreError;
use crate::event::{Event, Outcome, RunEvent};

/// An empty store over a way that can be cut.
async fn troubled(cluster: &Cluster) -> (Subject, std::sync::Arc<Trouble>) {
    let mut connection = cluster.connection.clone();
    let (way, trouble) = proxy::before(&connection.urls[0]).await;
    connection.urls = vec![way];
    connection.retry_for = Duration::from_secs(2);
    let through = Cluster {
        connection,
        made: std::sync::Mutex::default(),
    };
    let clock = given::clock();
    let stores = through.open(&cluster.prefix(), &clock).await.unwrap();
    let subject = Subject { stores, clock };
    subject.has_component('a').await.unwrap();
    (subject, trouble)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_done_once() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (s, trouble) = troubled(&cluster).await;
    for number in 0..5 {
        let id = format!("t{number}");
        trouble.cut.store(1, Ordering::SeqCst);
        let scheduled = s.scheduled(&id).await.unwrap();
        assert_eq!(trouble.cut.load(Ordering::SeqCst), 0);
        let stored = s.task(&id).await.unwrap();
        assert_eq!(stored, scheduled);
        let claimed = s.claim(1).await.unwrap().remove(0).task;
        trouble.cut.store(1, Ordering::SeqCst);
        let done = s.completed(&id, claimed.fence(), "{}").await.unwrap();
        assert_eq!(done.version, stored.version + 1, "once");
        assert_eq!(s.task(&id).await.unwrap(), done);
    }
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_is_lost_is_given_once() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (s, trouble) = troubled(&cluster).await;
    for number in 0..10 {
        s.scheduled(&format!("t{number}")).await.unwrap();
    }
    let mut given = Vec::new();
    for round in 0..40 {
        // None, the search, the write of the claims or what is read after it.
        trouble.cut.store(round % 4, Ordering::SeqCst);
        given.extend(s.claim(3).await.unwrap());
    }
    let mut ids: Vec<_> = given.iter().map(|run| run.task.id.to_string()).collect();
    ids.sort();
    let expected: Vec<_> = (0..10).map(|number| format!("t{number}")).collect();
    assert_eq!(ids, expected);
    for run in given {
        assert_eq!(run.task.run.lease_number, 1);
        let id = run.task.id.as_str();
        s.completed(id, run.task.fence(), "{}").await.unwrap();
    }
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_the_moment_is_done_in_a_moment() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (s, trouble) = troubled(&cluster).await;
    for status in [429, 503] {
        trouble.status.store(status, Ordering::SeqCst);
        trouble.busy.store(3, Ordering::SeqCst);
        s.scheduled(&format!("t{status}")).await.unwrap();
        assert_eq!(trouble.busy.load(Ordering::SeqCst), 0);
    }
    assert_eq!(s.claim(9).await.unwrap().len(), 2);
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_away_is_said_and_comes_back() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (s, trouble) = troubled(&cluster).await;
    let fence = s.running("running").await.unwrap();
    trouble.status.store(503, Ordering::SeqCst);
    trouble.busy.store(u32::MAX, Ordering::SeqCst);
    let begun = Instant::now();
    let scheduled = s
        .apply("t", Event::Schedule(Box::new(s.run("hello"))))
        .await;
    assert!(
        matches!(scheduled, Err(StoreError::Unavailable { .. })),
        "{scheduled:?}"
    );
    assert!(matches!(
        s.claim(1).await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(matches!(
        s.stores.writable().await,
        Err(StoreError::Unavailable { .. })
    ));
    assert!(begun.elapsed() < Duration::from_secs(30));
    trouble.busy.store(0, Ordering::SeqCst);
    s.stores.writable().await.unwrap();
    let ended = RunEvent::Completed {
        payload: std::sync::Arc::from("{}"),
        end: given::no_report(),
    };
    let ended = s.says("running", fence, ended).await.unwrap();
    assert_eq!(ended.outcome, Outcome::Changed);
    assert_eq!(s.task("running").await.unwrap().status, Status::Completed);
    cluster.clear().await;
}
