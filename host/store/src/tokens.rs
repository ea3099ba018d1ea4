//! Tokens of the embedded store's people: made, listed and revoked.

use std::fmt::Debug;

use async_trait::async_trait;
use taskhost_model::rights::Rights;
use taskhost_model::time::Timestamp;
use taskhost_model::token::{Token, TokenId};

use crate::error::StoreError;

/// Tokens.
///
/// # Guarantees
/// 1. What was answered is on disk. Of a token a digest is kept alone.
/// 2. A token that was revoked is accepted for nothing that is asked after that was answered, nor
///    is a key that was granted for it.
/// 3. Changes come one after the other, and nobody makes one with a token that is not accepted any
///    more: of two that revoke each other, one does. [`StoreError::Unauthorized`].
/// 4. What has ended is listed for [`KEPT_AFTER_END`], and then gone.
#[async_trait]
pub trait TokenStore: Send + Sync + Debug {
    /// Makes a token; the answer has it whole, and nothing has it after that. `by` is the token
    /// with which that is asked; none where it is the folder's owner.
    async fn create(&self, new: NewToken, by: Option<&TokenId>) -> Result<Created, StoreError>;

    /// All tokens, the oldest first.
    async fn list(&self) -> Result<Vec<Token>, StoreError>;

    /// Ends a token, for whoever is called so; none where there is none. One that has ended
    /// before stays as it is.
    async fn revoke(
        &self,
        id: &TokenId,
        name: &str,
        by: Option<&TokenId>,
    ) -> Result<Option<Revoked>, StoreError>;

    /// Whether there was ever a token here.
    async fn is_empty(&self) -> Result<bool, StoreError>;
}

/// So long a token is listed after its end.
pub const KEPT_AFTER_END: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

/// So many tokens there are at most, those that have ended among them.
pub const TOKENS_MAX: usize = 10_000;

/// A token to make.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Whose it is.
    pub name: String,
    /// What they may do.
    pub rights: Rights,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Who makes it.
    pub created_by: String,
}

/// A token that was made.
#[derive(Clone)]
pub struct Created {
    /// What is known of it.
    pub token: Token,
    /// The whole of it: a secret.
    pub secret: String,
}

/// A token that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// As it is now.
    pub token: Token,
    /// How many others are left that may manage tokens.
    pub admins_left: usize,
}

impl Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { token, secret: _ } = self;
        f.debug_struct("Created").field("token", token).finish()
    }
}
