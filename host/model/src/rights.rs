//! Who may do what: roles in spaces, and the right to read a stream.

use std::fmt;

use crate::ids::{Space, StreamName};

/// What somebody may do in a space; each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
