//! What all clients of one run share: its signal to stop, its clock, and the count of its calls.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use taskhost_model::time::Clock;

use crate::calls::Calls;
use crate::error::{ClientError, ErrorCode};
use crate::room::{AnswerMemory, Room};
use crate::stillness::Stillness;
use crate::stop::{StopReason, StopSignal};
use crate::virtual_time::Time;

#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) stop: StopSignal,
    pub(crate) clock: Clock,
    pub(crate) time: Time,
    pub(crate) memory_bytes: u64,
    pub(crate) stillness: Stillness,
    pub(crate) calls: Calls,
    /// Known once the run has a place in the sandbox.
    pub(crate) answers: OnceLock<Arc<dyn AnswerMemory>>,
}

impl Scope {
    pub(crate) fn new(stop: StopSignal, clock: Clock, memory_bytes: u64, calls: Calls) -> Self {
        Self {
            stop,
            clock,
            time: Time::default(),
            memory_bytes,
            stillness: Stillness::new(),
            calls,
            answers: OnceLock::new(),
        }
    }

    /// The same with another time than the real one.
    pub(crate) fn at(self, time: Time) -> Self {
        Self { time, ..self }
    }

    /// Room for the answers of one call.
    pub(crate) fn room(&self, bytes_max: u64) -> Room {
        Room::new(bytes_max, self.answers.get().cloned())
    }

    /// Tells a run that is asked to stop so.
    pub(crate) fn check(&self) -> Result<(), ClientError> {
        self.stop
            .asked()
            .map_or(Ok(()), |reason| Err(self.told(reason)))
    }

    /// Does `work`, unless the run is asked to stop before it is done.
    pub(crate) async fn unless_stopped<T>(
        &self,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::select! {
            biased;
            reason = self.stop.until_asked() => match reason {
                // Its guest ends here, and hears of nothing.
                StopReason::Suspended => std::future::pending().await,
                reason => Err(self.told(reason)),
            },
            done = work => done,
        }
    }

    fn told(&self, reason: StopReason) -> ClientError {
        self.stop.tell();
        match reason {
            StopReason::User => canceled("somebody canceled the task"),
            StopReason::Drain => canceled("the host shuts down; the run goes on later"),
            StopReason::Fenced => canceled("the run has lost its lease"),
            StopReason::Suspended => canceled("the run goes on when a child has ended"),
            StopReason::NoProgress => {
                canceled("the run reported no progress for longer than its limit")
            }
            StopReason::Deadline => {
                ClientError::new(ErrorCode::Deadline, "the attempt's time is up")
            }
        }
    }
}

fn canceled(why: &str) -> ClientError {
    ClientError::new(
        ErrorCode::Canceled,
        format!("{why}: leave things in order and return"),
    )
}
