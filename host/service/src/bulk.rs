//! Does one thing to all tasks that a filter finds, or tells what it would do.
//!
//! # Guarantees
//! 1. A task is changed only in a version that the filter has found: one that has moved on is
//!    looked at again, and left alone where the filter does not find it any more.
//! 2. What is scheduled after the call has begun is not meant.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use taskhost_model::ids::TaskId;
use taskhost_model::requester::Requester;
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_model::trace::TraceParent;
use taskhost_store::tasks::ListRequest;

use crate::core::Tasks;
use crate::error::ServiceError;
use crate::retry::RetryRequest;
use crate::schedule::Scheduled;

/// Tasks that one call does something to.
pub(crate) const TASKS_MAX: usize = 10_000;
/// Of a page of the list.
const PAGE: usize = 500;
/// Tasks that are under way at once.
const AT_ONCE: usize = 32;
/// So often a task is looked at that others keep changing.
const TRIES: u32 = 5;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BulkOp {
    /// Cancel what is in progress.
    Cancel {
        /// For whoever looks at it later.
        reason: Option<String>,
    },
    /// Acknowledge what is completed.
    Acknowledge,
    /// Delete, whatever its status.
    Delete,
    /// Run again what is over.
    Retry {
        /// Without the checkpoints of its former run.
        fresh: bool,
    },
}

/// To which tasks.
#[derive(Debug, Clone)]
pub struct BulkRequest {
    /// What to do.
    pub op: BulkOp,
    /// Which tasks; where no status is named, those to which it can be done. At most `limit` of
    /// them, from the cursor on.
    pub filter: ListRequest,
    /// Nothing is done.
    pub dry_run: bool,
    /// What the request is part of.
    pub trace: Option<TraceParent>,
}

/// What was done.
#[derive(Debug)]
pub struct BulkAnswer {
    /// Each task that the filter has found.
    pub results: Vec<BulkResult>,
    /// Where the next call goes on; none: these were all.
    pub next: Option<String>,
}

/// What was done to one.
#[derive(Debug)]
pub struct BulkResult {
    /// The task.
    pub id: TaskId,
    /// Its status when it was found.
    pub found: Status,
    /// What came of it.
    pub outcome: Result<BulkOutcome, ServiceError>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkOutcome {
    /// It would be done.
    WouldBeDone,
    /// It is done, and this is its status now.
    Done(Status),
    /// It has changed meanwhile, so that it is not meant any more.
    Changed,
}

impl Tasks {
    /// Does it.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Forbidden`], or what the store says while it
    /// looks for them; what was done by then stays done.
    pub async fn bulk(
        &self,
        by: &Requester,
        request: BulkRequest,
    ) -> Result<BulkAnswer, ServiceError> {
        self.check_running()?;
        let limit = request.filter.limit;
        if !(1..=TASKS_MAX).contains(&limit) {
            let problem = format!("has to be between 1 and {TASKS_MAX}");
            return Err(ServiceError::invalid("limit", problem));
        }
        self.0
            .caller(by)
            .must_operate(&request.filter.space)
            .await?;
        let mut filter = request.filter.clone();
        let now = self.0.clock.now();
        // Also what is run again here would be found once more.
        let end = now.plus(std::time::Duration::from_millis(1));
        filter.created_before = Some(filter.created_before.unwrap_or(end).min(end));
        if filter.statuses.is_empty() {
            filter.statuses = statuses_of(&request.op).to_vec();
        }
        let mut answer = BulkAnswer {
            results: Vec::new(),
            next: None,
        };
        loop {
            filter.limit = PAGE.min(limit - answer.results.len());
            let page = self.list(by, filter.clone()).await?;
            let tasks = page.tasks.into_iter();
            let one = |task| self.bulk_result(by, &request, &filter, task).boxed();
            let each: Vec<BoxFuture<'_, BulkResult>> = tasks.map(one).collect();
            let results: Vec<BulkResult> = stream::iter(each).buffered(AT_ONCE).collect().await;
            answer.results.extend(results);
            answer.next = page.next;
            if answer.next.is_none() || answer.results.len() >= limit {
                return Ok(answer);
            }
            filter.cursor.clone_from(&answer.next);
        }
    }

    async fn bulk_result(
        &self,
        by: &Requester,
        request: &BulkRequest,
        filter: &ListRequest,
        task: Task,
    ) -> BulkResult {
        BulkResult {
            id: task.id.clone(),
            found: self.status(&task),
            outcome: self.bulk_one(by, request, filter, &task).await,
        }
    }

    async fn bulk_one(
        &self,
        by: &Requester,
        request: &BulkRequest,
        filter: &ListRequest,
        found: &Task,
    ) -> Result<BulkOutcome, ServiceError> {
        if request.dry_run {
            return Ok(BulkOutcome::WouldBeDone);
        }
        let key = found.key();
        let mut version = found.version;
        for _ in 0..TRIES {
            match self.bulk_op(by, request, found, version).await {
                Err(ServiceError::VersionMismatch) => {}
                // It was deleted meanwhile.
                Err(ServiceError::NotFound { .. }) => return Ok(BulkOutcome::Changed),
                done => return done.map(BulkOutcome::Done),
            }
            match self.0.seen(self.0.caller(by), &key).await? {
                Some(task) if filter.wants(&task) => version = task.version,
                _ => return Ok(BulkOutcome::Changed),
            }
        }
        Err(ServiceError::VersionMismatch)
    }

    async fn bulk_op(
        &self,
        by: &Requester,
        request: &BulkRequest,
        found: &Task,
        version: u64,
    ) -> Result<Status, ServiceError> {
        let (key, version) = (found.key(), Some(version));
        match &request.op {
            BulkOp::Cancel { reason } => {
                let view = self.cancel(by, &key, reason.clone(), version).await?;
                Ok(view.status)
            }
            BulkOp::Acknowledge => Ok(self.acknowledge(by, &key, version).await?.status),
            BulkOp::Delete => {
                self.delete(by, &key, version).await?;
                Ok(Status::NotStarted)
            }
            BulkOp::Retry { fresh } => {
                let wanted = RetryRequest {
                    fresh: *fresh,
                    if_version: version,
                    trace: request.trace,
                };
                match self.retry(by, &key, wanted).await? {
                    Scheduled::New(view) => Ok(view.status),
                    Scheduled::AlreadyRunning(running) => Ok(running.view.status),
                }
            }
        }
    }
}

fn statuses_of(op: &BulkOp) -> &'static [Status] {
    match op {
        BulkOp::Cancel { .. } => &[Status::InProgress],
        BulkOp::Acknowledge => &[Status::Completed],
        BulkOp::Retry { .. } => &[Status::Failed],
        BulkOp::Delete => &[],
    }
}
