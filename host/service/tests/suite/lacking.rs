//! A run whose code cannot be loaded as long as its time lasts.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::TypeId;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::{ScheduleRequest, Service};
use taskhost_store::faulty::{Call, Fate, Policy, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::in_memory;

use crate::bench::parts;
use crate::guest;
use crate::hold::PATIENCE;
use crate::people::{key, somebody};

/// No component can be read.
#[derive(Debug)]
struct NoCode;

#[async_trait]
impl Policy for NoCode {
    async fn before(&self, call: Call<'_>) -> Fate {
        match call.name {
            "components.bytes" => Fate::Rejected,
            _ => Fate::Done,
        }
    }

    async fn after(&self, _: Call<'_>) {}
}

#[tokio::test]
async fn a_run_that_never_gets_its_code_says_what_was_lacking() {
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    let policy: Arc<dyn Policy> = Arc::new(NoCode);
    let stores = wrap(&in_memory(Limits::default(), clock.clone()), &policy);
    let service = Service::start(parts(&stores, &clock)).await.unwrap();
    service
        .types
        .push(&somebody(), guest::component(0), None)
        .await
        .unwrap();
    service.begin();
    let request = ScheduleRequest {
        type_id: TypeId::parse(guest::TYPE).unwrap(),
        stream: None,
        params: Arc::from(guest::COMPLETES.to_string()),
        priority: None,
        run_at: None,
        timeout_ms: Some(1_000),
        record: false,
        trace: None,
        condition: None,
    };
    let (tasks, by, key) = (&service.tasks, somebody(), key("t"));
    tasks.schedule(&by, key.clone(), request).await.unwrap();
    let mut view = tasks.get(&by, &key).await.unwrap();
    while !view.status.is_terminal() {
        let since = view.revision();
        view = tasks
            .wait(&by, &key, since, PATIENCE)
            .await
            .unwrap()
            .unwrap();
    }
    let error = view.task.unwrap().error.unwrap();
    assert_eq!(error.kind, ErrorKind::Deadline);
    let expected = "the attempt was not started, since a test rejects the call: its time is";
    assert!(error.message.starts_with(expected), "{}", error.message);
}
