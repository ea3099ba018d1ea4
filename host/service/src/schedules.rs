//! Schedules: what people do with them, and the loop that fires them.
//!
//! # Guarantees
//! 1. One fire for each due time, whatever crashes, across all hosts on a store:
//!    [`taskhost_model::schedule`] says how, and where that ends.
//! 2. What was fired is an ordinary task, in the name of whoever made the schedule, and can do no
//!    more than they could then. Where their key is not accepted any more, the schedule pauses and
//!    says so.
//! 3. A due time that nothing came of says why: left out, missed, or failed, and with what words.
//!
//! # How it works
//! `rounds` looks which schedules are due, `fire` carries out what the model decides of one. The
//! verbs replace its document as the loop does, and wake the loop.

mod change;
mod fire;
mod put;
mod rounds;
mod view;

use std::sync::Arc;

use taskhost_model::ids::ScheduleKey;
use taskhost_model::schedule::Schedule;

use crate::access::Caller;
use crate::core::Core;
use crate::error::ServiceError;

pub use change::RunNow;
pub use put::{Put, ScheduleWish, TimingWish};
pub(crate) use rounds::Rounds;
pub use view::{FireView, SchedulePage, ScheduleState, ScheduleView};

/// The schedules' verbs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedules(pub(crate) Arc<Core>);

impl Schedules {
    /// The schedule, if they see it.
    async fn seen(
        &self,
        caller: Caller<'_>,
        key: &ScheduleKey,
    ) -> Result<Option<Schedule>, ServiceError> {
        if !caller.may_read(&key.space, None).await? {
            return Ok(None);
        }
        let Some(schedule) = self.0.schedules.get(key).await? else {
            return Ok(None);
        };
        let sees = self.sees(caller, &schedule).await?;
        Ok(sees.then_some(schedule))
    }

    /// Whether they may read every stream that its runs do.
    async fn sees(&self, caller: Caller<'_>, schedule: &Schedule) -> Result<bool, ServiceError> {
        for stream in schedule.task.streams() {
            if !caller.may_read(&schedule.space, Some(stream)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn not_found(key: &ScheduleKey) -> ServiceError {
    ServiceError::NotFound {
        what: format!("schedule `{}`", key.id),
    }
}
