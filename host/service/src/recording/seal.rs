//! Seals the pieces of one recording, and opens them.
//!
//! # Guarantees
//! 1. A piece opens with the host's key alone, in the place of the run, attempt and lease for which
//!    it was sealed.
//! 2. No nonce is used twice with a key: each lease of each attempt has a key of its own, and its
//!    pieces are numbered.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use taskhost_model::ids::RunId;

use crate::host_key::KEY_BYTES;

/// What the key is derived for; another purpose would have another word.
const PURPOSE: &[u8] = b"taskhost recording 1";

/// Seals and opens the pieces of one attempt under one lease.
pub(super) struct Seal {
    key: LessSafeKey,
    place: Vec<u8>,
}

/// It was not sealed by this key for this place, or was changed since.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotOpened;

impl Seal {
    pub(super) fn of(
        host_key: &[u8; KEY_BYTES],
        run: RunId,
        attempt: u32,
        lease_number: u64,
    ) -> Self {
        let place = format!("{run}/{attempt}/{lease_number}").into_bytes();
        let derived = Salt::new(HKDF_SHA256, PURPOSE).extract(host_key);
        let info = [&*place];
        let key = derived
            .expand(&info, &CHACHA20_POLY1305)
            .map(|derived| LessSafeKey::new(UnboundKey::from(derived)))
            .unwrap_or_else(|_| unreachable!("a key is shorter than what HKDF can give"));
        Self { key, place }
    }

    /// Called once for each number.
    pub(super) fn seal(&self, piece: u32, mut bytes: Vec<u8>) -> Vec<u8> {
        let sealed =
            self.key
                .seal_in_place_append_tag(nonce(piece), Aad::from(&self.place), &mut bytes);
        sealed.unwrap_or_else(|_| unreachable!("a piece is shorter than what a nonce is good for"));
        bytes
    }

    pub(super) fn open(&self, piece: u32, mut sealed: Vec<u8>) -> Result<Vec<u8>, NotOpened> {
        let opened = self
            .key
            .open_in_place(nonce(piece), Aad::from(&self.place), &mut sealed);
        let length = opened.map_err(|_| NotOpened)?.len();
        sealed.truncate(length);
        Ok(sealed)
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

fn nonce(piece: u32) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&piece.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_opens_in_its_own_place_with_its_own_key_alone() {
        let (run, text) = (RunId::new(), b"what nobody else reads".to_vec());
        let seal = Seal::of(&[7; 32], run, 2, 3);
        let sealed = seal.seal(4, text.clone());
        assert!(!sealed.windows(4).any(|part| part == b"what"));
        assert_eq!(seal.open(4, sealed.clone()), Ok(text.clone()));
        for other in [
            Seal::of(&[8; 32], run, 2, 3),
            Seal::of(&[7; 32], RunId::new(), 2, 3),
            Seal::of(&[7; 32], run, 3, 3),
            Seal::of(&[7; 32], run, 2, 4),
        ] {
            assert_eq!(other.open(4, sealed.clone()), Err(NotOpened));
        }
        assert_eq!(seal.open(5, sealed.clone()), Err(NotOpened));
        let mut changed = sealed;
        changed[0] ^= 1;
        assert_eq!(seal.open(4, changed), Err(NotOpened));
        assert_eq!(seal.open(4, Vec::new()), Err(NotOpened));
        // The same words under the same number look otherwise under another lease.
        assert_ne!(
            seal.seal(0, text.clone()),
            Seal::of(&[7; 32], run, 2, 4).seal(0, text)
        );
    }
}
