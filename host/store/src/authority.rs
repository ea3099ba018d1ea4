//! Who somebody is, what they may do, and keys for what is done in their name: asked of whoever
//! guards the data. A store without people of its own has none.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use taskhost_model::requester::Authorization;
use taskhost_model::rights::Right;

use crate::error::StoreError;

/// The people of a store, and their rights.
///
/// # Guarantees
/// 1. Everything but [`Self::invalidate`] rests on the person's credential alone: the host's own
///    rights open nothing, also where it is the host that shows the credential.
/// 2. A credential that is not accepted is [`StoreError::Unauthorized`]; whoever cannot be asked
///    now is [`StoreError::Unavailable`]. Neither is ever taken for a right.
/// 3. Nothing is remembered: an answer is as old as the call.
/// 4. A key that was granted can do no more than the person could at that moment.
/// 5. Where asking costs nothing and waits for nobody, it is said so.
#[async_trait]
pub trait Authority: Send + Sync + Debug {
    /// Whether asking costs nothing: then no answer is believed for longer than the moment, and
    /// each run has a key, also one that reads no stream.
    fn is_at_hand(&self) -> bool {
        false
    }

    /// Who comes with this.
    async fn person(&self, authorization: &Authorization) -> Result<Person, StoreError>;

    /// Whether they have each of these rights, in this order.
    async fn has(
        &self,
        authorization: &Authorization,
        asked: &[Right],
    ) -> Result<Vec<bool>, StoreError>;

    /// A key with the rights that they have now, for reading streams and for nothing else: of their
    /// roles it has none. It is accepted until it ends, whatever becomes of the person; of people
    /// at hand no longer than what they came with. `purpose` is for whoever looks at the list of
    /// keys. [`StoreError::Unauthorized`] also where they may own no key.
    async fn grant(
        &self,
        authorization: &Authorization,
        purpose: &str,
        valid_for: Duration,
    ) -> Result<GrantedKey, StoreError>;

    /// Ends keys that were granted here. What has ended before is no error.
    async fn invalidate(&self, keys: &[String]) -> Result<(), StoreError>;
}

/// Somebody who was recognized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// As it stands in `requested_by`.
    pub name: String,
    /// They came with an API key. It can be granted no further key with rights, so it serves
    /// itself, and is not the host's to end.
    pub comes_with_key: bool,
    /// Which of their tokens it was, where they have several: its id, which is no secret.
    pub token: Option<String>,
}

/// A key that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedKey {
    /// The authority's name for it, by which it is ended.
    pub id: String,
    /// The secret.
    pub authorization: Authorization,
}
