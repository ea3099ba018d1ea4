//! People who use the service: each wants something of one task, again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use taskhost_model::ids::{RunId, Space, TaskId, TaskKey, TypeId};
use taskhost_model::requester::Requester;
use taskhost_service::error::ServiceError;
use taskhost_service::{ScheduleRequest, Scheduled, Service};

use crate::guest::{self, KINDS};

/// Between two tries of somebody who was told that the store is away.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How long somebody waits for a change.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs whose schedule was answered well.
#[derive(Debug, Default)]
pub(crate) struct Accepted(Mutex<Vec<RunId>>);

impl Accepted {
    fn note(&self, run: RunId) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.push(run);
    }

    pub(crate) fn runs(&self) -> Vec<RunId> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What somebody wants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wish {
    Schedule(u8),
    Read,
    WaitForChange,
    Cancel,
    Acknowledge,
    Delete,
}

impl Wish {
    /// Any of them; half are schedules.
    pub(crate) fn any(random: &mut StdRng) -> Self {
        match random.random_range(0..10) {
            0..5 => Self::Schedule(KINDS[random.random_range(0..KINDS.len())]),
            5 | 6 => Self::Cancel,
            7 => Self::Acknowledge,
            8 => Self::Delete,
            _ => Self::Read,
        }
    }
}

/// Says a wish once.
pub(crate) async fn say(
    service: &Service,
    accepted: &Accepted,
    id: &str,
    wish: Wish,
) -> Result<(), ServiceError> {
    let (tasks, by, key) = (&service.tasks, somebody(), key(id));
    match wish {
        Wish::Schedule(kind) => {
            let request = ScheduleRequest {
                type_id: TypeId::parse(guest::TYPE).unwrap(),
                stream: None,
                params: Arc::from(kind.to_string()),
                priority: None,
                run_at: None,
                timeout_ms: None,
                record: false,
                trace: None,
                condition: None,
            };
            if let Scheduled::New(view) = tasks.schedule(&by, key, request).await? {
                // Deleted meanwhile, it is not shown.
                if let Some(task) = &view.task {
                    accepted.note(task.run.id);
                }
            }
            Ok(())
        }
        Wish::Read => tasks.get(&by, &key).await.map(drop),
        Wish::WaitForChange => {
            let since = tasks.get(&by, &key).await?.revision();
            tasks.wait(&by, &key, since, PATIENCE).await.map(drop)
        }
        Wish::Cancel => tasks.cancel(&by, &key, None, None).await.map(drop),
        Wish::Acknowledge => tasks.acknowledge(&by, &key, None).await.map(drop),
        Wish::Delete => tasks.delete(&by, &key, None).await,
    }
}

/// Says a wish until the store is there for it. Refusals of the service are answers, too.
pub(crate) async fn insist(service: &Service, accepted: &Accepted, id: &str, wish: Wish) {
    while let Err(error) = say(service, accepted, id, wish).await {
        match error {
            ServiceError::Unavailable { .. } => {
                // tidy: sleep allowed because the time is the test's own, and passes in no time
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            ServiceError::CancellationInProgress
            | ServiceError::NotCompleted { .. }
            | ServiceError::NotFound { .. }
            | ServiceError::VersionMismatch
            | ServiceError::Stopping => return,
            error => panic!("{wish:?}: {error}"),
        }
    }
}

pub(crate) fn space() -> Space {
    Space::parse("default").unwrap()
}

pub(crate) fn key(id: &str) -> TaskKey {
    TaskKey {
        space: space(),
        id: TaskId::parse(id).unwrap(),
    }
}

pub(crate) fn somebody() -> Requester {
    Requester::single_user()
}
