//! The clients of a run whose task is scheduled and claimed, on a stream of a few documents.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskhost_clients::http::Network;
use taskhost_clients::run::{Grants, RunClients, RunInfo, RunParts};
use taskhost_clients::sink::RunSink;
use taskhost_clients::stop::StopSignal;
use taskhost_clients::turns::RunTurns;
use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::{Digest, Incarnation, Label, RunId, TaskId, TaskKey, TypeId};
use taskhost_model::task::{LogLine, Progress, Usage};
use taskhost_model::time::Timestamp;
use taskhost_store::event::{Claim, Event, NewRun};
use taskhost_store::open::Stores;
use taskhost_store::streams::{StreamDocument, StreamSettings};

use super::models::{self, Says};
use crate::host;

pub(super) const STREAM: &str = "logs";
/// Documents of the stream.
pub(super) const DOCUMENTS: u64 = 10;
/// The run's limit: an answer takes a quarter of it.
const MEMORY_BYTES: u64 = 4 * 1024;

/// A run and what it says.
pub(super) struct Bench {
    pub(super) clients: RunClients,
    pub(super) said: Arc<Said>,
    pub(super) models: Arc<Says>,
}

/// What a run says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) progress: Mutex<Vec<Progress>>,
    pub(super) log: Mutex<Vec<LogLine>>,
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
    pub(super) async fn new() -> Self {
        let (stores, clock) = host::empty();
        let info = claimed(&stores, clock.now()).await;
        let said = Arc::new(Said::default());
        let models = Arc::new(Says::default());
        let granted = Capabilities {
            models: vec![models::name()],
            ..Capabilities::default()
        };
        let clients = RunClients::new(RunParts {
            grants: Grants {
                stream: info.stream.clone(),
                collections: vec![Label::parse("features").unwrap()],
                asked: granted.clone(),
                allowed: granted,
                ..Grants::default()
            },
            info,
            memory_bytes: MEMORY_BYTES,
            // More than any input says.
            log_bytes_max: 1 << 30,
            host_calls_max: None,
            script: None,
            stop: StopSignal::new(),
            sink: Arc::clone(&said) as _,
            streams: Arc::clone(&stores.streams),
            documents: Arc::clone(&stores.documents),
            turns: RunTurns::default(),
            connectors: models::connectors(&models),
            tokens_max: None,
            used: Usage::default(),
            checkpoints: Arc::clone(&stores.checkpoints),
            network: Network::default(),
            children: None,
            clock,
        });
        Self {
            clients,
            said,
            models,
        }
    }

    /// Bytes of documents in one answer.
    #[expect(clippy::unused_self, reason = "it is the run's limit")]
    pub(super) fn answer_bytes_max(&self) -> u64 {
        MEMORY_BYTES / 4
    }
}

async fn claimed(stores: &Stores, now: Timestamp) -> RunInfo {
    let stream = host::stream(STREAM);
    let settings = StreamSettings::default();
    stores.streams.put(&stream, &settings).await.unwrap();
    let documents = (0..DOCUMENTS).map(document).collect();
    stores.streams.ingest(&stream, documents).await.unwrap();
    let key = TaskKey {
        space: stream.space.clone(),
        id: TaskId::parse("a-task").unwrap(),
    };
    let type_id = TypeId::parse("a-type").unwrap();
    let requester = host::somebody();
    let new = NewRun {
        id: RunId::new(),
        type_id: type_id.clone(),
        stream: Some(stream.name.clone()),
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
    let claim = Event::Claim(Claim {
        host: "here".to_owned(),
        incarnation: Incarnation::new(),
        digest: Digest::parse(&"0".repeat(64)).unwrap(),
        wall_ms: 300_000,
    });
    let task = stores.tasks.apply(&key, claim).await.unwrap().task.unwrap();
    RunInfo {
        task: key,
        type_id,
        fence: task.fence(),
        attempt: task.run.attempt,
        stream: Some(stream.name),
        requester,
        scheduled_at: task.created_at,
        deadline_at: Some(now.plus(Duration::from_secs(300))),
    }
}

/// A few have something odd in them.
fn document(number: u64) -> StreamDocument {
    let more = match number {
        0 => r#","a":{"b":1},"a.b":2"#,
        1 => r#","a":[1,"x",null,{"c":3}]"#,
        2 => r#","n":9007199254740993,"":0"#,
        3 => r#","\u0000":"\ud83d\ude00","f":1.5e300"#,
        4 => r#","deep":[[[[[[[["x"]]]]]]]]"#,
        _ => "",
    };
    let text = "x".repeat(usize::try_from(number * number).unwrap_or_default());
    let body = format!(r#"{{"@timestamp":{number},"message":"line {number} {text}"{more}}}"#);
    StreamDocument {
        at: Timestamp::from_ms(i64::try_from(number).unwrap_or_default()),
        body: body.into(),
    }
}
