//! Documents that outlive the run, in the collections that the task type owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use taskhost_model::capabilities::Capabilities;
use taskhost_model::condition::Condition;
use taskhost_model::ids::{DocumentId, Label};
use taskhost_store::documents as store;
use taskhost_store::documents::{BODY_BYTES_MAX, ChangeRefused, DocumentStore, Writer};
use taskhost_store::error::StoreError;

use crate::caps::{
    CHANGES_BYTES_MAX, CHANGES_MAX, COLLECTIONS_OPEN_MAX, PAGE_DOCUMENTS_MAX, batch_bytes_max,
};
use crate::context::RunInfo;
use crate::denied::{Denial, Denials};
use crate::error::{ClientError, ErrorCode};
use crate::scope::Scope;
use crate::stop::StopReason;
use crate::turns::Turns;
use crate::{json, request};

/// A stored document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its id.
    pub id: String,
    /// Another one after each change.
    pub version: String,
    /// JSON text, an object.
    pub body: String,
}

/// Part of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// By id.
    pub documents: Vec<Document>,
    /// Where it goes on; none at the end.
    pub next: Option<String>,
}

/// One change, as it comes from a guest.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Stores a document that is new.
    Create {
        /// Its id.
        id: String,
        /// JSON text.
        body: String,
    },
    /// Stores a document, new or in place of the old one.
    Put {
        /// Its id.
        id: String,
        /// JSON text.
        body: String,
        /// Only in place of this version.
        if_version: Option<String>,
    },
    /// Removes a document.
    Delete {
        /// Its id.
        id: String,
        /// Only this version.
        if_version: Option<String>,
    },
}

/// The interface `documents`.
#[derive(Debug, Clone)]
pub struct Documents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    scope: Arc<Scope>,
    grant: Option<DocumentGrant>,
    open: AtomicUsize,
}

/// The labels that a run may use, and in whose name it writes.
#[derive(Debug)]
pub(crate) struct DocumentGrant {
    pub(crate) store: Arc<dyn DocumentStore>,
    pub(crate) turns: Arc<Turns>,
    pub(crate) labels: Vec<Label>,
    /// Collections of the space, which it reads.
    pub(crate) space_labels: Vec<Label>,
    /// Collections of its stream that other types own, which it asks to read …
    pub(crate) asked_labels: Vec<Label>,
    /// … and is allowed to.
    pub(crate) allowed_labels: Vec<Label>,
    pub(crate) denials: Denials,
    pub(crate) info: Arc<RunInfo>,
}

/// A collection of the run's stream, also another type's, or one of its space that people keep.
#[derive(Debug)]
pub struct Collection {
    documents: Arc<Inner>,
    store: Arc<dyn DocumentStore>,
    turns: Arc<Turns>,
    place: store::Scope,
    /// None: others write there.
    writer: Option<Writer>,
}

impl DocumentGrant {
    fn permit(&self, label: &Label) -> Result<(), ClientError> {
        if self.allowed_labels.contains(label) {
            return Ok(());
        }
        let message =
            format!("the operator does not allow this type to read the collection `{label}`");
        let setting = self.denials.setting(&Capabilities {
            collections: vec![label.clone()],
            ..Capabilities::default()
        });
        Err(self.denials.deny(Denial::not_allowed(&message, setting)))
    }
}

impl Documents {
    pub(crate) fn new(scope: Arc<Scope>, grant: Option<DocumentGrant>) -> Self {
        Self(Arc::new(Inner {
            scope,
            grant,
            open: AtomicUsize::new(0),
        }))
    }

