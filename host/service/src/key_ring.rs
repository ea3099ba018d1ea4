//! The keys that all hosts of a store share: with the first one they seal, with the others what
//! was sealed before a rotation is opened.
//!
//! # Guarantees
//! 1. What is sealed opens with the same key alone, for the purpose and in the place for which it
//!    was sealed.
//! 2. No nonce is used twice with a key: each text has a key of its own, made with random bytes.
//!
//! # How it works
//! A sealed text is the id of the key that it was sealed with, random bytes, and the text with its
//! tag. The id is derived from the key and tells nothing of it.
//!
//! # How keys are changed
//! Hosts are started with the new key as the first one and the old one among the former. Where
//! some still run that know the old key alone, they cannot open what those seal: give them the new
//! one as a former key before.

use std::fmt;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::host_key::KEY_BYTES;

/// Bytes of a key's id.
const ID_BYTES: usize = 8;
/// Random bytes of a sealed text.
const SALT_BYTES: usize = 32;
/// What a key's id is derived for.
const ID_PURPOSE: &[u8] = b"taskhost key id 1";

/// The hosts' keys, which nothing shows.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    current: [u8; KEY_BYTES],
    former: Vec<[u8; KEY_BYTES]>,
}

/// What is sealed; each has keys of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A key with which runs read.
    RunKey,
    /// The text by which hosts see that they have the same key.
    Check,
    /// A session of somebody with a browser.
    Session,
}

/// Why a text does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// It was sealed with a key that is not among these.
    OtherKey,
    /// It was changed, or sealed for another place.
    Changed,
}

/// The length that HKDF is asked for.
struct IdLength;

impl KeyType for IdLength {
    fn len(&self) -> usize {
        ID_BYTES
    }
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

    /// Seals a text with the current key, for one place.
    pub(crate) fn seal(
        &self,
        purpose: Purpose,
        place: &str,
        text: &[u8],
    ) -> Result<Vec<u8>, String> {
        // The system's own: a process that goes on as a copy draws others.
        let mut salt = [0; SALT_BYTES];
        let drawn = SystemRandom::new().fill(&mut salt);
        drawn.map_err(|_| "the system gives no random numbers".to_owned())?;
        let mut sealed = text.to_vec();
        key_for(&self.current, &salt, purpose, place)
            .seal_in_place_append_tag(only_nonce(), Aad::empty(), &mut sealed)
            .map_err(|_| "a text is too long to be sealed".to_owned())?;
        Ok([&id_of(&self.current)[..], &salt, &sealed].concat())
    }

    /// Opens what was sealed with one of the keys, for the same purpose and place.
    pub(crate) fn open(
        &self,
        purpose: Purpose,
        place: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, NotOpened> {
        let (id, rest) = sealed
            .split_first_chunk::<ID_BYTES>()
            .ok_or(NotOpened::Changed)?;
        let (salt, text) = rest
            .split_first_chunk::<SALT_BYTES>()
            .ok_or(NotOpened::Changed)?;
        let key = self.all().find(|key| id_of(key) == *id);
        let key = key.ok_or(NotOpened::OtherKey)?;
        let mut text = text.to_vec();
        let length = key_for(key, salt, purpose, place)
            .open_in_place(only_nonce(), Aad::empty(), &mut text)
            .map_err(|_| NotOpened::Changed)?
            .len();
        text.truncate(length);
        Ok(text)
    }

    /// Whether a text was sealed with the current key.
    pub(crate) fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&id_of(&self.current))
    }

    /// How the current key is named to people.
    pub(crate) fn name(&self) -> String {
        name_of(&id_of(&self.current))
    }
}

/// How the key of a sealed text is named to people.
pub(crate) fn key_name(sealed: &[u8]) -> String {
    name_of(&sealed[..sealed.len().min(ID_BYTES)])
}

fn name_of(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn id_of(key: &[u8; KEY_BYTES]) -> [u8; ID_BYTES] {
    let mut id = [0; ID_BYTES];
    let derived = Salt::new(HKDF_SHA256, &[]).extract(key);
    derived
        .expand(&[ID_PURPOSE], IdLength)
        .and_then(|derived| derived.fill(&mut id))
        .unwrap_or_else(|_| unreachable!("an id is shorter than what HKDF can give"));
    id
}

fn key_for(
    key: &[u8; KEY_BYTES],
    salt: &[u8; SALT_BYTES],
    purpose: Purpose,
    place: &str,
) -> LessSafeKey {
    let purpose: &[u8] = match purpose {
        Purpose::RunKey => b"taskhost key of runs 1",
        Purpose::Check => b"taskhost check of keys 1",
        Purpose::Session => b"taskhost session 1",
    };
    let derived = Salt::new(HKDF_SHA256, salt).extract(key);
    derived
        .expand(&[purpose, b"/", place.as_bytes()], &CHACHA20_POLY1305)
        .map(|derived| LessSafeKey::new(UnboundKey::from(derived)))
        .unwrap_or_else(|_| unreachable!("a key is shorter than what HKDF can give"))
}

/// Each key seals one text.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyRing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_opens_for_its_purpose_in_its_place_with_its_key_alone() {
        let (old, new) = ([1; KEY_BYTES], [2; KEY_BYTES]);
        let ring = KeyRing::new(old, Vec::new());
        let sealed = ring.seal(Purpose::RunKey, "a", b"ApiKey c2VjcmV0").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"ApiKey"));
        let opened = ring.open(Purpose::RunKey, "a", &sealed);
        assert_eq!(opened.as_deref(), Ok(&b"ApiKey c2VjcmV0"[..]));
        for (purpose, place) in [(Purpose::Check, "a"), (Purpose::RunKey, "b")] {
            let opened = ring.open(purpose, place, &sealed);
            assert_eq!(opened, Err(NotOpened::Changed), "{purpose:?} {place}");
        }
        for at in [ID_BYTES, ID_BYTES + SALT_BYTES, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let opened = ring.open(Purpose::RunKey, "a", &changed);
            assert_eq!(opened, Err(NotOpened::Changed), "byte {at}");
        }
        for length in [0, ID_BYTES, ID_BYTES + SALT_BYTES, sealed.len() - 1] {
            let opened = ring.open(Purpose::RunKey, "a", &sealed[..length]);
            assert_eq!(opened, Err(NotOpened::Changed), "{length} bytes");
        }
        let other = KeyRing::new(new, Vec::new());
        let opened = other.open(Purpose::RunKey, "a", &sealed);
        assert_eq!(opened, Err(NotOpened::OtherKey));
        assert_ne!(other.name(), ring.name());
        assert_eq!(key_name(&sealed), ring.name());
        // After a rotation.
        let rotated = KeyRing::new(new, vec![old]);
        assert!(rotated.open(Purpose::RunKey, "a", &sealed).is_ok());
        assert!(!rotated.is_current(&sealed) && ring.is_current(&sealed));
        let again = ring.seal(Purpose::RunKey, "a", b"ApiKey c2VjcmV0").unwrap();
        assert_ne!(sealed[ID_BYTES..], again[ID_BYTES..]);
    }
}
