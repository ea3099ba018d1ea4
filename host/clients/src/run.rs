//! All clients of one run, built from what the service hands down.

use std::sync::Arc;
use std::time::Duration;

use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::{Label, StreamName, TypeId};
use taskhost_model::task::Usage;
use taskhost_model::time::Clock;
use taskhost_store::checkpoints::CheckpointStore;
use taskhost_store::documents::DocumentStore;
use taskhost_store::streams::StreamStore;

pub use crate::context::RunInfo;

use crate::calls::{CallScript, Calls};
use crate::children::{ChildGrant, ChildRuns, Children};
use crate::context::Context;
use crate::denied::Denials;
use crate::documents::{DocumentGrant, Documents};
use crate::http::{Http, Network, Outbound};
use crate::inference::{Connectors, Inference, InferenceGrant};
use crate::log::Log;
use crate::progress::Progress;
use crate::room::AnswerMemory;
use crate::scope::Scope;
use crate::secrets::Secrets;
use crate::sink::RunSink;
use crate::state::{State, StateGrant};
use crate::stop::StopSignal;
use crate::streams::{StreamGrant, Streams};
use crate::turns::RunTurns;
use crate::virtual_time::Time;

/// What a run may reach beyond its own context, progress and log.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// The stream that the task was scheduled on.
    pub stream: Option<StreamName>,
    /// Streams that its params name.
    pub named_streams: Vec<StreamName>,
    /// The collections that the task type owns.
    pub collections: Vec<Label>,
    /// Collections of the space that people keep and it reads.
    pub space_collections: Vec<Label>,
    /// Whether it may ask any model that is allowed.
    pub any_model: bool,
    /// What the type's descriptor asks for beyond that.
    pub asked: Capabilities,
    /// What the operator allows the type; a call has to be within both.
    pub allowed: Capabilities,
}

/// What the clients of a run are built from.
#[derive(Debug)]
pub struct RunParts {
    /// What the run knows of itself.
    pub info: RunInfo,
    /// What it may reach.
    pub grants: Grants,
    /// The run's memory limit: one answer takes at most a quarter of it.
    pub memory_bytes: u64,
    /// The longest log that is kept.
    pub log_bytes_max: u64,
    /// The most host calls of the attempt.
    pub host_calls_max: Option<u64>,
    /// What a test of a task type puts between the guest and its clients.
    pub script: Option<Arc<dyn CallScript>>,
    /// Asks it to stop.
    pub stop: StopSignal,
    /// Takes its progress and log.
    pub sink: Arc<dyn RunSink>,
    /// Stream data.
    pub streams: Arc<dyn StreamStore>,
    /// Collections.
    pub documents: Arc<dyn DocumentStore>,
    /// The same for all runs of a host.
    pub turns: RunTurns,
    /// Language models, the same for all runs of a host.
    pub connectors: Connectors,
    /// The most tokens of the run, over its attempts.
    pub tokens_max: Option<u64>,
    /// What its attempt has used so far, where its guest is begun once more; of tokens, what the
    /// run has.
    pub used: Usage,
    /// Checkpoints.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// How the outside is reached, the same for all runs of a host.
    pub network: Network,
    /// Its children; none where it cannot have any.
    pub children: Option<Arc<dyn ChildRuns>>,
    /// The time.
    pub clock: Clock,
}

/// The clients of one run. Clones are the same clients.
#[derive(Debug, Clone)]
pub struct RunClients {
    /// Who asked for the run, what it is, how long it has.
    pub context: Context,
    /// How far it is.
    pub progress: Progress,
    /// Its log.
    pub log: Log,
    /// Its stream.
    pub streams: Streams,
    /// Its collections.
    pub documents: Documents,
    /// What it keeps for its next attempt.
    pub state: State,
    /// Requests to the outside.
    pub http: Http,
    /// Placeholders of secrets.
    pub secrets: Secrets,
    /// Language models.
    pub inference: Inference,
    /// Runs of other task types.
    pub children: Children,
    outbound: Option<Arc<Outbound>>,
    used: Usage,
    scope: Arc<Scope>,
}

/// The time of a run, and the script that it follows, if any.
fn followed(
    script: Option<Arc<dyn CallScript>>,
    type_id: &TypeId,
) -> (Time, Option<Arc<dyn CallScript>>) {
    let time = script.as_ref().map(|script| script.time());
    let script = script.filter(|script| script.follows(type_id));
    (time.unwrap_or_default(), script)
}