    /// Opens one of the type's collections, or one that its descriptor names to be read: of another
    /// type's on the same stream, or of the space.
    ///
    /// # Errors
    /// `denied` for other labels, `invalid` for options, `too-large` above 64 open ones.
    pub fn open(&self, label: &str, options: Option<&str>) -> Result<Collection, ClientError> {
        self.0.scope.calls.enter("collection.open")?;
        let Some(grant) = &self.0.grant else {
            return Err(ClientError::denied(
                "there are no collections outside of a run",
            ));
        };
        let named = |labels: &[Label]| {
            let found = labels.iter().find(|granted| granted.as_str() == label);
            found.cloned()
        };
        let (own, others) = (named(&grant.labels), named(&grant.asked_labels));
        if let Some(label) = &others {
            grant.permit(label)?;
        }
        let is_own = own.is_some();
        let is_of_stream = is_own || others.is_some();
        let found = own.or(others).or_else(|| named(&grant.space_labels));
        let Some(label) = found else {
            let shown: String = label
                .chars()
                .take(64)
                .flat_map(char::escape_debug)
                .collect();
            return Err(ClientError::denied(format!(
                "the task type has not declared the collection `{shown}`: add it to `collections` \
                 in its descriptor"
            )));
        };
        request::no_options(options)?;
        if self.0.open.fetch_add(1, Ordering::AcqRel) >= COLLECTIONS_OPEN_MAX {
            self.0.open.fetch_sub(1, Ordering::AcqRel);
            let (open, max) = (COLLECTIONS_OPEN_MAX + 1, COLLECTIONS_OPEN_MAX as u64);
            return Err(ClientError::too_large(
                "the run",
                open,
                "open collections",
                max,
            ));
        }
        let task = grant.info.task.clone();
        Ok(Collection {
            documents: Arc::clone(&self.0),
            store: Arc::clone(&grant.store),
            turns: Arc::clone(&grant.turns),
            place: store::Scope {
                space: task.space.clone(),
                stream: grant.info.stream.clone().filter(|_| is_of_stream),
                label,
            },
            writer: is_own.then_some(Writer::Run {
                task,
                fence: grant.info.fence,
            }),
        })
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        self.documents.open.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Collection {
    /// The document with that id. Goes on working when the run is asked to stop.
    ///
    /// # Errors
    /// `invalid`, `unavailable`.
    pub async fn get(&self, id: &str) -> Result<Option<Document>, ClientError> {
        self.documents.scope.calls.enter("collection.get")?;
        let id = document_id(id)?;
        Ok(self.store.get(&self.place, &id).await?.map(Document::from))
    }

    /// Documents in order of id.
    ///
    /// # Errors
    /// `invalid`, `too-large`, `canceled`, `deadline`, `unavailable`.
    pub async fn query(
        &self,
        filter: Option<&str>,
        cursor: Option<&str>,
        limit: u32,
        options: Option<&str>,
    ) -> Result<Page, ClientError> {
        let scope = &self.documents.scope;
        scope.calls.enter("collection.query")?;
        scope.check()?;
        request::no_options(options)?;
        if !(1..=PAGE_DOCUMENTS_MAX).contains(&limit) {
            let problem = format!("has to be 1 to {PAGE_DOCUMENTS_MAX}");
            return Err(ClientError::invalid("limit", &problem));
        }
        let filter = filter.map(request::filter).transpose()?;
        let page = self.page(filter.as_ref(), cursor, limit as usize);
        scope.unless_stopped(page).await
    }

    /// Makes changes, each for itself. Goes on working when the run is asked to stop.
    ///
    /// # Errors
    /// Of the whole call: `denied` where others write, `too-large`, `unavailable`, and `canceled`
    /// when the run has lost its lease. Of a change: `conflict`, `not-found`, `invalid`,
    /// `too-large`.
    pub async fn apply(
        &self,
        changes: Vec<Change>,
        options: Option<&str>,
    ) -> Result<Vec<Result<String, ClientError>>, ClientError> {
        self.documents.scope.calls.enter("collection.apply")?;
        request::no_options(options)?;
        let Some(writer) = &self.writer else {
            return Err(ClientError::denied(format!(
                "the collection `{}` is one to read: people of the space write it, or another task \
                 type does",
                self.place.label
            )));
        };
        if changes.len() > CHANGES_MAX {
            let max = CHANGES_MAX as u64;
            return Err(ClientError::too_large(
                "`apply`",
                changes.len(),
                "changes",
                max,
            ));
        }
        let bytes: usize = changes.iter().map(Change::bytes).sum();
        if bytes as u64 > CHANGES_BYTES_MAX {
            return Err(ClientError::too_large(
                "`apply`",
                bytes,
                "bytes",
                CHANGES_BYTES_MAX,
            ));
        }
        let mut checked = Vec::with_capacity(changes.len());
        for change in changes {
            // A large body takes milliseconds to look through: others get their turn between.
            if change.bytes() > 64 * 1024 {
                tokio::task::yield_now().await;
            }
            checked.push(change.checked());
        }
        self.store_checked(writer, checked).await
    }

    /// Stores the good ones, and answers all in their order.
    async fn store_checked(
        &self,
        writer: &Writer,
        checked: Vec<Result<store::Change, ClientError>>,
    ) -> Result<Vec<Result<String, ClientError>>, ClientError> {
        let good: Vec<_> = checked
            .iter()
            .filter_map(|change| change.as_ref().ok())
            .collect();
        let good: Vec<_> = good.into_iter().cloned().collect();
        let stored = if good.is_empty() {
            Vec::new()
        } else {
            self.store
                .apply(&self.place, writer, good)
                .await
                .map_err(|error| {
                    if matches!(error, StoreError::Fenced) {
                        self.documents.scope.stop.ask(StopReason::Fenced);
                    }
                    ClientError::from(error)
                })?
        };
        let mut stored = stored.into_iter();
        let answers = checked.into_iter().map(|change| {
            change?;
            let missing = || {
                Err(ClientError::new(
                    ErrorCode::Internal,
                    "the store gave no answer",
                ))
            };
            stored
                .next()
                .map_or_else(missing, |answer| answer.map_err(ClientError::from))
        });
        Ok(answers.collect())
    }

    /// One page, asked again for fewer documents while it is too large for the run.
    async fn page(
        &self,
        filter: Option<&Condition>,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page, ClientError> {
        let bytes_max = batch_bytes_max(self.documents.scope.memory_bytes);
        let mut limit = limit;
        loop {
            let turn = self.turns.turn().await;
            let page = self.store.query(&self.place, filter, cursor, limit).await?;
            drop(turn);
            let fitting = fitting(&page.documents, bytes_max);
            if fitting == page.documents.len() || limit == 1 {
                let documents = page.documents.into_iter().map(Document::from).collect();
                return Ok(Page {
                    documents,
                    next: page.next,
                });
            }
            // The cursor belongs to the store, so a shorter page is asked for, not cut off.
            limit = fitting.max(1);
        }
    }
}

impl Change {
    /// Of its texts together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let (id, body, version) = match self {
            Self::Create { id, body } => (id, body.len(), None),
            Self::Put {
                id,
                body,
                if_version,
            } => (id, body.len(), if_version.as_ref()),
            Self::Delete { id, if_version } => (id, 0, if_version.as_ref()),
        };
        id.len() + body + version.map_or(0, String::len)
    }

    fn checked(self) -> Result<store::Change, ClientError> {
        Ok(match self {
            Self::Create { id, body } => store::Change::Create {
                id: document_id(&id)?,
                body: checked_body(body)?,
            },
            Self::Put {
                id,
                body,
                if_version,
            } => {
                let (id, body) = (document_id(&id)?, checked_body(body)?);
                store::Change::Put {
                    id,
                    body,
                    if_version,
                }
            }
            Self::Delete { id, if_version } => store::Change::Delete {
                id: document_id(&id)?,
                if_version,
            },
        })
    }
}

impl From<store::Document> for Document {
    fn from(document: store::Document) -> Self {
        Self {
            id: document.id.to_string(),
            version: document.version,
            body: document.body.to_string(),
        }
    }
}

impl From<ChangeRefused> for ClientError {
    fn from(refused: ChangeRefused) -> Self {
        let code = match refused {
            ChangeRefused::Conflict => ErrorCode::Conflict,
            ChangeRefused::NotFound => ErrorCode::NotFound,
            ChangeRefused::TooLarge { .. } => ErrorCode::TooLarge,
        };
        Self::new(code, refused.to_string())
    }
}

fn document_id(id: &str) -> Result<DocumentId, ClientError> {
    DocumentId::parse(id).map_err(|error| ClientError::invalid("id", &error.to_string()))
}

fn checked_body(body: String) -> Result<Arc<str>, ClientError> {
    if body.len() as u64 > BODY_BYTES_MAX {
        return Err(ClientError::too_large(
            "the body",
            body.len(),
            "bytes",
            BODY_BYTES_MAX,
        ));
    }
    let checked = json::check_object(&body);
    checked.map_err(|error| ClientError::invalid("body", &error.to_string()))?;
    Ok(Arc::from(body))
}

/// How many documents from the beginning fit.
fn fitting(documents: &[store::Document], bytes_max: u64) -> usize {
    let mut bytes = 0_u64;
    let fits = documents.iter().take_while(|document| {
        bytes += document.body.len() as u64;
        bytes <= bytes_max
    });
    fits.count()
}
