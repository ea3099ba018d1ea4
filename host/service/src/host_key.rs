//! The host's own key, with which it seals what nobody else is to read.

use std::fmt::Debug;

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

/// Where the key lies; whoever puts the service together knows.
pub trait HostKey: Send + Sync + Debug {
    /// The key, which is made where there is none yet.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    fn to_seal(&self) -> Result<[u8; KEY_BYTES], String>;

    /// The key, if there is one: none is made, since nothing was sealed with it.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    fn to_open(&self) -> Result<[u8; KEY_BYTES], String>;
}

/// A key that is handed over, for tests.
#[derive(Clone)]
pub struct GivenKey(pub [u8; KEY_BYTES]);

impl HostKey for GivenKey {
    fn to_seal(&self) -> Result<[u8; KEY_BYTES], String> {
        Ok(self.0)
    }

    fn to_open(&self) -> Result<[u8; KEY_BYTES], String> {
        Ok(self.0)
    }
}

impl Debug for GivenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GivenKey")
    }
}
