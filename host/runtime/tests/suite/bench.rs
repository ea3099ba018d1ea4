//! A runtime, and runs whose tasks are really scheduled and claimed in a store.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use taskhost_clients::http::Network;
use taskhost_clients::inference::Connectors;
use taskhost_clients::run::{Grants, RunClients, RunInfo, RunParts};
use taskhost_clients::sink::RunSink;
use taskhost_clients::stop::StopSignal;
use taskhost_clients::turns::RunTurns;
use taskhost_model::error::TaskError;
use taskhost_model::ids::{
    Digest, Incarnation, Label, RunId, Space, StreamKey, StreamName, TaskId, TaskKey, TypeId,
};
use taskhost_model::requester::Requester;
use taskhost_model::task::{LogLine, Progress, Usage};
use taskhost_model::time::{Clock, Timestamp};
use taskhost_runtime::{
    Component, ExitOutcome, RunExit, RunLimits, RunRequest, Runtime, RuntimeSettings,
};
use taskhost_store::event::{Claim, Event, NewRun};
use taskhost_store::faulty::{self, Policy};
use taskhost_store::limits::Limits;
use taskhost_store::open::{Stores, in_memory};
use taskhost_store::streams::{StreamDocument, StreamSettings};
use tokio::sync::Notify;

pub(crate) const MIB: u64 = 1024 * 1024;
/// The stream of every run.
pub(crate) const STREAM: &str = "logs.test";

/// A runtime with two threads for guests. Compiled guests are kept for the next test.
pub(crate) fn runtime() -> Runtime {
    runtime_with(64)
}

pub(crate) fn runtime_with(runs_max: usize) -> Runtime {
    let settings = settings();
    Runtime::start(RuntimeSettings {
        runs_max,
        ..settings
    })
    .unwrap()
}

pub(crate) fn settings() -> RuntimeSettings {
    let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    RuntimeSettings {
        workers: 2,
        ..RuntimeSettings::new(cache_dir)
    }
}

/// A guest of `tests/guests`.
pub(crate) fn guest_bytes(name: &str) -> Arc<[u8]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let file = format!(
        "wasm32-wasip2/component/examples/{}.wasm",
        name.replace('-', "_")
    );
    let path = folder.join(file);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; build the guests first (tests/run.sh does)",
            path.display()
        )
    });
    Arc::from(bytes)
}

pub(crate) async fn guest(runtime: &Runtime, name: &str) -> Component {
    load(runtime, guest_bytes(name)).await
}

pub(crate) async fn load(runtime: &Runtime, bytes: Arc<[u8]>) -> Component {
    runtime.check(&bytes).unwrap();
    runtime.load(&digest(), bytes).await.unwrap()
}

/// Any digest: the runtime only hands it back.
pub(crate) fn digest() -> Digest {
    Digest::parse(&"0".repeat(64)).unwrap()
}

/// What a run says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    progress: Mutex<Vec<Progress>>,
    log: Mutex<Vec<LogLine>>,
    changed: Notify,
}

impl RunSink for Said {
    fn progress(&self, progress: Progress) {
        self.progress.lock().unwrap().push(progress);
        self.changed.notify_one();
    }

    fn log(&self, line: LogLine) {
        self.log.lock().unwrap().push(line);
    }
}

impl Said {
    pub(crate) fn progress(&self) -> Vec<Progress> {
        self.progress.lock().unwrap().clone()
    }

    pub(crate) fn log(&self) -> Vec<LogLine> {
        self.log.lock().unwrap().clone()
    }

    /// Returns when something has been reported since the last call.
    pub(crate) async fn until_progress(&self) {
        self.changed.notified().await;
    }
}

/// A claimed run.
pub(crate) struct TestRun {
    pub(crate) stop: StopSignal,
    pub(crate) said: Arc<Said>,
    pub(crate) limits: RunLimits,
    pub(crate) stores: Stores,
    pub(crate) clients: RunClients,
}

