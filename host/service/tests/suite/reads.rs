//! Runs that read streams, over a store that lets no such read go.

use std::sync::Arc;

use taskhost_model::ids::{StreamKey, StreamName, TypeId};
use taskhost_model::status::Status;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::{ScheduleRequest, Service};
use taskhost_store::faulty::{Policy, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::in_memory;
use taskhost_store::streams::{READS_AT_ONCE, StreamSettings};

use crate::bench::{a_moment, parts};
use crate::guest;
use crate::hold::{Hold, until};
use crate::people::{key, somebody, space};

const RUNS: usize = 5;

async fn schedule(service: &Service, id: &str, stream: &StreamName) {
    let request = ScheduleRequest {
        type_id: TypeId::parse(guest::TYPE).unwrap(),
        stream: Some(stream.clone()),
        params: Arc::from(guest::COUNTS.to_string()),
        priority: None,
        run_at: None,
        timeout_ms: None,
        record: false,
        trace: None,
        condition: None,
    };
    let (tasks, by) = (&service.tasks, somebody());
    tasks.schedule(&by, key(id), request).await.unwrap();
}

#[tokio::test]
async fn all_runs_of_a_host_leave_one_read_to_people() {
    let hold = Hold::of("streams.count", usize::MAX);
    let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
    let policy: Arc<dyn Policy> = Arc::<Hold>::clone(&hold);
    let stores = wrap(&in_memory(Limits::default(), clock.clone()), &policy);
    let service = Service::start(parts(&stores, &clock)).await.unwrap();
    let reader = guest::of_type(guest::TYPE, 0, r#""stream":"required","#);
    service.types.push(&somebody(), reader, None).await.unwrap();
    let name = StreamName::parse(guest::STREAM).unwrap();
    let stream = StreamKey {
        space: space(),
        name: name.clone(),
    };
    let (streams, by) = (&service.streams, somebody());
    let settings = StreamSettings::default();
    streams.put(&by, &stream, &settings).await.unwrap();
    service.begin();
    let ids: Vec<String> = (0..RUNS).map(|n| format!("t{n}")).collect();
    for id in &ids {
        schedule(&service, id, &name).await;
    }
    let share = READS_AT_ONCE as usize - 1;
    hold.until_come(share).await;
    until(|| service.health().running == RUNS).await;
    // Nobody can see that a guest waits for its turn: it gets far more time than it needs.
    for _ in 0..500 {
        a_moment().await;
    }
    assert_eq!(hold.come(), share);
    hold.let_all_go();
    until(|| service.health().running == 0).await;
    assert_eq!(hold.come(), RUNS);
    for id in &ids {
        let view = service.tasks.get(&somebody(), &key(id)).await.unwrap();
        assert_eq!(view.status, Status::Completed, "{id}");
    }
}
