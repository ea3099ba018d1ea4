//! The clients of a run whose task is really scheduled and claimed, on a stream of ten documents.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskhost_clients::error::{ClientError, ErrorCode};
use taskhost_clients::http::Network;
use taskhost_clients::inference::Connectors;
use taskhost_clients::run::{Grants, RunClients, RunInfo, RunParts};
use taskhost_clients::sink::RunSink;
use taskhost_clients::stop::StopSignal;
use taskhost_clients::turns::RunTurns;
use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::{
    Digest, Incarnation, Label, RunId, Space, StreamKey, StreamName, TaskId, TaskKey, TypeId,
};
use taskhost_model::requester::Requester;
use taskhost_model::task::{LogLine, Progress, Usage};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_store::event::{Claim, Event, NewRun};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};
use taskhost_store::streams::{StreamDocument, StreamSettings};

pub(crate) const MIB: u64 = 1024 * 1024;
pub(crate) const STREAM: &str = "logs.test";

/// A run and everything around it.
pub(crate) struct Bench {
    pub(crate) clients: RunClients,
    pub(crate) stop: StopSignal,
    pub(crate) said: Arc<Said>,
    pub(crate) stores: Stores,
    pub(crate) clock: Clock,
    pub(crate) info: RunInfo,
}

/// What the run says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) progress: Mutex<Vec<Progress>>,
    pub(crate) log: Mutex<Vec<LogLine>>,
}

impl RunSink for Said {
    fn progress(&self, progress: Progress) {
        self.progress.lock().unwrap().push(progress);
    }

    fn log(&self, line: LogLine) {
        self.log.lock().unwrap().push(line);
    }
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with_memory(memory_bytes: u64) -> Self {
        Self::with(|parts| parts.memory_bytes = memory_bytes).await
    }

    /// A run that is changed before it begins.
    pub(crate) async fn with(change: impl FnOnce(&mut RunParts)) -> Self {
        let clock = Clock::manual(Timestamp::from_ms(1_000_000));
        let stores = in_memory(Limits::default(), clock.clone());
        let info = claimed(&stores, clock.now()).await;
        let (stop, said) = (StopSignal::new(), Arc::new(Said::default()));
        let mut parts = parts(&info, &stores, &stop, &said, &clock);
        change(&mut parts);
        Self {
            clients: RunClients::new(parts),
            stop,
            said,
            stores,
            clock,
            info,
        }
    }

    /// The clients of one more run on the same stream, over other stores.
    pub(crate) fn another(&self, stores: &Stores, turns: &RunTurns) -> (RunClients, StopSignal) {
        let stop = StopSignal::new();
        let mut parts = parts(&self.info, stores, &stop, &self.said, &self.clock);
        parts.turns = turns.clone();
        (RunClients::new(parts), stop)
    }

    /// The address of the run's stream.
    pub(crate) fn stream(&self) -> StreamKey {
        let name = self.info.stream.clone().unwrap();
        StreamKey {
            space: self.info.task.space.clone(),
            name,
        }
    }

    /// Adds a document of so many bytes to the stream.
    pub(crate) async fn ingest(&self, at_ms: i64, bytes: usize) {
        let body = format!(
            r#"{{"@timestamp":{at_ms},"message":"{}"}}"#,
            "x".repeat(bytes)
        );
        let document = StreamDocument {
            at: Timestamp::from_ms(at_ms),
            body: body.into(),
        };
        self.stores
            .streams
            .ingest(&self.stream(), vec![document])
            .await
            .unwrap();
    }
}

fn reads_queries() -> Capabilities {
    Capabilities {
        collections: vec![Label::parse("queries").unwrap()],
        ..Capabilities::default()
    }
}

fn parts(
    info: &RunInfo,
    stores: &Stores,
    stop: &StopSignal,
    said: &Arc<Said>,
    clock: &Clock,
) -> RunParts {
    RunParts {
        info: info.clone(),
        grants: Grants {
            stream: info.stream.clone(),
            collections: vec![Label::parse("features").unwrap()],
            space_collections: vec![Label::parse("prompts").unwrap()],
            asked: reads_queries(),
            allowed: reads_queries(),
            ..Grants::default()
        },
        memory_bytes: 64 * MIB,
        log_bytes_max: 1024 * 1024,
        host_calls_max: None,
        script: None,
        stop: stop.clone(),
        sink: Arc::clone(said) as _,
        streams: Arc::clone(&stores.streams),
        documents: Arc::clone(&stores.documents),
        turns: RunTurns::default(),
        checkpoints: Arc::clone(&stores.checkpoints),
        connectors: Connectors::default(),
        tokens_max: None,
        used: Usage::default(),
        network: Network::default(),
        children: None,
        clock: clock.clone(),
    }
}

/// The code of a refusal.
pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> ErrorCode {
    answer.unwrap_err().code
}

async fn claimed(stores: &Stores, now: Timestamp) -> RunInfo {
    let requester = Requester::single_user();
    let space = Space::parse("default").unwrap();
    let name = StreamName::parse(STREAM).unwrap();
    let stream = StreamKey {
        space: space.clone(),
        name: name.clone(),
    };
    stores
        .streams
        .put(&stream, &StreamSettings::default())
        .await
        .unwrap();
    let document = |n: i64| StreamDocument {
        at: Timestamp::from_ms(n),
        body: format!(r#"{{"@timestamp":{n},"message":"line {n}"}}"#).into(),
    };
    let documents = (0..10).map(document).collect();
    stores.streams.ingest(&stream, documents).await.unwrap();
    let key = TaskKey {
        space,
        id: TaskId::parse("a-task").unwrap(),
    };
    let type_id = TypeId::parse("a-type").unwrap();
    let new = NewRun {
        id: RunId::new(),
        type_id: type_id.clone(),
        stream: Some(name.clone()),
        also_reads: Vec::new(),
        params: "{}".into(),
        parent: None,
        concurrency_key: None,
        record: false,
        trace: None,
        requested_by: requester.name.clone(),
        key: None,
        priority: 0,
        due_at: now,
        timeout_ms: None,
        max_attempts: 3,
        condition: None,
        keeps_checkpoints: false,
        receipt: None,
    };
    let schedule = Event::Schedule(Box::new(new));
    stores.tasks.apply(&key, schedule).await.unwrap();
    let claim = Claim {
        host: "here".to_owned(),
        incarnation: Incarnation::new(),
        digest: Digest::parse(&"0".repeat(64)).unwrap(),
        wall_ms: 300_000,
    };
    let claimed = stores.tasks.apply(&key, Event::Claim(claim)).await;
    let task = claimed.unwrap().task.unwrap();
    RunInfo {
        task: key,
        type_id,
        fence: task.fence(),
        attempt: task.run.attempt,
        stream: Some(name),
        requester,
        scheduled_at: task.created_at,
        deadline_at: Some(now.plus(Duration::from_secs(300))),
    }
}