impl TestRun {
    /// A run on [`STREAM`], which holds ten documents, with the collections that guests declare.
    pub(crate) async fn new() -> Self {
        Self::with_memory(64 * MIB).await
    }

    pub(crate) async fn with_memory(memory_bytes: u64) -> Self {
        Self::with_stores(memory_bytes, in_memory(Limits::default(), Clock::System)).await
    }

    /// A run whose calls of a store come to that policy first.
    pub(crate) async fn behind(policy: &Arc<dyn Policy>) -> Self {
        let stores = in_memory(Limits::default(), Clock::System);
        Self::with_stores(64 * MIB, faulty::wrap(&stores, policy)).await
    }

    async fn with_stores(memory_bytes: u64, stores: Stores) -> Self {
        let clock = Clock::System;
        let info = claimed(&stores, clock.now()).await;
        let stop = StopSignal::new();
        let said = Arc::new(Said::default());
        let labels = ["roundtrip", "whole", "hostile", "cooperative"];
        let clients = RunClients::new(RunParts {
            grants: Grants {
                stream: info.stream.clone(),
                collections: labels
                    .iter()
                    .map(|label| Label::parse(label).unwrap())
                    .collect(),
                ..Grants::default()
            },
            info,
            memory_bytes,
            log_bytes_max: 1024 * 1024,
            host_calls_max: None,
            script: None,
            stop: stop.clone(),
            sink: Arc::clone(&said) as _,
            streams: Arc::clone(&stores.streams),
            documents: Arc::clone(&stores.documents),
            turns: RunTurns::default(),
            connectors: Connectors::default(),
            tokens_max: None,
            used: Usage::default(),
            checkpoints: Arc::clone(&stores.checkpoints),
            network: Network::default(),
            children: None,
            clock,
        });
        let limits = RunLimits {
            memory_bytes,
            cpu: Duration::from_secs(10),
            wall: Duration::from_secs(300),
            output_bytes: MIB,
            no_progress: None,
            grace: Duration::from_millis(100),
        };
        Self {
            stop,
            said,
            limits,
            stores,
            clients,
        }
    }

    pub(crate) fn request(&self, params: &str) -> RunRequest {
        self.request_with(params, || ())
    }

    pub(crate) fn request_with(
        &self,
        params: &str,
        on_start: impl FnOnce() + Send + 'static,
    ) -> RunRequest {
        RunRequest {
            params: params.to_owned(),
            clients: self.clients.clone(),
            limits: self.limits,
            stop: self.stop.clone(),
            tape: taskhost_runtime::Tape::Off,
            on_start: Box::new(on_start),
        }
    }

    pub(crate) async fn run(
        &self,
        runtime: &Runtime,
        component: &Component,
        params: &str,
    ) -> RunExit {
        runtime.run(component, self.request(params)).await
    }
}

/// Runs a guest once, with what every run has.
pub(crate) async fn run_guest(name: &str, params: &str) -> (RunExit, TestRun) {
    let runtime = runtime();
    let component = guest(&runtime, name).await;
    let run = TestRun::new().await;
    let exit = run.run(&runtime, &component, params).await;
    (exit, run)
}

/// The result of a run that has to have completed.
pub(crate) fn completed(exit: &RunExit) -> serde_json::Value {
    match &exit.outcome {
        ExitOutcome::Completed(result) => serde_json::from_str(result).unwrap(),
        other => panic!("not completed: {other:?}"),
    }
}

/// The error of a run that has to have failed.
pub(crate) fn failed(exit: &RunExit) -> &TaskError {
    match &exit.outcome {
        ExitOutcome::Failed { error, .. } => error,
        other => panic!("not failed: {other:?}"),
    }
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
    let event = Event::Schedule(Box::new(new));
    stores.tasks.apply(&key, event).await.unwrap();
    let claim = Claim {
        host: "here".to_owned(),
        incarnation: Incarnation::new(),
        digest: digest(),
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
        deadline_at: task.run.deadline_at,
    }
}
