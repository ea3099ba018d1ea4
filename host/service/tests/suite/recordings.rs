//! Recordings: who may have one, who reads it, and when it is gone. The runs sweep themselves: the
//! sweeper's time is tokio's, and what it measures a day by is the test's own clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::ids::{StreamKey, StreamName, TypeId};
use taskhost_model::requester::Requester;
use taskhost_model::status::RunState;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_service::error::ServiceError;
use taskhost_service::policy::Rule;
use taskhost_service::recording::{Head, LastLine};
use taskhost_service::{ScheduleRequest, Service};
use taskhost_store::faulty::{Call, Fate, Policy, wrap};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};
use taskhost_store::streams::StreamSettings;

use crate::bench::{a_moment, parts};
use crate::guest;
use crate::hold::PATIENCE;
use crate::people::{key, somebody, space};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Rejects what a sweep asks of the store but for recordings, once it is told to.
#[derive(Debug, Default)]
struct SweepFails(AtomicBool);

#[async_trait]
impl Policy for SweepFails {
    async fn before(&self, call: Call<'_>) -> Fate {
        let is_of_sweep = [
            "tasks.held",
            "tasks.remove_tombstones",
            "tasks.parents",
            "tasks.unfinished",
            "streams.enforce_retention",
        ]
        .contains(&call.name);
        if is_of_sweep && self.0.load(Ordering::SeqCst) {
            return Fate::Rejected;
        }
        Fate::Done
    }

    async fn after(&self, _: Call<'_>) {}
}

pub(crate) struct Host {
    pub(crate) service: Service,
    stores: Stores,
    clock: Clock,
}

impl Host {
    async fn start(is_allowed: bool) -> Self {
        Self::start_on(is_allowed, |stores| stores).await
    }

    /// On a store that is not as it should be.
    pub(crate) async fn start_on(is_allowed: bool, spoil: impl FnOnce(Stores) -> Stores) -> Self {
        let clock = Clock::manual(Timestamp::from_ms(1_795_000_000_000));
        let stores = spoil(in_memory(Limits::default(), clock.clone()));
        Self::of(is_allowed, stores, clock).await
    }

