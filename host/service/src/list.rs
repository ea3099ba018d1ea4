//! Lists tasks, newest first.
//!
//! A list has what whoever asks may see, and tells nothing of the rest: a page is as long as if
//! there were nothing else, one that has a next page has more to show there, and no cursor is made
//! of a task that they do not see.

use taskhost_model::requester::Requester;
use taskhost_model::status::Status;
use taskhost_store::tasks::{ListRequest, TaskPage};

use crate::access::Caller;
use crate::core::{Core, Tasks};
use crate::error::ServiceError;

/// The most documents of one page.
const LIMIT_MAX: usize = 1_000;
/// Documents that are looked at in one go for somebody who does not see all of them.
const LOOKED_AT: usize = 200;

impl Tasks {
    /// A page of documents.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a limit or cursor out of bounds,
    /// [`ServiceError::Forbidden`], or what the store says.
    pub async fn list(
        &self,
        by: &Requester,
        request: ListRequest,
    ) -> Result<TaskPage, ServiceError> {
        if !(1..=LIMIT_MAX).contains(&request.limit) {
            let problem = format!("has to be between 1 and {LIMIT_MAX}");
            return Err(ServiceError::invalid("limit", problem));
        }
        self.0.list_seen(self.0.caller(by), request).await
    }

    /// How many tasks there are of each status, of those that the list shows over all its pages,
    /// whatever statuses it is asked for; none where whoever asks may not see all of them, since
    /// nobody counts what they may.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], or what the store says.
    pub async fn counts(
        &self,
        by: &Requester,
        request: ListRequest,
    ) -> Result<Option<Vec<(Status, u64)>>, ServiceError> {
        let caller = self.0.caller(by);
        if caller.is_asked() {
            caller.must_read(&request.space).await?;
            return Ok(None);
        }
        let request = ListRequest {
            statuses: Vec::new(),
            cursor: None,
            ..request
        };
        Ok(Some(self.0.tasks.counts(&request).await?))
    }
}

impl Core {
    async fn list_seen(
        &self,
        caller: Caller<'_>,
        request: ListRequest,
    ) -> Result<TaskPage, ServiceError> {
        if !caller.is_asked() {
            return Ok(self.tasks.list(&request).await?);
        }
        let mut found = TaskPage {
            tasks: Vec::new(),
            cursors: Vec::new(),
            next: None,
        };
        caller.must_read(&request.space).await?;
        let mut look = ListRequest {
            limit: LOOKED_AT.max(request.limit),
            ..request.clone()
        };
        loop {
            let page = self.tasks.list(&look).await?;
            let sees = caller.sees_each(&page.tasks).await?;
            let tasks = page.tasks.into_iter().zip(page.cursors).zip(sees);
            for ((task, cursor), is_seen) in tasks {
                if !is_seen {
                    continue;
                }
                if found.tasks.len() == request.limit {
                    found.next = found.cursors.last().cloned();
                    return Ok(found);
                }
                found.tasks.push(task);
                found.cursors.push(cursor);
            }
            if page.next.is_none() {
                return Ok(found);
            }
            look.cursor = page.next;
        }
    }
}
