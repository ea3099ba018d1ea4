//! Tasks behind a policy. What is done to them is shown to it.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{RunId, TaskKey};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

use super::{Call, Fate, Faulty, Policy, Seen, call, failed};
use crate::error::StoreError;
use crate::event::{Applied, Event, Outcome};
use crate::queue::{ClaimRequest, Claimer, Reservation, RunQueue};
use crate::tasks::{ListRequest, StoredTask, TaskPage, TaskStore, Unfinished};

#[async_trait]
impl RunQueue for Faulty<dyn TaskStore> {
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<StoredTask>, StoreError> {
        let call = call("tasks.claim", true);
        let fate = self.policy.before(call).await;
        if matches!(fate, Fate::Rejected | Fate::Conflict) {
            return Err(failed(fate));
        }
        let answer = self.inner.claim(request).await;
        if let Ok(claimed) = &answer {
            self.policy.done(Seen::Claimed(claimed));
        }
        self.policy.after(call).await;
        if fate == Fate::DoneButFailed {
            return Err(failed(fate));
        }
        if let Ok(claimed) = &answer {
            self.policy.told(Seen::Claimed(claimed));
        }
        answer
    }

    fn claim_along(&self, claimer: Arc<dyn Claimer>) {
        let policy = Arc::clone(&self.policy);
        self.inner.claim_along(Arc::new(Along { claimer, policy }));
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Faulty::read(self, "tasks.next_due", self.inner.next_due()).await
    }
}

#[async_trait]
impl TaskStore for Faulty<dyn TaskStore> {
    async fn apply(&self, key: &TaskKey, event: Event) -> Result<Applied, StoreError> {
        let call = Call {
            event: Some(&event),
            ..call("tasks.apply", true)
        };
        let fate = self.policy.before(call).await;
        let answer = match fate {
            Fate::Done | Fate::DoneButFailed => self.inner.apply(key, event.clone()).await,
            Fate::Conflict if names_a_version(&event) => Ok(Applied {
                outcome: Outcome::VersionMismatch,
                task: self.inner.get(key).await?,
            }),
            Fate::Rejected | Fate::Conflict => Err(failed(fate)),
        };
        if let Ok(applied) = &answer {
            self.policy.done(Seen::Applied(key, &event, applied));
        }
        self.policy.after(call).await;
        if fate == Fate::DoneButFailed {
            return Err(failed(fate));
        }
        if let Ok(applied) = &answer {
            self.policy.told(Seen::Applied(key, &event, applied));
        }
        answer
    }

    async fn get(&self, key: &TaskKey) -> Result<Option<Task>, StoreError> {
        Faulty::read(self, "tasks.get", self.inner.get(key)).await
    }

    async fn read(&self, key: &TaskKey) -> Result<Option<StoredTask>, StoreError> {
        Faulty::read(self, "tasks.read", self.inner.read(key)).await
    }

    async fn log(&self, key: &TaskKey, run: RunId) -> Result<Option<String>, StoreError> {
        Faulty::read(self, "tasks.log", self.inner.log(key, run)).await
    }

    async fn list(&self, request: &ListRequest) -> Result<TaskPage, StoreError> {
        Faulty::read(self, "tasks.list", self.inner.list(request)).await
    }

    async fn held(&self, limit: usize) -> Result<Vec<Task>, StoreError> {
        Faulty::read(self, "tasks.held", self.inner.held(limit)).await
    }

    async fn remove_tombstones(&self) -> Result<u64, StoreError> {
        let work = self.inner.remove_tombstones();
        self.write("tasks.remove_tombstones", work).await
    }

    async fn unfinished(&self) -> Result<Unfinished, StoreError> {
        Faulty::read(self, "tasks.unfinished", self.inner.unfinished()).await
    }
}

/// A claimer whose runs come as late as other answers do. They do come: whoever is asked in the
/// middle of a write lives in the process that writes.
#[derive(Debug)]
struct Along {
    claimer: Arc<dyn Claimer>,
    policy: Arc<dyn Policy>,
}

#[derive(Debug)]
struct Late {
    reservation: Box<dyn Reservation>,
    policy: Arc<dyn Policy>,
}

impl Claimer for Along {
    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        let reservation = self.claimer.reserve()?;
        let policy = Arc::clone(&self.policy);
        Some(Box::new(Late {
            reservation,
            policy,
        }))
    }
}

impl Reservation for Late {
    fn request(&self) -> &ClaimRequest {
        self.reservation.request()
    }

    fn start(self: Box<Self>, claimed: Vec<StoredTask>) {
        let Self {
            reservation,
            policy,
        } = *self;
        policy.done(Seen::Claimed(&claimed));
        tokio::spawn(async move {
            policy.after(call("tasks.claim", true)).await;
            policy.told(Seen::Claimed(&claimed));
            reservation.start(claimed);
        });
    }
}

fn names_a_version(event: &Event) -> bool {
    match event {
        Event::Schedule(run) => run.condition.is_some(),
        Event::Cancel { if_version, .. }
        | Event::Acknowledge { if_version, .. }
        | Event::Delete { if_version } => if_version.is_some(),
        Event::Claim(_)
        | Event::Run { .. }
        | Event::HostLost { .. }
        | Event::PreviousEnded { .. } => false,
    }
}
