//! The features of a stream, as people see and change them. What becomes of one is
//! `model::feature`'s; here is who may, and the write.
//!
//! # Guarantees
//! 1. What was read is what is changed: of two that change one feature at once, the second looks
//!    again, unless it has named the version that it had read.
//! 2. A stream that somebody may not read is answered as if there were none.

use std::sync::Arc;

use serde_json::Value;
use taskhost_model::feature::{Change as By, Edit, Feature, Mistake};
use taskhost_model::ids::{DocumentId, Label, StreamKey};
use taskhost_model::query::Query;
use taskhost_model::requester::Requester;
use taskhost_model::time::Timestamp;
use taskhost_store::documents::{Change, ChangeRefused, Scope, Writer};

use crate::core::Core;
use crate::error::{FieldError, ServiceError};
use crate::keeping::{FEATURES, kept_for};
use crate::streams::Streams;

/// Documents that are read at a time, and times.
const PAGE: usize = 1_000;
const PAGES_MAX: usize = 100;
/// Bytes of features that one list holds; the collection's own route has pages.
const LIST_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Looks at a feature that others change all the time.
const TRIES_MAX: u32 = 5;

/// Features for people. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Features(pub(crate) Arc<Core>);

/// A feature with its version, which is opaque and changes with every write.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The feature.
    pub feature: Feature,
    /// Its version.
    pub version: String,
}

/// What a person does with one feature.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Makes it, or changes what is given of it.
    Put(Value),
    /// Wants never to hear of it again.
    Exclude,
    /// Wants to hear of it again.
    Restore,
    /// Removes it; a later run may find it again.
    Delete,
}

/// A deed, and what the feature had to be like when the person read it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What they do.
    pub deed: Deed,
    /// The version that was read; none: whatever it is like.
    pub if_version: Option<String>,
}

impl From<Deed> for Wanted {
    fn from(deed: Deed) -> Self {
        let if_version = None;
        Self { deed, if_version }
    }
}

/// What became of a deed.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// It was made.
    Made(Stored),
    /// It is like this now.
    Changed(Stored),
    /// It is gone.
    Deleted,
}

