//! The indices, and what Elasticsearch itself has to be able to do.

use std::time::Duration;

use serde_json::{Value, json};

use super::Cluster;
use crate::checkpoints::{Checkpoint, RunOfTask};
use crate::conformance::{Subject, given};
use crate::elastic::Elastic;
use crate::elastic::client::{Authorization, Request};
use crate::error::StoreError;
use crate::event::{Event, NewRun, Outcome};
use crate::limits::Limits;
use crate::open::OpenError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_start_at_once_make_the_indices_once() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (prefix, clock) = (cluster.prefix(), given::clock());
    let opening = (0..5).map(|_| cluster.open(&prefix, &clock));
    let mut opened = Vec::new();
    for stores in futures_util::future::join_all(opening).await {
        let stores = stores.unwrap();
        opened.push(Subject {
            stores,
            clock: clock.clone(),
        });
    }
    opened[0].scheduled("t").await.unwrap();
    let found = opened[4].task("t").await.unwrap();
    assert_eq!(found.id.as_str(), "t");
    let mapping = Request::get(format!("{prefix}_tasks/_mapping"));
    let mapping: Value = cluster
        .client()
        .send(&mapping)
        .await
        .unwrap()
        .json()
        .unwrap();
    let mapping = &mapping[format!("{prefix}_tasks-000001")]["mappings"];
    assert_eq!(mapping["dynamic"], "strict");
    assert_eq!(mapping["properties"]["task"]["enabled"], false);
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_newer_version_or_somebody_else_has_made_is_left_alone() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (prefix, clock) = (cluster.prefix(), given::clock());
    cluster.open(&prefix, &clock).await.unwrap();
    for (meta, expected) in [
        (json!({ "version": 999 }), "is of schema 999"),
        (json!({ "by": "somebody" }), "was not made by taskhost"),
    ] {
        let change = Request::put(format!("{prefix}_task_documents/_mapping"));
        let change = change.json(&json!({ "_meta": meta }));
        cluster.client().expect(&change, &[200]).await.unwrap();
        let refused = cluster.open(&prefix, &clock).await.unwrap_err();
        let OpenError::Elastic(error @ StoreError::Corrupt { .. }) = refused else {
            panic!("{refused}");
        };
        assert!(error.to_string().contains(expected), "{error}");
    }
    // An older one is brought up to date.
    let change = Request::put(format!("{prefix}_task_documents/_mapping"));
    let change = change.json(&json!({ "_meta": { "version": 0 } }));
    cluster.client().expect(&change, &[200]).await.unwrap();
    cluster.open(&prefix, &clock).await.unwrap();
    let mapping = Request::get(format!("{prefix}_task_documents/_mapping"));
    let mapping: Value = cluster
        .client()
        .send(&mapping)
        .await
        .unwrap()
        .json()
        .unwrap();
    let mapping = &mapping[format!("{prefix}_task_documents-000001")]["mappings"];
    assert_eq!(mapping["_meta"]["version"], crate::elastic::SCHEMA_VERSION);
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_conflicts_does_not_hurt_its_neighbors() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (prefix, clock) = (cluster.prefix(), given::clock());
    let stores = cluster.open(&prefix, &clock).await.unwrap();
    let other = cluster.open(&prefix, &clock).await.unwrap();
    let s = Subject {
        stores,
        clock: clock.clone(),
    };
    let ids: Vec<String> = (0..60).map(|number| format!("t{number}")).collect();
    s.scheduled_at_once(&ids).await.unwrap();
    // This store remembers all of them; another has changed every third.
    for id in ids.iter().step_by(3) {
        other
            .tasks
            .apply(&given::key(id), given::cancel())
            .await
            .unwrap();
    }
    let canceling = ids.iter().map(|id| s.apply(id, given::cancel()));
    let canceled = futures_util::future::join_all(canceling).await;
    for (number, applied) in canceled.into_iter().enumerate() {
        let was_canceled = number % 3 == 0;
        let expected = if was_canceled {
            Outcome::Unchanged
        } else {
            Outcome::Changed
        };
        assert_eq!(applied.unwrap().outcome, expected, "t{number}");
    }
    // Many schedules of one new id: one is accepted.
    let each = (0..20).map(|_| s.apply("new", Event::Schedule(Box::new(s.run("hello")))));
    let all = futures_util::future::join_all(each).await;
    let changed = all.into_iter().filter(|it| {
        let outcome = it.as_ref().map(|applied| applied.outcome);
        outcome.is_ok_and(|outcome| outcome == Outcome::Changed)
    });
    assert_eq!(changed.count(), 1);
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_may_have_the_rights_of_an_api_key_alone() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let client = cluster.client();
    let (mine, other) = (cluster.prefix(), cluster.prefix());
    for prefix in [&mine, &other] {
        let request = Request::put(format!("{prefix}_logs"));
        client.expect(&request, &[200]).await.unwrap();
    }
    let rights = json!({ "name": "one stream", "expiration": "1h", "role_descriptors": {
        "reader": { "indices": [{ "names": [format!("{mine}_logs")], "privileges": ["read"] }] },
    } });
    let request = Request::post("_security/api_key").json(&rights);
    let key: Value = client
        .expect(&request, &[200])
        .await
        .unwrap()
        .json()
        .unwrap();
    let encoded = key["encoded"].as_str().unwrap();
    let key = Authorization::new(&format!("ApiKey {encoded}")).unwrap();
    for (prefix, expected) in [(&mine, 200), (&other, 403)] {
        let search = Request::post(format!("{prefix}_logs/_search")).by(&key);
        assert_eq!(client.send(&search).await.unwrap().status, expected);
    }
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_can_read_any_more_is_swept_out() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let (prefix, clock) = (cluster.prefix(), given::clock());
    let stores = cluster.open(&prefix, &clock).await.unwrap();
    let s = Subject { stores, clock };
    let (connection, limits) = (&cluster.connection, Limits::default());
    let sweeper = Elastic::open(connection, &prefix, limits, s.clock.clone())
        .await
        .unwrap();
    let long = || NewRun {
        params: format!("\"{}\"", "x".repeat(10_000)).into(),
        ..s.run("hello")
    };
    // A checkpoint, a run whose params are long, and one that is replaced by another such run.
    let fence = s.running("kept").await.unwrap();
    let run = RunOfTask {
        task: given::key("kept"),
        fence,
    };
    let checkpoint = Checkpoint {
        value: [7; 9].into(),
        schema_version: 1,
    };
    let checkpoints = &s.stores.checkpoints;
    checkpoints
        .save(&run, "k", checkpoint.clone())
        .await
        .unwrap();
    s.schedule("long", long()).await.unwrap();
    s.settle().await.unwrap();
    assert_eq!(sweeper.sweep(Duration::ZERO).await.unwrap(), 0);
    assert_eq!(checkpoints.load(&run, "k").await.unwrap(), Some(checkpoint));
    s.apply("long", given::cancel()).await.unwrap();
    let second = long();
    s.schedule("long", second.clone()).await.unwrap();
    s.completed("kept", fence, "{}").await.unwrap();
    s.settle().await.unwrap();
    assert_eq!(
        sweeper.sweep(Duration::from_secs(3600)).await.unwrap(),
        1,
        "their names"
    );
    assert_eq!(sweeper.sweep(Duration::ZERO).await.unwrap(), 2);
    let read = s
        .stores
        .tasks
        .read(&given::key("long"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read.params, second.params);
    cluster.clear().await;
}
