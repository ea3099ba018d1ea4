//! How far the run is, for people.

use std::sync::{Arc, Mutex, PoisonError};

use taskhost_model::task::Progress as Said;

use crate::caps::{MESSAGE_BYTES_MAX, PHASE_BYTES_MAX};
use crate::error::{ClientError, cut};
use crate::scope::Scope;
use crate::sink::RunSink;

/// The interface `progress`. Without a sink (`describe`) it does nothing.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: Arc<Scope>,
    sink: Option<Arc<dyn RunSink>>,
    said: Mutex<Said>,
}

impl Progress {
    pub(crate) fn new(scope: Arc<Scope>, sink: Option<Arc<dyn RunSink>>) -> Self {
        Self(Arc::new(Inner {
            scope,
            sink,
            said: Mutex::default(),
        }))
    }

    /// `done` of `total` in the task's own units, and a line for people.
    ///
    /// # Errors
    /// `canceled`, `deadline`.
    pub fn report(&self, done: u64, total: Option<u64>, message: &str) -> Result<(), ClientError> {
        self.say("progress.report", |said| {
            said.done = total.map_or(done, |total| done.min(total));
            said.total = total;
            cut(message, MESSAGE_BYTES_MAX).clone_into(&mut said.message);
        })
    }

    /// What the run is doing now; what was said of the phase before is over.
    ///
    /// # Errors
    /// `canceled`, `deadline`.
    pub fn phase(&self, name: &str) -> Result<(), ClientError> {
        self.say("progress.phase", |said| {
            let phase = Some(cut(name, PHASE_BYTES_MAX).to_owned());
            *said = Said {
                phase,
                ..Said::default()
            };
        })
    }

    /// The run lives, and nothing else has changed.
    ///
    /// # Errors
    /// `canceled`, `deadline`.
    pub fn heartbeat(&self) -> Result<(), ClientError> {
        self.say("progress.heartbeat", |_| ())
    }

    fn say(&self, call: &'static str, change: impl FnOnce(&mut Said)) -> Result<(), ClientError> {
        let Inner { scope, sink, said } = &*self.0;
        scope.calls.enter(call)?;
        scope.check()?;
        scope.stillness.moved();
        if let Some(sink) = sink {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut said);
            said.updated_at = Some(scope.clock.now());
            sink.progress(said.clone());
        }
        Ok(())
    }
}