impl Features {
    /// Those that are neither expired nor, unless they are asked for, excluded: the surest first.
    ///
    /// # Errors
    /// [`ServiceError::UnknownStream`], [`ServiceError::NotFound`] when no task type owns the
    /// collection, [`ServiceError::TooLarge`], or what the store says.
    pub async fn list(
        &self,
        by: &Requester,
        key: &StreamKey,
        with_excluded: bool,
    ) -> Result<Vec<Stored>, ServiceError> {
        let scope = self.scope(by, key).await?;
        let now = self.0.clock.now();
        let (mut all, mut bytes, mut cursor) = (Vec::new(), 0, None::<String>);
        for _ in 0..PAGES_MAX {
            let documents = &self.0.documents;
            let page = documents
                .query(&scope, None, cursor.as_deref(), PAGE)
                .await?;
            bytes += page.documents.iter().map(|it| it.body.len()).sum::<usize>();
            if bytes > LIST_BYTES_MAX {
                return Err(ServiceError::TooLarge {
                    what: "the list of features",
                    bytes: bytes as u64,
                    bytes_max: LIST_BYTES_MAX as u64,
                });
            }
            let read = page.documents.into_iter().filter_map(|document| {
                Some(Stored {
                    feature: Feature::read(document.id.as_str(), &document.body)?,
                    version: document.version,
                })
            });
            all.extend(read.filter(|one| is_shown(&one.feature, with_excluded, now)));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let sureness = |one: &Stored| {
            let of = |field| one.feature.number(field).unwrap_or(0);
            (of("confidence"), of("count"))
        };
        all.sort_by_key(|one| std::cmp::Reverse(sureness(one)));
        Ok(all)
    }

    /// One of them, also one that is excluded or has expired.
    ///
    /// # Errors
    /// As [`Self::list`].
    pub async fn get(
        &self,
        by: &Requester,
        key: &StreamKey,
        id: &DocumentId,
    ) -> Result<Stored, ServiceError> {
        let scope = self.scope(by, key).await?;
        self.read(&scope, id).await?.ok_or_else(|| absent(id))
    }

    /// Whether they may change features of a stream.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] when they may not, or as [`Self::list`].
    pub async fn check_may_change(
        &self,
        by: &Requester,
        key: &StreamKey,
    ) -> Result<(), ServiceError> {
        self.scope_to_change(by, key).await.map(drop)
    }

    async fn scope_to_change(
        &self,
        by: &Requester,
        key: &StreamKey,
    ) -> Result<Scope, ServiceError> {
        self.0.caller(by).must_operate(&key.space).await?;
        self.scope(by, key).await
    }

    /// Does what a person wants with one feature.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`], [`ServiceError::Invalid`] with every mistake,
    /// [`ServiceError::NotFound`], [`ServiceError::VersionMismatch`], or as [`Self::list`].
    pub async fn change(
        &self,
        by: &Requester,
        key: &StreamKey,
        id: &DocumentId,
        Wanted { deed, if_version }: &Wanted,
    ) -> Result<Done, ServiceError> {
        let scope = self.scope_to_change(by, key).await?;
        let edit = match deed {
            Deed::Put(given) => Some(Edit::parse(given).map_err(invalid)?),
            Deed::Exclude | Deed::Restore | Deed::Delete => None,
        };
        let count = match edit.as_ref().and_then(Edit::filter) {
            Some(filter) => Some(self.count(by, key, filter).await?),
            None => None,
        };
        for _ in 0..TRIES_MAX {
            let before = self.read(&scope, id).await?;
            if let Some(if_version) = if_version {
                match (&before, deed) {
                    (Some(before), _) if before.version == *if_version => {}
                    // What is not there is told as such, whatever version it had.
                    (None, Deed::Exclude | Deed::Restore | Deed::Delete) => {}
                    _ => return Err(ServiceError::VersionMismatch),
                }
            }
            let change = By {
                by: &by.name,
                at: self.0.clock.now(),
                kept_for: kept_for(self.0.settings.features_keep_days),
            };
            let after = after(id, before.as_ref(), deed, edit.as_ref(), change)?;
            let after = after.map(|after| recounted(before.as_ref(), after, count));
            match self.write(by, &scope, id, before.as_ref(), after).await? {
                Ok(done) => return Ok(done),
                // Somebody else was quicker.
                Err(ChangeRefused::Conflict | ChangeRefused::NotFound) => {}
                Err(ChangeRefused::TooLarge { bytes }) => {
                    return Err(ServiceError::TooLarge {
                        what: "the feature",
                        bytes,
                        bytes_max: taskhost_store::documents::BODY_BYTES_MAX,
                    });
                }
            }
        }
        Err(ServiceError::VersionMismatch)
    }

    async fn write(
        &self,
        by: &Requester,
        scope: &Scope,
        id: &DocumentId,
        before: Option<&Stored>,
        after: Option<Feature>,
    ) -> Result<Result<Done, ChangeRefused>, ServiceError> {
        let if_version = before.map(|before| before.version.clone());
        let (id, body) = (id.clone(), after.as_ref().map(Feature::to_json));
        let change = match (body, &if_version) {
            (Some(body), None) => Change::Create {
                id,
                body: Arc::from(body),
            },
            (Some(body), Some(_)) => Change::Put {
                id,
                body: Arc::from(body),
                if_version,
            },
            (None, _) => Change::Delete { id, if_version },
        };
        let (documents, scope) = (Arc::clone(&self.0.documents), scope.clone());
        let writer = Writer::Person(by.name.clone());
        // Carried out also when whoever asks hangs up.
        let whole =
            tokio::spawn(async move { documents.apply(&scope, &writer, vec![change]).await });
        let answers = whole.await.map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })??;
        let Some(answer) = answers.into_iter().next() else {
            let reason = "the store answered no change".to_owned();
            return Err(ServiceError::Internal { reason });
        };
        Ok(answer.map(|version| match after {
            None => Done::Deleted,
            Some(feature) if before.is_none() => Done::Made(Stored { feature, version }),
            Some(feature) => Done::Changed(Stored { feature, version }),
        }))
    }

    /// How many documents of the whole stream a filter selects now, and how many there are.
    async fn count(
        &self,
        by: &Requester,
        key: &StreamKey,
        filter: taskhost_model::condition::Condition,
    ) -> Result<(u64, u64), ServiceError> {
        let streams = Streams(Arc::clone(&self.0));
        let stream = streams.get(by, key).await?;
        let (Some(first), Some(last)) = (stream.first_at, stream.last_at) else {
            return Ok((0, stream.documents));
        };
        let mut query = Query::range(first, Timestamp::from_ms(last.as_ms() + 1));
        query.condition = Some(filter);
        let count = streams.count(by, key, &query).await?;
        Ok((count.value, stream.documents))
    }

    /// The collection of a stream that they may read.
    async fn scope(&self, by: &Requester, key: &StreamKey) -> Result<Scope, ServiceError> {
        Streams(Arc::clone(&self.0)).get(by, key).await?;
        let label = Label::parse(FEATURES).map_err(|error| ServiceError::Internal {
            reason: error.to_string(),
        })?;
        if self.0.documents.label_owner(&label).await?.is_none() {
            let what = format!("collection `{label}`: no task type declares it");
            return Err(ServiceError::NotFound { what });
        }
        Ok(Scope {
            space: key.space.clone(),
            stream: Some(key.name.clone()),
            label,
        })
    }

    async fn read(&self, scope: &Scope, id: &DocumentId) -> Result<Option<Stored>, ServiceError> {
        let document = self.0.documents.get(scope, id).await?;
        Ok(document.and_then(|document| {
            Some(Stored {
                feature: Feature::read(id.as_str(), &document.body)?,
                version: document.version,
            })
        }))
    }
}

