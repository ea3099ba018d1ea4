//! Tokens that are made by whoever owns the data folder: the first one, and one for an admin who
//! has lost theirs.

use std::path::Path;

use taskhost_model::audit::Act;
use taskhost_model::requester::Requester;
use taskhost_model::rights::Rights;
use taskhost_model::time::{Clock, Timestamp};
use taskhost_store::error::StoreError;
use taskhost_store::limits::Limits;
use taskhost_store::open::{OpenError, Settings, Stores, open_with_people};
use taskhost_store::tokens::{Created, NewToken, TokenStore};

use crate::by_owner;

/// Whose the first token is.
const FIRST_NAME: &str = "admin";

/// The first token of a store with tokens: made once, where there has never been one.
///
/// # Errors
/// What the store says.
pub(crate) async fn made(stores: &Stores, clock: &Clock) -> Result<Option<String>, StoreError> {
    let tokens = stores.people.as_ref().and_then(|it| it.tokens.as_ref());
    let Some(tokens) = tokens else {
        return Ok(None);
    };
    if !tokens.is_empty().await? {
        return Ok(None);
    }
    let created = create(stores, &**tokens, clock, FIRST_NAME, Rights::all(), None).await?;
    Ok(Some(created.secret))
}

/// Makes a token as the folder's owner, who needs none; kept in the audit log as the host's.
pub(crate) async fn create(
    stores: &Stores,
    tokens: &dyn TokenStore,
    clock: &Clock,
    name: &str,
    rights: Rights,
    expires_at: Option<Timestamp>,
) -> Result<Created, StoreError> {
    let act = Act::everywhere("token.create", name).with("by the owner of the data folder");
    let new = NewToken {
        name: name.to_owned(),
        rights,
        expires_at,
        created_by: Requester::host().name,
    };
    by_owner::kept(stores, clock, act, tokens.create(new, None)).await
}

/// Opens a data folder that no host uses now.
///
/// # Errors
/// [`OpenError`], also where a host uses it.
pub(crate) async fn opened(folder: &Path) -> Result<Stores, OpenError> {
    let settings = Settings {
        folder: folder.to_owned(),
        limits: Limits::default(),
    };
    let open = move || open_with_people(&settings, Clock::System);
    let opened = tokio::task::spawn_blocking(open).await;
    opened.map_err(|error| OpenError::Folder {
        folder: folder.to_owned(),
        error: std::io::Error::other(error),
    })?
}
