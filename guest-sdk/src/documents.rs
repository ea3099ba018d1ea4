//! Documents that outlive the run, in collections that the descriptor declares.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use taskhost_model::condition::Condition;

use crate::bindings::ask_host;
use crate::bindings::taskhost::task::documents;
use crate::error::Error;
use crate::json::{answer, encode};

/// How many documents [`Collection::all`] asks for at a time: the most that a page may have.
const PAGE_LIMIT: u32 = 1_000;

/// Opens collections. Reached as `clients.documents`.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Feature {}
/// let features = clients.documents.collection::<Feature>("features")?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Documents;

impl Documents {
    /// A collection of the run's stream (of the space, for a run without one) that the descriptor
    /// declares, with documents of type `T`.
    ///
    /// # Errors
    /// `denied` for a label that the descriptor does not declare; `unavailable`.
    pub fn collection<T>(&self, label: &str) -> Result<Collection<T>, Error> {
        ask_host("documents.collection");
        let handle = documents::Collection::open(label, None)?;
        Ok(Collection {
            handle,
            body: PhantomData,
        })
    }
}

/// A collection of documents of one type. Everything but [`Self::query`] and [`Self::all`] goes on
/// working when the run is asked to stop, until the grace ends.
///
/// ```no_run
/// # fn run(clients: &taskhost_sdk::Clients) -> Result<(), taskhost_sdk::Error> {
/// use taskhost_sdk::{Change, Condition};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Feature {
///     name: String,
/// }
///
/// let features = clients.documents.collection::<Feature>("features")?;
/// let version = features.create("nginx", &Feature { name: "nginx".into() })?;
/// let version = features.replace("nginx", &version, &Feature { name: "Nginx".into() })?;
/// features.put("sshd", &Feature { name: "sshd".into() })?;
/// if let Some(stored) = features.get("nginx")? {
///     assert_eq!((stored.version, stored.body.name), (version, "Nginx".into()));
/// }
///
/// let sshd = Condition::eq("name", "sshd");
/// let page = features.query(Some(&sshd), None, 10)?;
/// for stored in features.all(None)? {
///     taskhost_sdk::info!("{} is {}", stored.id, stored.body.name);
/// }
///
/// let answers = features.apply(&[
///     Change::put("cron", Feature { name: "cron".into() }),
///     Change::delete("nginx"),
/// ])?;
/// features.delete("sshd")?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Collection<T> {
    handle: documents::Collection,
    body: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Collection<T> {
    /// The document with that id.
    ///
    /// # Errors
    /// `invalid` id; `unavailable`; `unexpected-answer` where it is not a `T`.
    pub fn get(&self, id: &str) -> Result<Option<Stored<T>>, Error> {
        self.handle.get(id)?.map(Stored::read).transpose()
    }

    /// A page of documents in order of id, at most `limit` (1,000). It may be empty while `next`
    /// is set: the host looks at a bounded amount for each. [`Self::all`] follows `next`.
    ///
    /// # Errors
    /// `invalid`, `canceled`, `deadline`, `unavailable`; `unexpected-answer` where one is not a
    /// `T`.
    pub fn query(
        &self,
        filter: Option<&Condition>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<T>, Error> {
        let filter = filter
            .map(|condition| encode(condition, "the filter"))
            .transpose()?;
        let page = self.handle.query(filter.as_deref(), cursor, limit, None)?;
        let documents = page
            .documents
            .into_iter()
            .map(Stored::read)
            .collect::<Result<_, _>>()?;
        Ok(Page {
            documents,
            next: page.next,
        })
    }

    /// All documents that match, in order of id.
    ///
    /// # Errors
    /// See [`Self::query`].
    pub fn all(&self, filter: Option<&Condition>) -> Result<Vec<Stored<T>>, Error> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = self.query(filter, cursor.as_deref(), PAGE_LIMIT)?;
            all.extend(page.documents);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Stores a document that is new, and answers its version.
    ///
    /// # Errors
    /// `conflict` where the id is taken; `invalid`, `too-large`, `unavailable`.
    pub fn create(&self, id: &str, body: &T) -> Result<String, Error> {
        let (id, body) = (id.to_owned(), encode(body, "the document")?);
        self.one(documents::Change::Create(documents::Create { id, body }))
    }

    /// Stores a document, new or in place of the old one, and answers its version.
    ///
    /// # Errors
    /// `invalid`, `too-large`, `unavailable`.
    pub fn put(&self, id: &str, body: &T) -> Result<String, Error> {
        self.one(raw_put(id, body, None)?)
    }

    /// Stores a document in place of that version, and answers the new one.
    ///
    /// # Errors
    /// `conflict` where it has another version or is gone; `invalid`, `too-large`, `unavailable`.
    pub fn replace(&self, id: &str, version: &str, body: &T) -> Result<String, Error> {
        self.one(raw_put(id, body, Some(version))?)
    }

    /// Removes a document.
    ///
    /// # Errors
    /// `not-found`; `invalid`, `unavailable`.
    pub fn delete(&self, id: &str) -> Result<(), Error> {
        self.one(Change::<T>::delete(id).raw()?).map(drop)
    }

    /// Makes up to 1,000 changes. One answer each, in order: the new version (empty for a
    /// deletion), or why not. Each stands alone.
    ///
    /// # Errors
    /// `too-large`: nothing was changed. `unavailable`: perhaps some were, the message says so.
    pub fn apply(&self, changes: &[Change<T>]) -> Result<Vec<Result<String, Error>>, Error> {
        let changes = changes
            .iter()
            .map(Change::raw)
            .collect::<Result<Vec<_>, _>>()?;
        let answers = self.handle.apply(&changes, None)?;
        Ok(answers
            .into_iter()
            .map(|answer| answer.map_err(Error::from))
            .collect())
    }

    fn one(&self, change: documents::Change) -> Result<String, Error> {
        match self.handle.apply(&[change], None)?.pop() {
            Some(answer) => Ok(answer?),
            None => Err(Error::failed(
                "unexpected-answer",
                "one change has no answer",
            )),
        }
    }
}

/// A document as it is stored.
///
/// ```no_run
/// # fn show(stored: taskhost_sdk::Stored<serde_json::Value>) {
/// taskhost_sdk::info!("{} in version {}: {}", stored.id, stored.version, stored.body);
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stored<T> {
    /// Unique in the collection: `[A-Za-z0-9][A-Za-z0-9_.-]{0,254}`.
    pub id: String,
    /// Another one after each change.
    pub version: String,
    /// The document.
    pub body: T,
}

impl<T: DeserializeOwned> Stored<T> {
    fn read(document: documents::Document) -> Result<Self, Error> {
        let body = answer(&document.body, "a document of the collection")?;
        Ok(Self {
            id: document.id,
            version: document.version,
            body,
        })
    }
}

/// Part of a collection.
///
/// ```no_run
/// # fn show(page: taskhost_sdk::Page<serde_json::Value>) {
/// taskhost_sdk::info!("{} documents, more: {}", page.documents.len(), page.next.is_some());
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// In order of id.
    pub documents: Vec<Stored<T>>,
    /// The cursor of the next page; none at the end.
    pub next: Option<String>,
}