/// What a feature is like after a deed; none: gone. One that has expired is there still, and comes
/// back by what somebody does with it.
fn after(
    id: &DocumentId,
    before: Option<&Stored>,
    deed: &Deed,
    edit: Option<&Edit>,
    change: By<'_>,
) -> Result<Option<Feature>, ServiceError> {
    let feature = before.map(|before| before.feature.clone());
    match (deed, feature, edit) {
        (Deed::Put(_), None, Some(edit)) => {
            let made = Feature::made(id.as_str(), edit, change);
            made.map(Some).map_err(invalid)
        }
        (Deed::Put(_), Some(feature), Some(edit)) => {
            let feature = match feature.is_expired(change.at) {
                true => feature.restored(change),
                false => feature,
            };
            feature.edited(edit).map(Some).map_err(invalid)
        }
        (Deed::Exclude, Some(feature), _) => Ok(Some(feature.excluded(change))),
        (Deed::Restore, Some(feature), _) => Ok(Some(feature.restored(change))),
        (Deed::Delete, Some(_), _) => Ok(None),
        _ => Err(absent(id)),
    }
}

/// Its number of documents is another one where its filter is.
fn recounted(before: Option<&Stored>, after: Feature, count: Option<(u64, u64)>) -> Feature {
    let is_same = before.is_some_and(|before| before.feature.filter() == after.filter());
    match count {
        Some((count, of)) if !is_same => after.counted(count, of),
        _ => after,
    }
}

fn is_shown(feature: &Feature, with_excluded: bool, now: Timestamp) -> bool {
    !feature.is_expired(now) && (with_excluded || !feature.is_excluded())
}

fn invalid(mistakes: Vec<Mistake>) -> ServiceError {
    let error = |mistake: Mistake| FieldError {
        field: mistake.field,
        problem: mistake.problem,
    };
    ServiceError::Invalid {
        errors: mistakes.into_iter().map(error).collect(),
    }
}

fn absent(id: &DocumentId) -> ServiceError {
    ServiceError::NotFound {
        what: format!("feature `{id}` of this stream"),
    }
}
