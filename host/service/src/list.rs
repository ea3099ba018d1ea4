//! Lists tasks, newest first.

use taskhost_model::requester::Requester;
use taskhost_store::tasks::{ListRequest, TaskPage};

use crate::core::Tasks;
use crate::error::ServiceError;

/// The most documents of one page.
const LIMIT_MAX: usize = 1_000;

impl Tasks {
    /// A page of documents.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a limit or cursor out of bounds, or what the store says.
    pub async fn list(
        &self,
        _by: &Requester,
        request: ListRequest,
    ) -> Result<TaskPage, ServiceError> {
        if !(1..=LIMIT_MAX).contains(&request.limit) {
            let problem = format!("has to be between 1 and {LIMIT_MAX}");
            return Err(ServiceError::invalid("limit", problem));
        }
        Ok(self.0.tasks.list(&request).await?)
    }
}
