//! Schedules many tasks at once: each is checked by itself, and what is fine is written together.

use std::sync::Arc;

use taskhost_model::audit;
use taskhost_model::ids::{Space, TaskId, TaskKey};
use taskhost_model::requester::Requester;
use taskhost_store::error::StoreError;
use taskhost_store::event::{Applied, Event, NewRun, Outcome, WriteCondition};

use crate::audit::{Noted, outcome_of};
use crate::core::Tasks;
use crate::error::ServiceError;
use crate::run_keys::InUse;
use crate::schedule::{ScheduleRequest, Scheduled, act};
use crate::submit::new_key;
use crate::wishes::Asker;

/// A task of a batch.
#[derive(Debug, Clone)]
pub struct BatchItem {
    /// Its id; none: the host makes one.
    pub id: Option<TaskId>,
    /// What is wanted of it.
    pub request: ScheduleRequest,
}

/// What came of a task of a batch.
#[derive(Debug)]
pub struct BatchAnswer {
    /// Its id, where it has one.
    pub id: Option<TaskId>,
    /// What came of it.
    pub outcome: Result<Accepted, ServiceError>,
}

/// A task that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is new, or scheduled again.
    Scheduled,
    /// The same is at work already.
    AlreadyRunning,
}

/// One that is fine, and is to be written.
struct Ready {
    number: usize,
    key: TaskKey,
    request: ScheduleRequest,
    in_use: Option<Arc<InUse>>,
    run: NewRun,
}

impl Tasks {
    /// Schedules each of them, and answers as many as there are; when it answers, what was accepted
    /// is on disk.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] where whoever asks may schedule nothing in the space, or what
    /// the store says; nothing is accepted then.
    pub async fn schedule_all(
        &self,
        by: &Requester,
        space: &Space,
        items: Vec<BatchItem>,
    ) -> Result<Vec<BatchAnswer>, ServiceError> {
        self.check_running()?;
        self.0.caller(by).must_operate(space).await?;
        let mut answers = Vec::with_capacity(items.len());
        let mut ready = Vec::with_capacity(items.len());
        for (number, item) in items.into_iter().enumerate() {
            let id = item.id.clone();
            match self.ready(by, space, number, item).await {
                Ok(one) => {
                    answers.push(BatchAnswer {
                        id: Some(one.key.id.clone()),
                        outcome: Ok(Accepted::Scheduled),
                    });
                    ready.push(one);
                }
                Err(error) => answers.push(BatchAnswer {
                    id,
                    outcome: Err(error),
                }),
            }
        }
        for (number, outcome) in self.write_ready(by, ready).await? {
            answers[number].outcome = outcome;
        }
        Ok(answers)
    }

    async fn ready(
        &self,
        by: &Requester,
        space: &Space,
        number: usize,
        item: BatchItem,
    ) -> Result<Ready, ServiceError> {
        let key = match item.id {
            Some(id) => TaskKey {
                space: space.clone(),
                id,
            },
            None => new_key(space)?,
        };
        let mut request = item.request;
        let wish = self.checked(by, &key, &mut request, Asker::Person).await?;
        let caller = self.0.caller(by);
        let in_use = self.key_for(caller, &request, &wish).await?.map(Arc::new);
        let mut run = wish.run(&request, by, in_use.as_ref().map(|it| it.id()));
        if caller.is_asked() && run.condition.is_none() {
            // What takes no other's place need not be looked at before.
            run.condition = Some(WriteCondition::Absent);
        }
        Ok(Ready {
            number,
            key,
            request,
            in_use,
            run,
        })
    }

    async fn write_ready(
        &self,
        by: &Requester,
        mut ready: Vec<Ready>,
    ) -> Result<Vec<(usize, Result<Accepted, ServiceError>)>, ServiceError> {
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Arc<InUse>> = ready.iter_mut().filter_map(|it| it.in_use.take()).collect();
        keys.iter().for_each(|it| it.sent());
        let event = |it: &Ready| (it.key.clone(), Event::Schedule(Box::new(it.run.clone())));
        let events = ready.iter().map(event).collect();
        let told = move |applied: &[bool]| {
            // Where one is unsure, so is its key, and which one it was is not worth knowing.
            if applied.iter().all(|it| *it) {
                keys.iter().for_each(|it| it.answered());
            }
        };
        let act = |it: &Ready| act("task.schedule", &it.key, &it.request);
        let begun = |it: &Ready| self.0.audit.begun(by, act(it));
        let noted: Vec<Noted<'_>> = ready.iter().map(begun).collect();
        let applied = match self.0.apply_all(events, told).await {
            Ok(applied) => applied,
            Err(error) => {
                let outcome = outcome_of(&error);
                noted.into_iter().for_each(|it| it.ended(outcome));
                return Err(error);
            }
        };
        let mut answers = Vec::with_capacity(ready.len());
        for ((one, noted), applied) in ready.into_iter().zip(noted).zip(applied) {
            let (number, outcome) = (one.number, self.outcome(by, one, applied).await);
            noted.ended(match &outcome {
                Ok(Accepted::Scheduled) => audit::Outcome::Done,
                Ok(Accepted::AlreadyRunning) => audit::Outcome::Unchanged,
                Err(error) => outcome_of(error),
            });
            answers.push((number, outcome));
        }
        Ok(answers)
    }

    /// What came of one that was written with the others, in its place where that was another
    /// task's.
    async fn outcome(
        &self,
        by: &Requester,
        one: Ready,
        applied: Result<Applied, StoreError>,
    ) -> Result<Accepted, ServiceError> {
        let (key, mut request) = (one.key, one.request);
        let applied = match applied.map(|it| (it.outcome, it)) {
            Ok((Outcome::Changed | Outcome::Repeated, _)) => return Ok(Accepted::Scheduled),
            // It takes the place of another task, which has to be looked at.
            Ok((Outcome::VersionMismatch, _)) if request.condition.is_none() => {
                let wish = self.checked(by, &key, &mut request, Asker::Person).await?;
                self.write(by, &key, &request, &wish).await?
            }
            Ok((_, applied)) => applied,
            Err(error) => return Err(error.into()),
        };
        let scheduled = self.scheduled(by, &key, &request, applied).await;
        scheduled.and_then(accepted)
    }
}

fn accepted(scheduled: Scheduled) -> Result<Accepted, ServiceError> {
    match scheduled {
        Scheduled::New(_) => Ok(Accepted::Scheduled),
        Scheduled::AlreadyRunning(running) if running.is_same => Ok(Accepted::AlreadyRunning),
        Scheduled::AlreadyRunning(_) => Err(ServiceError::AlreadyRunning),
    }
}
