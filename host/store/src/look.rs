//! What one query of a collection looks at, and the page that comes of it: the same in every
//! backend.
//!
//! # Why a page may be empty
//! A condition that matches nothing would look at the whole collection, and whoever repeats it
//! would leave no read to anybody else. So a page ends after a bounded amount of work, and says
//! where the next one goes on, whether or not anything matched.

use taskhost_model::condition::Condition;
use taskhost_model::ids::DocumentId;

use crate::documents::{Document, DocumentPage, PAGE_BYTES_MAX};
use crate::matching::Matcher;

/// So many bytes of bodies are looked at for one page, each as often as the condition has tests;
/// at least one document. Measured without optimization a page takes 10 to 70 ms over log lines
/// and up to 0.8 s over arrays of 500,000 numbers.
pub(crate) const LOOK_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A document is as much work as so many bytes at least.
pub(crate) const DOCUMENT_BYTES_MIN: u64 = 512;
/// The most documents of one page.
const DOCUMENTS_MAX: usize = 1_000;

/// A page in the making. Documents are offered to it in order of id.
#[derive(Debug)]
pub(crate) struct Look {
    matcher: Option<Matcher>,
    limit: usize,
    left: u64,
    page_bytes: u64,
    documents: Vec<Document>,
    /// What was looked at last.
    last: Option<DocumentId>,
}

impl Look {
    pub(crate) fn new(condition: Option<&Condition>, limit: usize) -> Self {
        Self {
            matcher: condition.cloned().map(Matcher::new),
            limit: limit.clamp(1, DOCUMENTS_MAX),
            left: LOOK_BYTES_MAX,
            page_bytes: 0,
            documents: Vec::new(),
            last: None,
        }
    }

    /// Looks at a document; false when the page ends before it.
    pub(crate) fn takes(&mut self, document: Document) -> bool {
        let bytes = document.body.len() as u64;
        let tests = self.matcher.as_ref().map_or(1, Matcher::tests);
        let work = bytes.max(DOCUMENT_BYTES_MIN).saturating_mul(tests);
        if self.last.is_some() && work > self.left {
            return false;
        }
        self.left = self.left.saturating_sub(work);
        let id = document.id.clone();
        let matches = |matcher: &Matcher| matcher.matches(document.body.as_bytes());
        if self.matcher.as_ref().is_none_or(matches) {
            self.page_bytes += bytes;
            if self.documents.len() >= self.limit || self.page_bytes > PAGE_BYTES_MAX {
                return false;
            }
            self.documents.push(document);
        }
        self.last = Some(id);
        true
    }

    /// The last page of the collection.
    pub(crate) fn end(self) -> DocumentPage {
        DocumentPage {
            documents: self.documents,
            next: None,
        }
    }

    /// A page after which there is more to look at.
    pub(crate) fn cut_off(self) -> DocumentPage {
        DocumentPage {
            documents: self.documents,
            next: self.last.map(|last| last.to_string()),
        }
    }
}
