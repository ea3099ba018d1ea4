//! What a guest may say of children, before anybody is asked, and what it is answered.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskhost_clients::children::{ChildRuns, ChildState, ChildWish, no_child};
use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::run::RunClients;
use taskhost_clients::stop::StopReason;
use taskhost_model::ids::{TaskId, TypeId};

use crate::bench::{Bench, MIB, code};

/// Knows one child, `child-1`, which ends when it is asked to or never.
#[derive(Debug, Default)]
struct One {
    wishes: Mutex<Vec<ChildWish>>,
    result: Mutex<Option<Arc<str>>>,
    canceled: Mutex<Vec<TaskId>>,
}

impl One {
    fn state(&self) -> ChildState {
        let result = self.result.lock().unwrap().clone();
        ChildState {
            id: TaskId::parse("child-1").unwrap(),
            key: Some("a".to_owned()),
            status: if result.is_some() {
                "completed"
            } else {
                "in_progress"
            },
            ended: result.is_some(),
            progress: None,
            error: None,
            result,
        }
    }
}

#[async_trait]
impl ChildRuns for One {
    async fn spawn(&self, wish: ChildWish) -> Result<TaskId, ClientError> {
        self.wishes.lock().unwrap().push(wish);
        Ok(self.state().id)
    }

    async fn status(&self, id: &TaskId) -> Result<ChildState, ClientError> {
        let state = self.state();
        if *id == state.id {
            Ok(state)
        } else {
            Err(no_child(id.as_str()))
        }
    }

    async fn wait_any(&self, _: &[TaskId], _: Duration) -> Result<Option<ChildState>, ClientError> {
        let state = self.state();
        if state.ended {
            return Ok(Some(state));
        }
        std::future::pending().await
    }

    async fn cancel(&self, id: &TaskId) -> Result<(), ClientError> {
        self.canceled.lock().unwrap().push(id.clone());
        Ok(())
    }
}

async fn bench() -> (Bench, Arc<One>) {
    let one = Arc::new(One::default());
    let types = |names: &[&str]| -> Vec<TypeId> {
        let parsed = names.iter().map(|name| TypeId::parse(name).unwrap());
        parsed.collect()
    };
    let bench = Bench::with(|parts| {
        parts.children = Some(Arc::<One>::clone(&one));
        parts.grants.asked.children = types(&["hello", "asked"]);
        parts.grants.allowed.children = types(&["hello", "allowed"]);
        parts.memory_bytes = MIB;
    });
    (bench.await, one)
}

