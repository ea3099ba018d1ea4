//! Who may do what: roles in spaces, and the right to read a stream.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{Space, StreamName};

/// What somebody may do in a space; each role may do what those before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads tasks and what they have written.
    Viewer,
    /// Also schedules, cancels, acknowledges and deletes.
    Operator,
    /// Also manages task types, and sees what belongs to no space.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// As it is written in settings and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A right that somebody has or has not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Right {
    /// A role in a space.
    In(Space, Role),
    /// A role in every space that there is or may be.
    Everywhere(Role),
    /// To read a stream's documents.
    ReadStream(StreamName),
}

/// What somebody may do, where the store itself keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// In every space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everywhere: Option<Role>,
    /// In these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spaces: BTreeMap<Space, Role>,
    /// To read these streams: names, or beginnings of names with a `*` behind.
    pub streams: Vec<String>,
}

impl Rights {
    /// A role in a space, and streams.
    #[must_use]
    pub fn of(space: &Space, role: Role, streams: &[&str]) -> Self {
        Self {
            everywhere: None,
            spaces: BTreeMap::from([(space.clone(), role)]),
            streams: streams.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self {
            everywhere: Some(Role::Admin),
            spaces: BTreeMap::new(),
            streams: vec!["*".to_owned()],
        }
    }

    /// Whether this is among them.
    #[must_use]
    pub fn has(&self, right: &Right) -> bool {
        match right {
            Right::Everywhere(role) => self.everywhere >= Some(*role),
            Right::In(space, role) => {
                self.everywhere.max(self.spaces.get(space).copied()) >= Some(*role)
            }
            Right::ReadStream(name) => self.may_read(name),
        }
    }

    /// Whether a stream may be read.
    #[must_use]
    pub fn may_read(&self, name: &StreamName) -> bool {
        let name = name.as_str();
        self.streams.iter().any(|one| match one.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => one == name,
        })
    }
}

/// Whether a text names streams, as [`Rights::streams`] does.
#[must_use]
pub fn names_streams(text: &str) -> bool {
    let beginning = text.strip_suffix('*');
    beginning == Some("") || StreamName::parse(beginning.unwrap_or(text)).is_ok()
}
