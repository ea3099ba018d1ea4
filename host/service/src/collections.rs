//! Collections, as people read them: documents that tasks have written.

use std::sync::Arc;

use taskhost_model::condition::Condition;
use taskhost_model::ids::DocumentId;
use taskhost_model::requester::Requester;
use taskhost_store::documents::{Document, DocumentPage, Scope};

use crate::core::Core;
use crate::error::ServiceError;

/// The most documents of one page.
pub(crate) const LIMIT_MAX: usize = 1_000;

/// Collections for people. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Collections(pub(crate) Arc<Core>);

impl Collections {
    /// A page of a collection, by id.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when no task type owns the label, or what the store says.
    pub async fn list(
        &self,
        by: &Requester,
        scope: &Scope,
        condition: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, ServiceError> {
        if !(1..=LIMIT_MAX).contains(&limit) {
            let problem = format!("has to be between 1 and {LIMIT_MAX}");
            return Err(ServiceError::invalid("limit", problem));
        }
        if self.0.documents.label_owner(&scope.label).await?.is_none() {
            let what = format!("collection `{}`: no task type declares it", scope.label);
            return Err(ServiceError::NotFound { what });
        }
        if !self.may_read(by, scope).await? {
            return Ok(DocumentPage::default());
        }
        Ok(self
            .0
            .documents
            .query(scope, condition, cursor, limit)
            .await?)
    }

    /// One document.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or what the store says.
    pub async fn get(
        &self,
        by: &Requester,
        scope: &Scope,
        id: &DocumentId,
    ) -> Result<Document, ServiceError> {
        let document = match self.may_read(by, scope).await? {
            true => self.0.documents.get(scope, id).await?,
            false => None,
        };
        document.ok_or_else(|| ServiceError::NotFound {
            what: format!("document `{id}` in the collection `{}`", scope.label),
        })
    }

    async fn may_read(&self, by: &Requester, scope: &Scope) -> Result<bool, ServiceError> {
        let caller = self.0.caller(by);
        caller.may_read(&scope.space, scope.stream.as_ref()).await
    }
}