#[tokio::test]
async fn a_child_is_of_a_type_that_both_sides_allow() {
    let (bench, one) = bench().await;
    let children = &bench.clients.children;
    let options = r#"{"priority":-7,"timeout_ms":9}"#;
    let id = children.spawn("a", "hello", r#"{"name":"you"}"#, Some(options));
    assert_eq!(id.await.unwrap(), "child-1");
    let wish = one.wishes.lock().unwrap().remove(0);
    assert_eq!(
        (wish.key.as_str(), &*wish.params),
        ("a", r#"{"name":"you"}"#)
    );
    assert_eq!((wish.priority, wish.timeout_ms), (Some(-7), Some(9)));
    for task_type in ["asked", "allowed", "other"] {
        let refused = children.spawn("a", task_type, "{}", None).await;
        assert_eq!(code(refused), ErrorCode::Denied, "{task_type}");
    }
    assert!(one.wishes.lock().unwrap().is_empty());
    let told = bench.said.log.lock().unwrap();
    assert_eq!(told.len(), 3, "the run's log has each denial");
    assert!(told[1].message.contains("capabilities.children"));
}

#[tokio::test]
async fn what_cannot_be_meant_is_invalid() {
    let (bench, one) = bench().await;
    let children = &bench.clients.children;
    for key in ["", "-a", "a b", "ä", &"x".repeat(65)] {
        let refused = children.spawn(key, "hello", "{}", None).await;
        assert_eq!(code(refused), ErrorCode::Invalid, "{key}");
    }
    for (params, options) in [
        ("{", None),
        (r#"{"a":1,"a":2}"#, None),
        ("{}", Some("[]")),
        ("{}", Some(r#"{"priority":101}"#)),
        ("{}", Some(r#"{"timeout_ms":0}"#)),
        ("{}", Some(r#"{"run_at":7}"#)),
    ] {
        let refused = children.spawn("a", "hello", params, options).await;
        assert_eq!(code(refused), ErrorCode::Invalid, "{params} {options:?}");
    }
    let none = children.wait_any(&[], 1).await;
    assert_eq!(code(none), ErrorCode::Invalid);
    let many = vec!["child-1".to_owned(); 1_001];
    assert_eq!(code(children.wait_any(&many, 1).await), ErrorCode::Invalid);
    for id in ["", "a b", "child-2"] {
        assert_eq!(code(children.status(id).await), ErrorCode::NotFound, "{id}");
    }
    assert!(one.wishes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_result_is_handed_over_as_it_is_unless_it_is_too_large() {
    let (bench, one) = bench().await;
    let children = &bench.clients.children;
    let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let living = json!({"id": "child-1", "key": "a", "status": "in_progress", "ended": false});
    assert_eq!(read(children.status("child-1").await.unwrap()), living);
    *one.result.lock().unwrap() = Some(Arc::from(r#"{"big":12345678901234567890}"#));
    let ids = ["child-1".to_owned()];
    let ended = children.wait_any(&ids, 1).await.unwrap().unwrap();
    assert!(
        ended.contains(r#""result":{"big":12345678901234567890}"#),
        "{ended}"
    );
    let large = format!("\"{}\"", "x".repeat(300 * 1024));
    *one.result.lock().unwrap() = Some(Arc::from(large));
    let ended = read(children.status("child-1").await.unwrap());
    assert_eq!(ended["left_out"]["result_bytes"], 300 * 1024 + 2);
    assert!(ended.get("result").is_none());
}

#[tokio::test]
async fn whoever_waits_hears_that_it_is_to_stop_and_may_still_cancel() {
    for (reason, expected) in [
        (StopReason::User, ErrorCode::Canceled),
        (StopReason::Drain, ErrorCode::Canceled),
        (StopReason::Deadline, ErrorCode::Deadline),
    ] {
        let (bench, one) = bench().await;
        let children = &bench.clients.children;
        let ids = ["child-1".to_owned()];
        let asked = async { bench.stop.ask(reason) };
        let (waited, ()) = tokio::join!(children.wait_any(&ids, u64::MAX), asked);
        assert_eq!(code(waited), expected);
        assert_eq!(
            code(children.spawn("a", "hello", "{}", None).await),
            expected
        );
        children.cancel("child-1").await.unwrap();
        assert_eq!(one.canceled.lock().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_suspended_hears_nothing_and_does_not_stand_still() {
    let (bench, _) = bench().await;
    bench.clients.enter();
    let ids = ["child-1".to_owned()];
    let suspended = async {
        tokio::task::yield_now().await;
        bench.stop.suspend();
        bench.stop.until_interrupted().await;
        bench.clients.until_still(Duration::ZERO).await;
    };
    let waiting = bench.clients.children.wait_any(&ids, u64::MAX);
    let either = async {
        tokio::select! {
            biased;
            answer = waiting => panic!("{answer:?}"),
            () = suspended => panic!("it stood still"),
        }
    };
    let hour = Duration::from_secs(3_600);
    assert!(tokio::time::timeout(hour, either).await.is_err());
    assert!(!bench.stop.told());
}

#[tokio::test]
async fn there_are_none_outside_of_a_run() {
    let clients = RunClients::describing();
    let answer = clients.children.spawn("a", "hello", "{}", None).await;
    assert_eq!(code(answer), ErrorCode::Denied);
    assert_eq!(
        code(clients.children.cancel("child-1").await),
        ErrorCode::Denied
    );
}
