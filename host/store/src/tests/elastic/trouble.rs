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
async fn keys_and_their_check_are_written_once_though_the_answer_is_lost() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (s, trouble) = troubled(&cluster).await;
    let keys = s.stores.people.clone().unwrap().keys;
    let lose = || trouble.cut.store(1, Ordering::SeqCst);
    let key = given::run_key("ann");
    lose();
    keys.put(&key).await.unwrap();
    lose();
    assert_eq!(keys.get(key.id).await.unwrap().as_ref(), Some(&key));
    for (lost, expected) in [(1, &b"ours"[..]), (2, b"ours"), (3, b"ours")] {
        trouble.cut.store(lost, Ordering::SeqCst);
        assert_eq!(keys.check(b"ours").await.unwrap(), expected);
    }
    trouble.cut.store(2, Ordering::SeqCst);
    assert!(keys.replace_check(b"ours", b"new").await.unwrap());
    assert!(!keys.replace_check(b"ours", b"newer").await.unwrap());
    trouble.cut.store(2, Ordering::SeqCst);
    keys.reseal(key.id, vec![1]).await.unwrap();
    assert_eq!(keys.get(key.id).await.unwrap().unwrap().sealed, [1]);
    let mut run = s.run("hello");
    run.key = Some(key.id);
    lose();
    s.schedule("t", run).await.unwrap();
    for lost in 0..3 {
        trouble.cut.store(lost, Ordering::SeqCst);
        assert_eq!(keys.held(&[key.id]).await.unwrap(), [key.id]);
    }
    lose();
    keys.remove(&[key.id]).await.unwrap();
    assert_eq!(keys.get(key.id).await.unwrap(), None);
    // Whether it is held nobody can say who cannot look: none is taken for free.
    trouble.status.store(503, Ordering::SeqCst);
    trouble.busy.store(u32::MAX, Ordering::SeqCst);
    let held = keys.held(&[key.id]).await;
    assert!(
        matches!(held, Err(StoreError::Unavailable { .. })),
        "{held:?}"
    );
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
