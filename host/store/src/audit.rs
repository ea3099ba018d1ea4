//! The audit log: who has changed what. Entries are added and go by age and number alone.

mod noted;

use std::fmt::Debug;

use async_trait::async_trait;
use taskhost_model::audit::Entry;
use taskhost_model::ids::{EntryId, Space};
use taskhost_model::time::Timestamp;

use crate::error::StoreError;
pub(crate) use noted::{Noted, Taken};

/// Entries that are looked at for one page.
pub(crate) const LOOKED_AT_MAX: usize = 20_000;

/// The audit log.
///
/// # Guarantees
/// 1. On the embedded store an entry is on disk with any change of what is in the file of tasks
///    that was submitted after it was noted, in the same transaction or one before: such a change
///    is never there without its entry. Streams have a file of their own.
/// 2. On a cluster entries are written behind the changes, at the next [`Self::flush`]: a host that
///    is killed loses those that it has noted since.
/// 3. Noting waits for nothing, writes nothing by itself, and costs no commit of its own.
/// 4. An entry that is noted again, with what became of it, takes the place of the first one. It
///    is never changed otherwise.
/// 5. `list` is newest first and complete over a cursor, of what was flushed before.
/// 6. `trim` keeps the newest of each shelf: what is done often cannot push out what is rare.
#[async_trait]
pub trait AuditStore: Send + Sync + Debug {
    /// Notes an entry, to be written with the next change, or flushed.
    fn note(&self, entry: Entry);

    /// Writes what was noted.
    async fn flush(&self) -> Result<(), StoreError>;

    /// A page of entries.
    async fn list(&self, request: &AuditRequest) -> Result<AuditPage, StoreError>;

    /// Removes what is older than this, and of each shelf what is beyond so many; how many.
    async fn trim(&self, before: Timestamp, entries_max: u64) -> Result<u64, StoreError>;
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditRequest {
    /// Of this person.
    pub by: Option<String>,
    /// In this space.
    pub space: Option<Space>,
    /// What was done: `task.cancel`, or `task` for all that is done to tasks.
    pub deed: Option<String>,
    /// To which one, to the letter.
    pub target: Option<String>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub to: Option<Timestamp>,
    /// Where the last page ended.
    pub cursor: Option<EntryId>,
    /// At most so many.
    pub limit: usize,
}

/// One page.
#[derive(Debug, Clone, Default)]
pub struct AuditPage {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// Where the next page begins; a page that has fewer entries than were asked for may have one,
    /// where many had to be looked through.
    pub next: Option<EntryId>,
}

impl AuditRequest {
    /// Whether an entry is asked for, wherever the page begins.
    #[must_use]
    pub fn wants(&self, entry: &Entry) -> bool {
        let is = |wanted: &Option<String>, it: &str| wanted.as_ref().is_none_or(|one| one == it);
        let is_deed = self.deed.as_ref().is_none_or(|wanted| {
            let rest = entry.deed.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        is(&self.by, &entry.by)
            && is(&self.target, &entry.target)
            && is_deed
            && (self.space.is_none() || self.space == entry.space)
            && self.from.is_none_or(|from| entry.at >= from)
            && self.to.is_none_or(|to| entry.at < to)
    }
}

/// Gathers a page out of entries that come newest first.
#[derive(Debug)]
pub(crate) struct Paging<'a> {
    request: &'a AuditRequest,
    looked_at: usize,
    page: AuditPage,
    last: Option<EntryId>,
}

impl<'a> Paging<'a> {
    pub(crate) fn new(request: &'a AuditRequest) -> Self {
        Self {
            request,
            looked_at: 0,
            page: AuditPage::default(),
            last: None,
        }
    }

    /// Takes the next entry, if the page has room for it; otherwise it is full.
    pub(crate) fn take(&mut self, entry: Entry) -> bool {
        if self.page.entries.len() >= self.request.limit || self.looked_at >= LOOKED_AT_MAX {
            self.page.next = self.last;
            return false;
        }
        self.looked_at += 1;
        self.last = Some(entry.id);
        if self.request.wants(&entry) {
            self.page.entries.push(entry);
        }
        true
    }

    pub(crate) fn finish(self) -> AuditPage {
        self.page
    }
}
