//! Who asks. Reads of stream data take it as an argument, so that a task sees exactly what
//! whoever scheduled it may see.

/// Somebody with an identity. No identity, no run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// As it stands in `requested_by` and the like.
    pub name: String,
    /// What the right to read stream data rests on.
    pub credential: Credential,
}

/// What a right rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// The host listens on loopback for the one person at the machine, who may do everything.
    SingleUser,
}

impl Requester {
    /// The one person of single-user mode.
    #[must_use]
    pub fn single_user() -> Self {
        Self {
            name: "local".to_owned(),
            credential: Credential::SingleUser,
        }
    }
}
