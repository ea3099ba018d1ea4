//! Seals the pieces of one recording, and opens them.
//!
//! # Guarantees
//! 1. A piece opens with the host's key alone, in the place of the run, attempt and lease for which
//!    it was sealed, and under the number that it has there.
//! 2. No nonce is used twice with a key, also where a copy of a data folder lives on: each
//!    recording has a key of its own, made with random bytes that no other one has, and its pieces
//!    are numbered.
//! 3. The last piece is sealed as that, so that none can be missing after it or be taken for it.
//!
//! # How it works
//! A sealed piece is a byte that says whether it is the last one, the text, and a tag; before the
//! first one stand the recording's random bytes. The byte is a part of the nonce, and so nobody
//! can change it.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};
use taskhost_model::ids::RunId;

use crate::host_key::KEY_BYTES;

/// What the key is derived for; another purpose would have another word.
const PURPOSE: &[u8] = b"taskhost recording 2";
/// Random bytes of a recording, before its first piece.
pub(super) const SALT_BYTES: usize = 32;
/// What a piece is longer than its text: the byte before it, and the tag.
pub(super) const SEALED_BYTES_MORE: usize = 1 + 16;

/// Whose recording it is: a lease of an attempt of a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) run: RunId,
    pub(super) attempt: u32,
    pub(super) lease_number: u64,
}

/// Seals and opens the pieces of one recording.
pub(super) struct Seal {
    key: LessSafeKey,
    salt: [u8; SALT_BYTES],
}

/// A piece that was opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) text: Vec<u8>,
    pub(super) is_last: bool,
}

/// It was not sealed by this key for this place, or was changed since.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotOpened;

impl Seal {
    /// For a recording that begins.
    pub(super) fn begin(host_key: &[u8; KEY_BYTES], place: Place) -> Result<Self, String> {
        // The system's own: a process that goes on as a copy draws others.
        let mut salt = [0; SALT_BYTES];
        let drawn = SystemRandom::new().fill(&mut salt);
        drawn.map_err(|_| "the system gives no random numbers".to_owned())?;
        Ok(Self::with(host_key, place, salt))
    }

    /// For a recording that is there, by its first piece.
    pub(super) fn of_first(
        host_key: &[u8; KEY_BYTES],
        place: Place,
        first: &[u8],
    ) -> Result<Self, NotOpened> {
        let salt = first.first_chunk().ok_or(NotOpened)?;
        Ok(Self::with(host_key, place, *salt))
    }

    fn with(host_key: &[u8; KEY_BYTES], place: Place, salt: [u8; SALT_BYTES]) -> Self {
        let derived = Salt::new(HKDF_SHA256, &salt).extract(host_key);
        let Place {
            run,
            attempt,
            lease_number,
        } = place;
        let place = format!("/{run}/{attempt}/{lease_number}");
        let info = [PURPOSE, place.as_bytes()];
        let key = derived
            .expand(&info, &CHACHA20_POLY1305)
            .map(|derived| LessSafeKey::new(UnboundKey::from(derived)))
            .unwrap_or_else(|_| unreachable!("a key is shorter than what HKDF can give"));
        Self { key, salt }
    }

    /// Called once for each number, and after the last piece not at all.
    pub(super) fn seal(&self, piece: u32, is_last: bool, mut text: Vec<u8>) -> Vec<u8> {
        let mark = u8::from(is_last);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(piece, mark), Aad::empty(), &mut text);
        let tag =
            tag.unwrap_or_else(|_| unreachable!("a piece is shorter than a nonce is good for"));
        let salt = if piece == 0 { &self.salt[..] } else { &[] };
        [salt, &[mark], &text, tag.as_ref()].concat()
    }

    pub(super) fn open(&self, piece: u32, sealed: &[u8]) -> Result<Opened, NotOpened> {
        let salt_bytes = if piece == 0 { SALT_BYTES } else { 0 };
        let after_salt = sealed.get(salt_bytes..).ok_or(NotOpened)?;
        let (mark, rest) = after_salt.split_first().ok_or(NotOpened)?;
        let mut text = rest.to_vec();
        let opened = self
            .key
            .open_in_place(nonce(piece, *mark), Aad::empty(), &mut text);
        let length = opened.map_err(|_| NotOpened)?.len();
        text.truncate(length);
        let is_last = *mark == 1;
        Ok(Opened { text, is_last })
    }
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

fn nonce(piece: u32, mark: u8) -> Nonce {
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&piece.to_le_bytes());
    bytes[4] = mark;
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(run: RunId, attempt: u32, lease_number: u64) -> Place {
        Place {
            run,
            attempt,
            lease_number,
        }
    }

    #[test]
    fn a_piece_opens_in_its_own_place_with_its_own_key_alone() {
        let (run, text) = (RunId::new(), b"what nobody else reads".to_vec());
        let seal = Seal::begin(&[7; 32], place(run, 2, 3)).unwrap();
        let first = seal.seal(0, false, text.clone());
        let sealed = seal.seal(4, false, text.clone());
        assert_eq!(first.len(), text.len() + SEALED_BYTES_MORE + SALT_BYTES);
        assert_eq!(sealed.len(), text.len() + SEALED_BYTES_MORE);
        assert!(!sealed.windows(4).any(|part| part == b"what"));
        let opened = Opened {
            text,
            is_last: false,
        };
        let again = Seal::of_first(&[7; 32], place(run, 2, 3), &first).unwrap();
        assert_eq!(again.open(0, &first).as_ref(), Ok(&opened));
        assert_eq!(again.open(4, &sealed).as_ref(), Ok(&opened));
        for (key, other) in [
            ([8; 32], place(run, 2, 3)),
            ([7; 32], place(RunId::new(), 2, 3)),
            ([7; 32], place(run, 3, 3)),
            ([7; 32], place(run, 2, 4)),
        ] {
            let other = Seal::of_first(&key, other, &first).unwrap();
            assert_eq!(other.open(4, &sealed), Err(NotOpened));
        }
        assert_eq!(seal.open(5, &sealed), Err(NotOpened));
        for at in [0, 1, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(4, &changed), Err(NotOpened), "byte {at}");
        }
        for shorter in [&sealed[..0], &sealed[..1], &sealed[..sealed.len() - 1]] {
            assert_eq!(seal.open(4, shorter), Err(NotOpened));
        }
        assert!(Seal::of_first(&[7; 32], place(run, 2, 3), &first[..31]).is_err());
    }

    #[test]
    fn the_last_piece_is_no_other_one() {
        let seal = Seal::begin(&[7; 32], place(RunId::new(), 1, 1)).unwrap();
        let mut last = seal.seal(1, true, b"end".to_vec());
        assert!(seal.open(1, &last).unwrap().is_last);
        last[0] = 0;
        assert_eq!(seal.open(1, &last), Err(NotOpened));
    }

    /// As when a copy of a data folder is restored, and the same attempt begins again there.
    #[test]
    fn the_same_words_in_the_same_place_are_sealed_otherwise_each_time() {
        let here = place(RunId::new(), 1, 1);
        let [one, other] = [0, 1].map(|_| Seal::begin(&[7; 32], here).unwrap());
        for number in [0, 1] {
            let [one, other] =
                [&one, &other].map(|seal| seal.seal(number, false, b"the same words".to_vec()));
            let text = one.len() - SEALED_BYTES_MORE - 14..;
            assert_ne!(one[text.clone()], other[text], "piece {number}");
        }
        let moved = one.seal(1, false, b"x".to_vec());
        assert_eq!(other.open(1, &moved), Err(NotOpened));
    }
}