impl RunClients {
    /// The clients of a run.
    #[must_use]
    pub fn new(parts: RunParts) -> Self {
        let RunParts {
            info,
            grants,
            memory_bytes,
            log_bytes_max,
            host_calls_max,
            script,
            stop,
            sink,
            streams,
            documents,
            turns,
            connectors,
            tokens_max,
            used,
            checkpoints,
            network,
            children,
            clock,
        } = parts;
        let (time, script) = followed(script, &info.type_id);
        let calls = Calls::new(used.host_calls, host_calls_max, script);
        let scope = Arc::new(Scope::new(stop, clock, memory_bytes, calls).at(time));
        let info = Arc::new(info);
        let named = grants.stream.into_iter().chain(grants.named_streams);
        let granted = StreamGrant::of_each(&info, named, &streams, &turns.streams);
        let log = Log::new(Arc::clone(&scope), Some(Arc::clone(&sink)), log_bytes_max);
        let denials = Denials::new(log.clone(), Arc::clone(&info));
        let (asked, allowed) = (grants.asked, grants.allowed);
        let outbound = Outbound::new(network, (&asked, &allowed), denials.clone(), used);
        let outbound = Arc::new(outbound);
        let collections = DocumentGrant {
            store: documents,
            turns: turns.documents,
            labels: grants.collections,
            space_labels: grants.space_collections,
            asked_labels: asked.collections,
            allowed_labels: allowed.collections,
            denials: denials.clone(),
            info: Arc::clone(&info),
        };
        let types = (asked.children, allowed.children);
        let children = ChildGrant::new(children, types, denials.clone());
        let models = InferenceGrant {
            connectors,
            asked: asked.models,
            any: grants.any_model,
            allowed: allowed.models,
            denials,
            space: info.task.space.clone(),
            tokens_max,
            account: InferenceGrant::account(used.tokens),
        };
        let state = StateGrant::of(checkpoints, turns.state, &info);
        Self {
            state: State::new(Arc::clone(&scope), Some(state)),
            context: Context::new(Arc::clone(&scope), Some(info)),
            progress: Progress::new(Arc::clone(&scope), Some(sink)),
            log,
            streams: Streams::new(Arc::clone(&scope), granted),
            documents: Documents::new(Arc::clone(&scope), Some(collections)),
            secrets: Secrets::new(Arc::clone(&scope), Some(outbound.secrets())),
            http: Http::new(Arc::clone(&scope), Some(Arc::clone(&outbound))),
            inference: Inference::new(Arc::clone(&scope), Some(models)),
            children: Children::new(Arc::clone(&scope), Some(children)),
            outbound: Some(outbound),
            used,
            scope,
        }
    }

    /// Clients without a run, for `describe`: nothing is granted, progress and log do nothing,
    /// the context is empty.
    #[must_use]
    pub fn describing() -> Self {
        let calls = Calls::new(0, None, None);
        let scope = Arc::new(Scope::new(StopSignal::new(), Clock::System, 0, calls));
        Self::without_grants(scope)
    }

    /// Clients of a run that a recording answers: nothing is granted; what is logged goes to
    /// `sink`.
    #[must_use]
    pub fn replaying(stop: StopSignal, sink: Arc<dyn RunSink>, log_bytes_max: u64) -> Self {
        let calls = Calls::new(0, None, None);
        let scope = Arc::new(Scope::new(stop, Clock::System, 0, calls));
        Self {
            log: Log::new(Arc::clone(&scope), Some(sink), log_bytes_max),
            ..Self::without_grants(scope)
        }
    }

    fn without_grants(scope: Arc<Scope>) -> Self {
        Self {
            context: Context::new(Arc::clone(&scope), None),
            progress: Progress::new(Arc::clone(&scope), None),
            log: Log::new(Arc::clone(&scope), None, 0),
            streams: Streams::new(Arc::clone(&scope), Vec::new()),
            documents: Documents::new(Arc::clone(&scope), None),
            state: State::new(Arc::clone(&scope), None),
            secrets: Secrets::new(Arc::clone(&scope), None),
            http: Http::new(Arc::clone(&scope), None),
            inference: Inference::new(Arc::clone(&scope), None),
            children: Children::new(Arc::clone(&scope), None),
            outbound: None,
            used: Usage::default(),
            scope,
        }
    }

    /// Counts a call that a recording answers, as the client does that it replaces.
    pub fn note(&self, call: &'static str) {
        self.scope.calls.note(call);
    }

    /// The time that its waits go by.
    #[must_use]
    pub fn time(&self) -> &Time {
        &self.scope.time
    }

    /// Whether a test of a task type wants to hear how each call is answered.
    #[must_use]
    pub fn are_followed(&self) -> bool {
        self.scope.calls.is_followed()
    }

    /// The call on its way is answered so.
    pub fn answered(&self, answer: impl FnOnce() -> String) {
        self.scope.calls.answered(answer);
    }

    /// From now on what it is answered counts against that memory while it is gathered.
    pub fn count_answers(&self, memory: Arc<dyn AnswerMemory>) {
        self.scope.answers.set(memory).ok();
    }

    /// The guest is entered: from now on it has to move.
    pub fn enter(&self) {
        self.scope.stillness.enter();
    }

    /// Returns when the run has reported no progress for so long; never before it is entered.
    pub async fn until_still(&self, limit: Duration) {
        self.scope.stillness.until(limit).await;
    }

    /// Calls so far.
    #[must_use]
    pub fn host_calls(&self) -> u64 {
        self.scope.calls.count()
    }

    /// Tokens of language models that the run has used, over its attempts.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.inference.tokens()
    }

    /// What the attempt had used before.
    #[must_use]
    pub fn used_before(&self) -> Usage {
        self.used
    }

    /// What the attempt has used by now, but for what only the runtime knows; of that what it had
    /// used before.
    #[must_use]
    pub fn used(&self) -> Usage {
        let requests = self.outbound.as_ref().map(|outbound| outbound.requests());
        Usage {
            host_calls: self.host_calls(),
            http_requests: requests.unwrap_or_default(),
            tokens: self.tokens(),
            ..self.used
        }
    }

    /// The host call that the guest made last, as people write it.
    #[must_use]
    pub fn last_call(&self) -> Option<&'static str> {
        self.scope.calls.last()
    }

    /// The last lines of its log, the newest one at the end; long ones are cut.
    #[must_use]
    pub fn last_lines(&self) -> Vec<String> {
        self.log.last_lines()
    }

    /// The run is over: the log says what it had to leave out.
    pub fn finish(&self) {
        self.log.finish();
    }
}
