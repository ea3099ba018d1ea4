//! The keys that all hosts of a store share: with the first one they seal, with the others what
//! was sealed before a rotation is opened.

use std::fmt;

use crate::host_key::KEY_BYTES;

/// The hosts' keys, which nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    current: [u8; KEY_BYTES],
    former: Vec<[u8; KEY_BYTES]>,
}

impl KeyRing {
    /// `former` are only opened with.
    #[must_use]
    pub fn new(current: [u8; KEY_BYTES], former: Vec<[u8; KEY_BYTES]>) -> Self {
        Self { current, former }
    }

    /// What is sealed with.
    #[must_use]
    pub fn current(&self) -> &[u8; KEY_BYTES] {
        &self.current
    }

    /// What may have been sealed with, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &[u8; KEY_BYTES]> {
        std::iter::once(&self.current).chain(&self.former)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}
