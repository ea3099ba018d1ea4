//! What the owner of a data folder does on its store without a host, kept in the audit log as the
//! host's own.

use taskhost_model::audit::{Act, Entry, Outcome};
use taskhost_model::requester::Requester;
use taskhost_model::time::Clock;
use taskhost_store::error::StoreError;
use taskhost_store::open::Stores;

/// Makes a change. Its entry is on disk before it begins, and again when it has ended.
///
/// # Errors
/// Those of the change, and what the store says.
pub(crate) async fn kept<T, E: From<StoreError>>(
    stores: &Stores,
    clock: &Clock,
    act: Act,
    change: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut entry = Entry::begun(&Requester::host(), act, clock.now());
    stores.audit.note(entry.clone());
    stores.audit.flush().await?;
    let changed = change.await;
    entry.outcome = Some(match &changed {
        Ok(_) => Outcome::Done,
        Err(_) => Outcome::Failed,
    });
    stores.audit.note(entry);
    let flushed = stores.audit.flush().await;
    // What went wrong first says more.
    let answer = changed?;
    flushed?;
    Ok(answer)
}