    async fn of(is_allowed: bool, stores: Stores, clock: Clock) -> Self {
        let mut parts = parts(&stores, &clock);
        parts.settings.sweep_interval = Duration::from_millis(5);
        parts.settings.policy.rules = vec![Rule {
            type_id: TypeId::parse(guest::TYPE).ok(),
            record: is_allowed,
            ..Rule::default()
        }];
        let service = Service::start(parts).await.unwrap();
        let component = guest::of_type(guest::TYPE, 0, r#""stream":"optional","#);
        service
            .types
            .push(&somebody(), component, None)
            .await
            .unwrap();
        service.begin();
        Self {
            service,
            stores,
            clock,
        }
    }

    /// Runs a task to its end.
    async fn run(&self, id: &str, stream: bool, record: bool) -> Result<(), ServiceError> {
        let kind = if stream { guest::COUNTS } else { guest::FAILS };
        self.schedule(id, kind, (stream, record)).await?;
        self.ends(id).await
    }

    pub(crate) async fn schedule(
        &self,
        id: &str,
        kind: u8,
        (stream, record): (bool, bool),
    ) -> Result<(), ServiceError> {
        let request = ScheduleRequest {
            type_id: TypeId::parse(guest::TYPE).unwrap(),
            stream: stream.then(|| StreamName::parse(guest::STREAM).unwrap()),
            params: Arc::from(kind.to_string()),
            priority: None,
            run_at: None,
            timeout_ms: None,
            record,
            trace: None,
            condition: None,
        };
        let tasks = &self.service.tasks;
        tasks.schedule(&somebody(), key(id), request).await?;
        Ok(())
    }

    pub(crate) async fn ends(&self, id: &str) -> Result<(), ServiceError> {
        let tasks = &self.service.tasks;
        loop {
            let view = tasks.get(&somebody(), &key(id)).await?;
            if view.status.is_terminal() {
                return Ok(());
            }
            // What waits to be tried again is due by the test's own clock.
            self.clock.advance(Duration::from_millis(50));
            let wait = Duration::from_millis(20);
            tasks
                .wait(&somebody(), &key(id), view.revision(), wait)
                .await?;
        }
    }

    /// The lines of a recording; none where there is none for whoever asks.
    pub(crate) async fn read(
        &self,
        by: &Requester,
        id: &str,
        attempt: Option<u32>,
    ) -> Option<Vec<String>> {
        let read = self.service.tasks.recording(by, &key(id), attempt).await;
        let (mut text, mut rest) = match read {
            Ok(read) => read,
            Err(ServiceError::NotFound { .. }) => return None,
            Err(error) => panic!("{error}"),
        };
        while let Some(piece) = rest.next().await {
            text.extend(piece);
        }
        let text = String::from_utf8(text).unwrap();
        Some(text.lines().map(str::to_owned).collect())
    }

    async fn make_stream(&self) -> StreamKey {
        let stream = StreamKey {
            space: space(),
            name: StreamName::parse(guest::STREAM).unwrap(),
        };
        let settings = StreamSettings::default();
        let by = somebody();
        let made = self.service.streams.put(&by, &stream, &settings);
        made.await.unwrap();
        stream
    }
}

#[tokio::test]
async fn what_is_not_allowed_any_more_is_not_recorded() {
    let host = Host::start(true).await;
    // It fails, and waits to be tried again.
    host.schedule("t", guest::FAILS, (false, true))
        .await
        .unwrap();
    let mut revision = 0;
    loop {
        let tasks = &host.service.tasks;
        let (by, key) = (somebody(), key("t"));
        let wait = tasks.wait(&by, &key, revision, PATIENCE);
        let view = wait.await.unwrap().unwrap();
        let seen = view.revision();
        if view.task.unwrap().run.state == Some(RunState::WaitingRetry) {
            break;
        }
        revision = seen;
    }
    host.service.drain(PATIENCE).await;
    let host = Host::of(false, host.stores, host.clock).await;
    host.ends("t").await.unwrap();
    let recorded = async |attempt| host.read(&somebody(), "t", Some(attempt)).await;
    assert!(recorded(1).await.is_some());
    assert_eq!(recorded(2).await, None);
}

#[tokio::test]
async fn each_attempt_has_a_recording_with_its_head_and_its_end() {
    let host = Host::start(true).await;
    host.run("t", false, true).await.unwrap();
    for attempt in 1..=3 {
        let lines = host.read(&somebody(), "t", Some(attempt)).await.unwrap();
        let head: Head = serde_json::from_str(&lines[0]).unwrap();
        assert_eq!((head.attempt, &*head.params), (attempt, "3"));
        let last = serde_json::from_str(lines.last().unwrap()).unwrap();
        let LastLine::End(end) = last else {
            panic!("it has no end: {lines:?}");
        };
        assert!(!end.cut && end.lost.is_none(), "{lines:?}");
    }
    let latest = host.read(&somebody(), "t", None).await;
    assert_eq!(latest, host.read(&somebody(), "t", Some(3)).await);
    assert_eq!(host.read(&somebody(), "t", Some(4)).await, None);
    host.run("plain", false, false).await.unwrap();
    assert_eq!(host.read(&somebody(), "plain", None).await, None);
    let task = host.stores.tasks.get(&key("plain")).await.unwrap().unwrap();
    let plain = key("plain");
    let rows = host.stores.recordings.recorded(&plain, task.run.id);
    assert_eq!(rows.await.unwrap(), []);
}

#[tokio::test]
async fn a_type_that_may_not_be_recorded_is_told_the_setting() {
    let host = Host::start(false).await;
    let Err(ServiceError::Invalid { errors }) = host.run("t", false, true).await else {
        panic!("it was taken");
    };
    assert_eq!(errors[0].field, "record");
    let setting = "`record = true` in the `[[allow]]` that has `type = \"worker\"`";
    assert!(errors[0].problem.ends_with(setting), "{errors:?}");
}

#[tokio::test]
async fn its_requester_alone_reads_it_while_they_may_read_the_stream() {
    let host = Host::start(true).await;
    let stream = host.make_stream().await;
    host.run("t", true, true).await.unwrap();
    let lines = host.read(&somebody(), "t", None).await.unwrap();
    let counted = lines.iter().filter(|line| line.contains("streams.count"));
    assert_eq!(counted.count(), 1, "{lines:?}");
    let other = Requester {
        name: "somebody-else".to_owned(),
        ..somebody()
    };
    assert_eq!(host.read(&other, "t", None).await, None);
    host.service
        .streams
        .delete(&somebody(), &stream)
        .await
        .unwrap();
    assert_eq!(host.read(&somebody(), "t", None).await, None);
    // Another one of that name is not what was read.
    host.clock.advance(Duration::from_millis(1));
    host.make_stream().await;
    assert_eq!(host.read(&somebody(), "t", None).await, None);
}

#[tokio::test]
async fn it_is_gone_with_its_task_and_a_day_after_its_end() {
    let host = Host::start(true).await;
    for id in ["kept", "deleted", "anew"] {
        host.run(id, false, true).await.unwrap();
    }
    let tasks = &host.service.tasks;
    tasks
        .delete(&somebody(), &key("deleted"), None)
        .await
        .unwrap();
    assert_eq!(host.read(&somebody(), "deleted", None).await, None);
    host.run("anew", false, false).await.unwrap();
    assert_eq!(host.read(&somebody(), "anew", None).await, None);
    assert!(host.read(&somebody(), "kept", None).await.is_some());
    let task = host.stores.tasks.get(&key("kept")).await.unwrap().unwrap();
    let ended = task.last_failed_at.unwrap();
    // At the last moment of its day a sweep leaves it.
    host.clock.advance(DAY - host.clock.now().since(ended));
    let recordings = &host.stores.recordings;
    let before = host.clock.now().minus(DAY);
    assert_eq!(recordings.forget_ended(before).await.unwrap(), 0);
    assert!(host.read(&somebody(), "kept", None).await.is_some());
    host.clock.advance(Duration::from_millis(1));
    let gone = async || {
        recordings
            .recorded(&key("kept"), task.run.id)
            .await
            .unwrap()
            .is_empty()
    };
    while !gone().await {
        tokio::task::yield_now().await;
    }
    assert_eq!(host.read(&somebody(), "kept", None).await, None);
}

/// Over a sweeper that never comes so far.
#[tokio::test]
async fn it_is_refused_a_day_after_its_end_whatever_the_sweeper_does() {
    let host = Host::start(true).await;
    host.run("t", false, true).await.unwrap();
    let task = host.stores.tasks.get(&key("t")).await.unwrap().unwrap();
    let ended = task.last_failed_at.unwrap();
    let mut slow = parts(&host.stores, &host.clock);
    slow.settings.sweep_interval = 2 * DAY;
    let Host {
        stores,
        clock,
        service,
    } = host;
    service.drain(Duration::ZERO).await;
    let service = Service::start(slow).await.unwrap();
    let host = Host {
        service,
        stores,
        clock,
    };
    host.clock.advance(DAY - host.clock.now().since(ended));
    assert!(host.read(&somebody(), "t", None).await.is_some());
    host.clock.advance(Duration::from_millis(1));
    assert_eq!(host.read(&somebody(), "t", None).await, None);
    let key = key("t");
    let rows = host.stores.recordings.recorded(&key, task.run.id);
    assert_ne!(rows.await.unwrap(), [], "nobody has swept");
}

#[tokio::test]
async fn it_is_gone_a_day_after_its_end_whatever_else_of_a_sweep_fails() {
    let fails = Arc::new(SweepFails::default());
    let policy: Arc<dyn Policy> = Arc::<SweepFails>::clone(&fails);
    let host = Host::start_on(true, |stores| wrap(&stores, &policy)).await;
    host.run("t", false, true).await.unwrap();
    fails.0.store(true, Ordering::SeqCst);
    let task = host.stores.tasks.get(&key("t")).await.unwrap().unwrap();
    host.clock.advance(DAY + Duration::from_millis(1));
    let gone = async {
        let (recordings, key) = (&host.stores.recordings, key("t"));
        let is_there = async || {
            let rows = recordings.recorded(&key, task.run.id).await;
            !rows.unwrap().is_empty()
        };
        while is_there().await {
            a_moment().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}
