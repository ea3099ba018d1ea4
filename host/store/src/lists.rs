//! What a list of tasks is asked for, and a page of it.

use taskhost_model::error::ErrorKind;
use taskhost_model::ids::{Space, StreamName, TypeId};
use taskhost_model::status::Status;
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;

/// Which documents to list.
#[derive(Debug, Clone)]
pub struct ListRequest {
    /// In this space.
    pub space: Space,
    /// Of any of these stored statuses; all when empty.
    pub statuses: Vec<Status>,
    /// Of this type.
    pub type_id: Option<TypeId>,
    /// On this stream.
    pub stream: Option<StreamName>,
    /// Scheduled by.
    pub requested_by: Option<String>,
    /// Scheduled after, exclusive.
    pub created_after: Option<Timestamp>,
    /// Scheduled before, exclusive.
    pub created_before: Option<Timestamp>,
    /// Whose error is of one of these kinds; all when empty.
    pub error_kinds: Vec<ErrorKind>,
    /// With this text in the id, ASCII case ignored.
    pub id_contains: Option<String>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// At most so many, 1 to 1,000.
    pub limit: usize,
}

impl ListRequest {
    /// Everything in a space, 100 a page.
    #[must_use]
    pub fn all(space: Space) -> Self {
        Self {
            space,
            statuses: Vec::new(),
            type_id: None,
            stream: None,
            requested_by: None,
            created_after: None,
            created_before: None,
            error_kinds: Vec::new(),
            id_contains: None,
            cursor: None,
            limit: 100,
        }
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct TaskPage {
    /// Newest first.
    pub tasks: Vec<Task>,
    /// For each of them, where a page begins that comes after it.
    pub cursors: Vec<String>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

impl ListRequest {
    /// Whether a task is one of those that are wanted; where the page begins, it does not look at.
    #[must_use]
    pub fn wants(&self, task: &Task) -> bool {
        task.deleted_at.is_none() && self.fits(task)
    }

    /// The same of a task that may have been deleted.
    #[must_use]
    pub fn fits(&self, task: &Task) -> bool {
        let kind = task.error.as_ref().map(|error| error.kind);
        let contains = |part: &str| {
            let id = task.id.as_str().to_ascii_lowercase();
            id.contains(&part.to_ascii_lowercase())
        };
        let is = |wanted: Option<bool>| wanted.unwrap_or(true);
        task.space == self.space
            && (self.statuses.is_empty() || self.statuses.contains(&task.status))
            && is(self.type_id.as_ref().map(|it| task.type_id == *it))
            && is(self
                .stream
                .as_ref()
                .map(|it| task.stream.as_ref() == Some(it)))
            && is(self
                .requested_by
                .as_ref()
                .map(|it| task.requested_by == *it))
            && is(self.created_after.map(|after| task.created_at > after))
            && is(self.created_before.map(|before| task.created_at < before))
            && (self.error_kinds.is_empty()
                || kind.is_some_and(|kind| self.error_kinds.contains(&kind)))
            && is(self.id_contains.as_deref().map(contains))
    }
}
