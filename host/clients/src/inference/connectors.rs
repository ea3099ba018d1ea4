//! Connectors to language models, as an operator has set them up: made once, the same for all runs
//! of a host.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskhost_model::ids::Label;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::budget::Ledger;
use super::server::ModelServer;

/// What a server is shown instead of a name. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// Itself.
    pub(super) secret: Arc<str>,
    /// Where it is from, for an operator: `key_env = "OPENAI_API_KEY"`.
    pub(super) setting: String,
}

/// How a connector is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorLimits {
    /// Requests that are under way at once; others wait.
    pub requests_at_once: usize,
    /// Tokens of a run, over its attempts.
    pub tokens_per_run: Option<u64>,
    /// Tokens of all runs of a space in a day.
    pub tokens_per_space_per_day: Option<u64>,
    /// What the server calls the most tokens of an answer: `max_tokens`.
    pub answer_tokens_name: &'static str,
    /// For one request, from when it is sent until its answer is there.
    pub timeout: Duration,
}

/// The connectors of a host. Clones are the same ones; without any, nothing can be asked.
#[derive(Debug, Clone, Default)]
pub struct Connectors(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    named: BTreeMap<Label, Connector>,
    ledger: Arc<Ledger>,
}

/// A model behind a server.
#[derive(Debug)]
pub struct Connector {
    pub(crate) name: Label,
    /// What the server calls the model.
    pub(crate) model: String,
    pub(crate) limits: ConnectorLimits,
    pub(crate) server: Arc<dyn ModelServer>,
    turns: Semaphore,
    /// What the host's log was told last, so that it is told once.
    trouble: Mutex<Option<Trouble>>,
}

/// What keeps a connector from being used. The words of a server may differ each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It answers with this status.
    Status(u16),
    /// It cannot be reached, or breaks off.
    Connection,
    /// It is too slow.
    Late,
}

impl Key {
    /// A key, and the setting that it is from: `key_env = "OPENAI_API_KEY"`.
    #[must_use]
    pub fn new(secret: &str, setting: impl Into<String>) -> Self {
        Self {
            secret: Arc::from(secret),
            setting: setting.into(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.setting)
    }
}

impl Connectors {
    /// All of a host. Of two with one name the last counts.
    #[must_use]
    pub fn new(connectors: impl IntoIterator<Item = Connector>) -> Self {
        let named = connectors.into_iter().map(|one| (one.name.clone(), one));
        Self(Arc::new(Inner {
            named: named.collect(),
            ledger: Arc::default(),
        }))
    }

    /// Their names, in order.
    #[must_use]
    pub fn names(&self) -> Vec<Label> {
        self.0.named.keys().cloned().collect()
    }

    pub(crate) fn get(&self, name: &Label) -> Option<&Connector> {
        self.0.named.get(name)
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.0.ledger
    }
}

impl Connector {
    /// A connector: its name, what `server` calls the model, and how it is used.
    #[must_use]
    pub fn new(
        name: Label,
        model: String,
        limits: ConnectorLimits,
        server: Arc<dyn ModelServer>,
    ) -> Self {
        let at_once = limits.requests_at_once.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            name,
            model,
            turns: Semaphore::new(at_once),
            limits,
            server,
            trouble: Mutex::new(None),
        }
    }

    /// Kept while a request is under way.
    pub(crate) async fn turn(&self) -> SemaphorePermit<'_> {
        let turn = self.turns.acquire().await;
        turn.unwrap_or_else(|_| unreachable!("nobody closes it"))
    }

    /// Tells an operator what is wrong, once until it is something else or nothing.
    pub(super) fn fails(&self, trouble: Trouble, why: &str) {
        let mut told = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != Some(trouble) {
            *told = Some(trouble);
            tracing::error!(connector = %self.name, why, "a language model cannot be used");
        }
    }

    /// It has answered.
    pub(crate) fn works(&self) {
        let trouble = self
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if trouble.is_some() {
            tracing::info!(connector = %self.name, "a language model can be used again");
        }
    }
}
