//! Who has changed what, from where and when: one entry of the audit log. It names things and
//! shows nothing of what is in them, so that it holds no secret.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{EntryId, Space};
use crate::requester::Requester;
use crate::time::Timestamp;

/// The longest target: what is beyond is cut.
const TARGET_CHARS_MAX: usize = 600;
/// The longest detail.
const DETAIL_CHARS_MAX: usize = 300;

/// A change, as it is begun: what is done to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// What is done, as `task.cancel`: what stands before the dot is done to.
    pub deed: &'static str,
    /// In which space, where it belongs to one.
    pub space: Option<Space>,
    /// To which one: its id, or ids with a `/` between.
    pub target: String,
    /// What else there is to know, in a few words. No text of people, no secret.
    pub detail: Option<String>,
}

impl Act {
    /// In a space.
    #[must_use]
    pub fn in_space(
        deed: &'static str,
        space: &Space,
        target: &(impl fmt::Display + ?Sized),
    ) -> Self {
        Self {
            space: Some(space.clone()),
            ..Self::everywhere(deed, target)
        }
    }

    /// To something that belongs to no space.
    #[must_use]
    pub fn everywhere(deed: &'static str, target: &(impl fmt::Display + ?Sized)) -> Self {
        Self {
            deed,
            space: None,
            target: target.to_string(),
            detail: None,
        }
    }

    /// With something else to know.
    #[must_use]
    pub fn with(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub struct Entry {
    /// Its id; later ones sort behind.
    pub id: EntryId,
    /// When it was begun.
    pub at: Timestamp,
    /// Who, as in `requested_by`.
    pub by: String,
    /// With which of their tokens, where they came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// From where: an address; none for what the host does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What: `task.cancel`.
    pub deed: Cow<'static, str>,
    /// In which space, where it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<Space>,
    /// To which one.
    pub target: String,
    /// What else there is to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What became of it; none: that is not known, since the host ended meanwhile, or whoever
    /// asked hung up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AuditOutcome")]
pub enum Outcome {
    /// It was done.
    Done,
    /// There was nothing to change.
    Unchanged,
    /// It was not done, since something stood against it.
    Refused,
    /// It was not done, since the host or its store could not; on a store that could not answer
    /// it may be done all the same.
    Failed,
}

/// How entries are kept apart: what is done often cannot push out what is rare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shelf {
    /// What somebody decides: types, tokens, streams, schedules.
    Rules,
    /// What is done all day: tasks, documents, features.
    Work,
}

impl Shelf {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rules, Self::Work];
}

impl Entry {
    /// As it is begun.
    #[must_use]
    pub fn begun(by: &Requester, act: Act, at: Timestamp) -> Self {
        Self {
            id: EntryId::new(),
            at,
            by: by.name.clone(),
            token: by.origin.token.clone(),
            from: by.origin.address.map(|it| it.to_string()),
            deed: Cow::Borrowed(act.deed),
            space: act.space,
            target: cut(act.target, TARGET_CHARS_MAX),
            detail: act.detail.map(|it| cut(it, DETAIL_CHARS_MAX)),
            outcome: None,
        }
    }

    /// Where it is kept.
    #[must_use]
    pub fn shelf(&self) -> Shelf {
        match self.deed.split_once('.') {
            Some(("task" | "document" | "feature", _)) | Some((_, "ingest")) => Shelf::Work,
            _ => Shelf::Rules,
        }
    }
}

fn cut(text: String, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((at, _)) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_what_and_where_and_is_small() {
        let space = Space::parse("default").unwrap();
        let act = Act::in_space("task.cancel", &space, &"x".repeat(2_000)).with("y".repeat(2_000));
        let entry = Entry::begun(&Requester::single_user(), act, Timestamp::from_ms(5));
        assert_eq!((entry.by.as_str(), entry.outcome), ("local", None));
        assert_eq!(entry.target.len(), TARGET_CHARS_MAX);
        assert!(serde_json::to_string(&entry).unwrap().len() < 1_200);
        let read: Entry = serde_json::from_str(&serde_json::to_string(&entry).unwrap()).unwrap();
        assert_eq!(read, entry);
    }

    #[test]
    fn what_is_done_all_day_has_a_shelf_of_its_own() {
        let shelf = |deed| {
            let act = Act::everywhere(deed, "x");
            Entry::begun(&Requester::single_user(), act, Timestamp::from_ms(5)).shelf()
        };
        for work in [
            "task.schedule",
            "feature.put",
            "document.put",
            "stream.ingest",
        ] {
            assert_eq!(shelf(work), Shelf::Work, "{work}");
        }
        for rule in [
            "type.push",
            "token.create",
            "stream.put",
            "stream.delete",
            "schedule.put",
        ] {
            assert_eq!(shelf(rule), Shelf::Rules, "{rule}");
        }
    }
}