/// A change for [`Collection::apply`].
///
/// ```
/// use taskhost_sdk::Change;
///
/// let changes = [
///     Change::create("a", 1),
///     Change::put("b", 2),
///     Change::replace("c", "7", 3),
///     Change::delete("d"),
///     Change::delete_version("e", "9"),
/// ];
/// assert_eq!(changes[2].id(), "c");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<T> {
    id: String,
    kind: Kind<T>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind<T> {
    Create(T),
    Put(T, Option<String>),
    Delete(Option<String>),
}

impl<T> Change<T> {
    /// Store a document that is new; `conflict` where the id is taken.
    pub fn create(id: impl Into<String>, body: T) -> Self {
        Self {
            id: id.into(),
            kind: Kind::Create(body),
        }
    }

    /// Store a document, new or in place of the old one.
    pub fn put(id: impl Into<String>, body: T) -> Self {
        Self {
            id: id.into(),
            kind: Kind::Put(body, None),
        }
    }

    /// Store a document in place of that version; else `conflict`.
    pub fn replace(id: impl Into<String>, version: impl Into<String>, body: T) -> Self {
        Self {
            id: id.into(),
            kind: Kind::Put(body, Some(version.into())),
        }
    }

    /// Remove a document; `not-found` where there is none.
    pub fn delete(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: Kind::Delete(None),
        }
    }

    /// Remove that version of a document; else `conflict`.
    pub fn delete_version(id: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: Kind::Delete(Some(version.into())),
        }
    }

    /// The id of the document.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl<T: Serialize> Change<T> {
    fn raw(&self) -> Result<documents::Change, Error> {
        let id = self.id.clone();
        Ok(match &self.kind {
            Kind::Create(body) => {
                let body = encode(body, "the document")?;
                documents::Change::Create(documents::Create { id, body })
            }
            Kind::Put(body, version) => raw_put(&id, body, version.as_deref())?,
            Kind::Delete(version) => {
                let if_version = version.clone();
                documents::Change::Delete(documents::Delete { id, if_version })
            }
        })
    }
}

fn raw_put(
    id: &str,
    body: &impl Serialize,
    version: Option<&str>,
) -> Result<documents::Change, Error> {
    Ok(documents::Change::Put(documents::Put {
        id: id.to_owned(),
        body: encode(body, "the document")?,
        if_version: version.map(str::to_owned),
    }))
}
