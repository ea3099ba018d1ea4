//! Checkpoints as a run keeps them.

use taskhost_clients::error::ErrorCode;
use taskhost_clients::run::RunClients;
use taskhost_clients::stop::StopReason;
use taskhost_store::event::Event;

use crate::bench::{Bench, MIB, code};

#[tokio::test]
async fn what_is_kept_is_loaded_and_forgotten() {
    let bench = Bench::new().await;
    let state = &bench.clients.state;
    assert_eq!(state.load("k").await.unwrap(), None);
    state.save("k", vec![0, 255], 7).await.unwrap();
    let kept = state.load("k").await.unwrap().unwrap();
    assert_eq!((&*kept.value, kept.schema_version), (&[0, 255][..], 7));
    state.delete("k").await.unwrap();
    assert_eq!(state.load("k").await.unwrap(), None);
    assert_eq!(bench.clients.host_calls(), 5);
}

#[tokio::test]
async fn what_is_too_long_or_too_large_is_refused() {
    let bench = Bench::new().await;
    let state = &bench.clients.state;
    for key in ["", &"k".repeat(256)] {
        assert_eq!(code(state.save(key, vec![], 1).await), ErrorCode::Invalid);
        assert_eq!(code(state.load(key).await), ErrorCode::Invalid);
        assert_eq!(code(state.delete(key).await), ErrorCode::Invalid);
    }
    state.save(&"k".repeat(255), vec![], 1).await.unwrap();
    let mib = usize::try_from(MIB).unwrap();
    let saved = state.save("k", vec![0; mib + 1], 1).await;
    assert_eq!(code(saved), ErrorCode::TooLarge);
    for n in 0..7 {
        state.save(&n.to_string(), vec![0; mib], 1).await.unwrap();
    }
    let saved = state.save("7", vec![0; mib], 1).await;
    assert_eq!(code(saved), ErrorCode::TooLarge);
}

#[tokio::test]
async fn it_works_during_the_grace_and_not_without_the_lease() {
    let bench = Bench::new().await;
    let state = &bench.clients.state;
    bench.stop.ask(StopReason::User);
    state.save("k", vec![1], 1).await.unwrap();
    assert!(state.load("k").await.unwrap().is_some());
    let delete = Event::Delete { if_version: None };
    let tasks = &bench.stores.tasks;
    tasks.apply(&bench.info.task, delete).await.unwrap();
    assert_eq!(code(state.save("k", vec![1], 1).await), ErrorCode::Canceled);
    assert_eq!(code(state.load("k").await), ErrorCode::Canceled);
}

#[tokio::test]
async fn outside_of_a_run_there_is_nothing_to_keep() {
    let state = RunClients::describing().state;
    assert_eq!(code(state.save("k", vec![], 1).await), ErrorCode::Denied);
    assert_eq!(code(state.load("k").await), ErrorCode::Denied);
    assert_eq!(code(state.delete("k").await), ErrorCode::Denied);
}
