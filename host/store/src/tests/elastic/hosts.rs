//! Several hosts on one store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use taskhost_model::task::Fence;

use super::Cluster;
use crate::conformance::{Subject, given};
use crate::error::StoreError;
use crate::event::{Event, NewRun, RunEvent};
use crate::queue::ClaimRequest;

/// Hosts on one new store, with one clock.
async fn hosts(cluster: &Cluster, count: usize) -> Vec<Subject> {
    let (prefix, clock) = (cluster.prefix(), given::clock());
    let mut hosts = Vec::new();
    for _ in 0..count {
        let stores = cluster.open(&prefix, &clock).await.unwrap();
        let clock = clock.clone();
        hosts.push(Subject { stores, clock });
    }
    hosts[0].has_component('a').await.unwrap();
    hosts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_race_claim_each_run_once() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let hosts = hosts(&cluster, 3).await;
    let ids: Vec<String> = (0..300).map(|number| format!("t{number}")).collect();
    hosts[0].scheduled_at_once(&ids).await.unwrap();
    // The others see what they have not written themselves.
    hosts[0].settle().await.unwrap();
    let claimed = Arc::new(AtomicU64::new(0));
    let claiming = hosts
        .iter()
        .flat_map(|host| [host.clone(), host.clone()])
        .map(|host| {
            let claimed = Arc::clone(&claimed);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while claimed.load(Ordering::SeqCst) < 300 {
                    let runs = host.claim(7).await?;
                    claimed.fetch_add(runs.len() as u64, Ordering::SeqCst);
                    mine.extend(runs);
                }
                Ok::<_, StoreError>(mine)
            })
        });
    let mut seen = BTreeSet::new();
    for claiming in claiming.collect::<Vec<_>>() {
        for run in claiming.await.unwrap().unwrap() {
            assert_eq!(run.task.run.lease_number, 1);
            assert!(
                seen.insert(run.task.id.clone()),
                "{} was given twice",
                run.task.id
            );
        }
    }
    assert_eq!(seen.len(), 300);
    cluster.clear().await;
}

/// A claim of type `hello`, of whose keys so many runs are at work at once.
fn bounded(most: u64) -> ClaimRequest {
    let mut request = given::claim_request(&["hello"], 10);
    request.types[0].runs_per_key = Some(most);
    request
}

/// Claims and ends runs until all of them have ended; how many were at work at once at most.
async fn work_off(hosts: &[Subject], runs: u64, most: u64) -> u64 {
    let (at_work, highest, ended) = <(Arc<AtomicU64>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
    let working = hosts.iter().cloned().map(|host| {
        let (at_work, highest, ended) = (at_work.clone(), highest.clone(), ended.clone());
        tokio::spawn(async move {
            while ended.load(Ordering::SeqCst) < runs {
                for run in host.stores.tasks.claim(&bounded(most)).await.unwrap() {
                    let now = at_work.fetch_add(1, Ordering::SeqCst) + 1;
                    highest.fetch_max(now, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    host.completed(run.task.id.as_str(), run.task.fence(), "{}")
                        .await
                        .unwrap();
                    ended.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
    });
    for working in working.collect::<Vec<_>>() {
        working.await.unwrap();
    }
    assert_eq!(ended.load(Ordering::SeqCst), runs);
    highest.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_holds_over_all_hosts() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    for most in [1, 2] {
        let hosts = hosts(&cluster, 2).await;
        for number in 0..20 {
            let run = NewRun {
                concurrency_key: Some("one".to_owned()),
                ..hosts[number % 2].run("hello")
            };
            let id = format!("t{number}");
            hosts[number % 2].schedule(&id, run).await.unwrap();
        }
        hosts[0].settle().await.unwrap();
        let highest = work_off(&hosts, 20, most).await;
        assert!(highest <= most, "{highest} at once");
        let (space, type_id) = (given::space(), given::type_id("hello"));
        let held = hosts[1].stores.tasks.holders(&space, &type_id, "one");
        assert_eq!(held.await.unwrap(), []);
    }
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_run_is_pinned_to_what_another_host_has_deleted() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let hosts = hosts(&cluster, 2).await;
    // This host has seen the component, and does not look again before it claims.
    assert!(hosts[0].claim(1).await.unwrap().is_empty());
    let components = &hosts[1].stores.components;
    assert!(components.delete(&given::digest('a')).await.unwrap());
    let run = Event::Schedule(Box::new(hosts[0].run("hello")));
    hosts[0].apply("t", run).await.unwrap();
    assert!(hosts[0].claim(1).await.unwrap().is_empty());
    let task = hosts[1].task("t").await.unwrap();
    assert_eq!((task.run.digest, task.run.lease_number), (None, 0));
    // It is claimed as any other when there is one again.
    hosts[1].has_component('b').await.unwrap();
    let mut request = given::claim_request(&["hello"], 1);
    request.types[0].digest = given::digest('b');
    let claimed = hosts[0].stores.tasks.claim(&request).await.unwrap();
    assert_eq!(claimed[0].task.run.digest, Some(given::digest('b')));
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_host_remembers_another_may_have_changed() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let hosts = hosts(&cluster, 2).await;
    let fence: Fence = hosts[0].running("t").await.unwrap();
    hosts[1].apply("t", given::cancel()).await.unwrap();
    // Decided on what it remembers the run would have completed.
    let ended = RunEvent::Completed {
        payload: Arc::from("{}"),
        end: given::no_report(),
    };
    let applied = hosts[0].says("t", fence, ended).await.unwrap();
    let status = applied.task.unwrap().status;
    assert_eq!(status, taskhost_model::status::Status::Canceled);
    cluster.clear().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_host_schedules_holds_its_key_for_all() {
    let Some(cluster) = Cluster::find() else {
        return;
    };
    let hosts = hosts(&cluster, 3).await;
    let keys = |host: &Subject| host.stores.people.clone().unwrap().keys;
    for number in 0..10 {
        let key = given::run_key("ann");
        keys(&hosts[0]).put(&key).await.unwrap();
        let run = NewRun {
            key: Some(key.id),
            ..hosts[1].run("hello")
        };
        let id = format!("t{number}");
        hosts[1].schedule(&id, run).await.unwrap();
        let held = keys(&hosts[2]).held(&[key.id]).await.unwrap();
        assert_eq!(held, [key.id]);
        assert_eq!(
            keys(&hosts[2]).get(key.id).await.unwrap(),
            Some(key.clone())
        );
        hosts[1].apply(&id, given::cancel()).await.unwrap();
        assert!(keys(&hosts[2]).held(&[key.id]).await.unwrap().is_empty());
    }
    // Hosts with keys of their own: one is first, and all are told the same.
    let texts: [&[u8]; 3] = [b"0", b"1", b"2"];
    let checking = hosts.iter().zip(texts).map(|(host, text)| {
        let keys = keys(host);
        async move { keys.check(text).await.unwrap() }
    });
    let told = futures_util::future::join_all(checking).await;
    assert!(told.iter().all(|it| *it == told[0]), "{told:?}");
    let replacing = hosts.iter().zip(texts).map(|(host, text)| {
        let (keys, old, new) = (keys(host), told[0].clone(), [text, text].concat());
        async move { keys.replace_check(&old, &new).await.unwrap() }
    });
    let replaced = futures_util::future::join_all(replacing).await;
    let stored = keys(&hosts[0]).check(b"late").await.unwrap();
    for (is_it, text) in replaced.into_iter().zip(texts) {
        assert_eq!(is_it, [text, text].concat() == stored);
    }
    cluster.clear().await;
}
