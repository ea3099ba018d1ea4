//! Whether this host seals with the same key as the others on its store.

use taskhost_store::run_keys::RunKeyStore;

use crate::error::ServiceError;
use crate::key_ring::{KeyRing, Purpose, key_name};

/// Says nothing: that it opens is what counts.
const TEXT: &[u8] = b"taskhost";

/// Compares with the others, and leaves them the current key where theirs is a former one.
///
/// # Errors
/// [`ServiceError::WrongKey`] where the others have another one, or what the store says.
pub(crate) async fn check_ring(
    store: &dyn RunKeyStore,
    ring: &KeyRing,
) -> Result<(), ServiceError> {
    let seal = || ring.seal(Purpose::Check, "", TEXT);
    let ours = seal().map_err(|reason| ServiceError::Internal { reason })?;
    loop {
        let theirs = store.check(&ours).await?;
        if ring.open(Purpose::Check, "", &theirs).is_err() {
            return Err(ServiceError::WrongKey {
                ours: ring.name(),
                theirs: key_name(&theirs),
            });
        }
        // Where somebody else is faster, theirs is looked at.
        if ring.is_current(&theirs) || store.replace_check(&theirs, &ours).await? {
            return Ok(());
        }
    }
}
