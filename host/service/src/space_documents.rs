//! The space's own documents, which people keep and task types read: prompts, for one.

use std::sync::Arc;

use taskhost_clients::json;
use taskhost_model::ids::{DocumentId, Label, Space};
use taskhost_model::requester::Requester;
use taskhost_store::documents::{
    BODY_BYTES_MAX, Change, ChangeRefused, Document, DocumentPage, Scope, Writer,
};

use crate::collections::{Collections, LIMIT_MAX};
use crate::error::ServiceError;

impl Collections {
    /// A page of a collection of the space, by id.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when no task type reads the label, or what the store says.
    pub async fn list_of_space(
        &self,
        by: &Requester,
        (space, label): (&Space, &Label),
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<DocumentPage, ServiceError> {
        if !(1..=LIMIT_MAX).contains(&limit) {
            let problem = format!("has to be between 1 and {LIMIT_MAX}");
            return Err(ServiceError::invalid("limit", problem));
        }
        self.0.caller(by).must_read(space).await?;
        let scope = self.scope_of_space(space, label)?;
        Ok(self.0.documents.query(&scope, None, cursor, limit).await?)
    }

    /// One document of the space.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], or what the store says.
    pub async fn get_of_space(
        &self,
        by: &Requester,
        (space, label): (&Space, &Label),
        id: &DocumentId,
    ) -> Result<Document, ServiceError> {
        let scope = self.scope_of_space(space, label)?;
        let document = match self.0.caller(by).may_read(space, None).await? {
            true => self.0.documents.get(&scope, id).await?,
            false => None,
        };
        document.ok_or_else(|| missing(label, id))
    }

    /// Keeps a document, an object as JSON text, new or in place of the old one; answers its
    /// version. With a version only in place of that one.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when no task type reads the label, [`ServiceError::Forbidden`],
    /// [`ServiceError::Invalid`], [`ServiceError::TooLarge`], [`ServiceError::VersionMismatch`],
    /// or what the store says.
    pub async fn put_of_space(
        &self,
        by: &Requester,
        (space, label): (&Space, &Label),
        id: &DocumentId,
        body: &str,
        if_version: Option<String>,
    ) -> Result<String, ServiceError> {
        self.0.caller(by).must_operate(space).await?;
        let scope = self.scope_of_space(space, label)?;
        let bytes = body.len() as u64;
        if bytes > BODY_BYTES_MAX {
            let (what, bytes_max) = ("the document", BODY_BYTES_MAX);
            return Err(ServiceError::TooLarge {
                what,
                bytes,
                bytes_max,
            });
        }
        let checked = json::check_object(body);
        checked.map_err(|error| ServiceError::invalid("body", error.to_string()))?;
        let put = Change::Put {
            id: id.clone(),
            body: Arc::from(body),
            if_version,
        };
        self.change_of_space(by, &scope, put).await
    }

    /// Removes a document of the space; with a version only that one.
    ///
    /// # Errors
    /// As of [`Self::put_of_space`]; [`ServiceError::NotFound`] where there is none.
    pub async fn delete_of_space(
        &self,
        by: &Requester,
        (space, label): (&Space, &Label),
        id: &DocumentId,
        if_version: Option<String>,
    ) -> Result<(), ServiceError> {
        self.0.caller(by).must_operate(space).await?;
        let scope = self.scope_of_space(space, label)?;
        let delete = Change::Delete {
            id: id.clone(),
            if_version,
        };
        self.change_of_space(by, &scope, delete).await.map(drop)
    }

    async fn change_of_space(
        &self,
        by: &Requester,
        scope: &Scope,
        change: Change,
    ) -> Result<String, ServiceError> {
        let id = match &change {
            Change::Create { id, .. } | Change::Put { id, .. } | Change::Delete { id, .. } => {
                id.clone()
            }
        };
        let writer = Writer::Person(by.name.clone());
        let answers = self.0.documents.apply(scope, &writer, vec![change]).await?;
        let answer = answers.into_iter().next();
        let answer = answer.ok_or_else(|| ServiceError::Internal {
            reason: "the store gave no answer".to_owned(),
        })?;
        answer.map_err(|refused| match refused {
            ChangeRefused::Conflict => ServiceError::VersionMismatch,
            // The size has been looked at before.
            ChangeRefused::NotFound | ChangeRefused::TooLarge { .. } => missing(&scope.label, &id),
        })
    }

    /// A label is the people's as long as a task type reads it so.
    fn scope_of_space(&self, space: &Space, label: &Label) -> Result<Scope, ServiceError> {
        if !self.0.types.is_read_of_spaces(label) {
            let what = format!(
                "collection `{label}` of a space: no active task type names it in \
                 `space_collections`"
            );
            return Err(ServiceError::NotFound { what });
        }
        Ok(Scope {
            space: space.clone(),
            stream: None,
            label: label.clone(),
        })
    }
}

fn missing(label: &Label, id: &DocumentId) -> ServiceError {
    ServiceError::NotFound {
        what: format!("document `{id}` in the space's collection `{label}`"),
    }
}
