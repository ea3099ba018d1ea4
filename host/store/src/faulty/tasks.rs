//! Tasks behind a policy. What is done to them is shown to it.

use std::sync::Arc;

use async_trait::async_trait;
use taskhost_model::ids::{RunId, Space, TaskKey, TypeId};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;
use tokio::runtime::Handle;

use super::{Call, Fate, Faulty, Policy, Seen, call, failed};
use crate::error::StoreError;
use crate::event::{Applied, Event, Outcome};
use crate::queue::{ClaimRequest, Claimer, Reservation, RunQueue, StoredTask};
use crate::tasks::{Children, ListRequest, TaskPage, TaskStore, Unfinished};

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
        self.inner.claim_along(Arc::new(Along {
            claimer,
            policy: Arc::clone(&self.policy),
            executor: Handle::current(),
        }));
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Faulty::read(self, "tasks.next_due", self.inner.next_due()).await
    }

    async fn holders(
        &self,
        space: &Space,
        type_id: &TypeId,
        concurrency_key: &str,
    ) -> Result<Vec<TaskKey>, StoreError> {
        let holders = self.inner.holders(space, type_id, concurrency_key);
        Faulty::read(self, "tasks.holders", holders).await
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

    async fn children(&self, run: RunId) -> Result<Children, StoreError> {
        Faulty::read(self, "tasks.children", self.inner.children(run)).await
    }

    async fn parents(&self) -> Result<Vec<(TaskKey, RunId)>, StoreError> {
        Faulty::read(self, "tasks.parents", self.inner.parents()).await
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
    /// The store's threads are on none.
    executor: Handle,
}

#[derive(Debug)]
struct Late {
    reservation: Box<dyn Reservation>,
    policy: Arc<dyn Policy>,
    executor: Handle,
}

impl Claimer for Along {
    fn reserve(&self) -> Option<Box<dyn Reservation>> {
        Some(Box::new(Late {
            reservation: self.claimer.reserve()?,
            policy: Arc::clone(&self.policy),
            executor: self.executor.clone(),
        }))
    }

    fn reserve_one(&self) -> Option<Box<dyn Reservation>> {
        Some(Box::new(Late {
            reservation: self.claimer.reserve_one()?,
            policy: Arc::clone(&self.policy),
            executor: self.executor.clone(),
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
            executor,
        } = *self;
        policy.done(Seen::Claimed(&claimed));
        executor.spawn(async move {
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
        | Event::PreviousEnded { .. }
        | Event::Resume { .. }
        | Event::Overdue { .. }
        | Event::Expire { .. }
        | Event::Import(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::along::{Listener, given};
    use crate::conformance::{Subject, given::clock};
    use crate::faulty::wrap;
    use crate::limits::Limits;
    use crate::open::{Settings, open};

    #[derive(Debug)]
    struct Everything;

    #[async_trait]
    impl Policy for Everything {
        async fn before(&self, _: Call<'_>) -> Fate {
            Fate::Done
        }

        async fn after(&self, _: Call<'_>) {}
    }

    #[tokio::test]
    async fn what_is_claimed_on_a_thread_of_the_store_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let (limits, clock) = (Limits::default(), clock());
        let settings = Settings {
            folder: folder.path().to_owned(),
            limits,
        };
        let policy: Arc<dyn Policy> = Arc::new(Everything);
        let stores = wrap(&open(&settings, clock.clone()).unwrap(), &policy);
        let s = Subject { stores, clock };
        let (listener, mut heard) = Listener::new(1);
        s.stores.tasks.claim_along(listener);
        for id in ["t", "u"] {
            s.scheduled(id).await.unwrap();
            assert_eq!(given(&mut heard).await[0].task.id.as_str(), id);
        }
    }
}
