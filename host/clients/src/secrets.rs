//! Secrets that a run may use and never sees.
//!
//! # Guarantees
//! 1. A guest holds a placeholder: 256 bits by chance, another one in each attempt.
//! 2. The value takes its place in the header values of a request that goes to an origin which the
//!    operator has authorized for the secret, and nowhere else (`RunSecrets::swapped`).
//! 3. What comes back from those origins, or by way of them, has it masked, in the spellings that
//!    `masks` lists. Other answers are left as they are: what is masked there would tell a guest
//!    which of its guesses is the secret.
//! 4. No error, log line or `Debug` has it.

mod masks;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use taskhost_model::capabilities::Capabilities;
use taskhost_model::ids::Label;

use crate::denied::{Denial, Denials};
use crate::error::{ClientError, ErrorCode};
use crate::scope::Scope;
use masks::Masks;

/// A shorter one would be masked where it stands by accident.
const SECRET_BYTES_MIN: usize = 8;
const SECRET_BYTES_MAX: usize = 8 * 1024;
/// What every placeholder begins with.
const MARK: &str = "taskhost-secret-";
/// What comes after: 256 bits in hexadecimal digits.
const CHANCE_BYTES: usize = 32;

/// A secret as the operator has set it up.
#[derive(Clone)]
pub struct Secret {
    value: String,
    origins: Vec<String>,
    masks: Masks,
}

/// All secrets of a host.
pub type KnownSecrets = BTreeMap<Label, Secret>;

impl Secret {
    /// `origins`: where it may be sent, as [`crate::http::origin`] writes them.
    ///
    /// # Errors
    /// What is wrong with the value, without the value.
    pub fn new(value: String, origins: Vec<String>) -> Result<Self, String> {
        let length = value.len();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&length) {
            return Err(format!(
                "has {length} bytes: from {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} are accepted"
            ));
        }
        if !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(
                "has a character that is not printable ASCII, such as a line break: it \
                        could not stand in a header"
                    .to_owned(),
            );
        }
        if value.starts_with(' ') || value.ends_with(' ') {
            return Err("begins or ends with a space: it could not stand in a header".to_owned());
        }
        let masks = Masks::of(&value)?;
        Ok(Self {
            value,
            origins,
            masks,
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = &self.origins;
        f.debug_struct("Secret")
            .field("origins", origins)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.origins == other.origins
    }
}

impl Eq for Secret {}

/// The interface `secrets`.
#[derive(Debug, Clone)]
pub struct Secrets {
    scope: Arc<Scope>,
    grant: Option<Arc<RunSecrets>>,
}

/// What one attempt may use of them.
#[derive(Debug)]
pub(crate) struct RunSecrets {
    known: Arc<KnownSecrets>,
    asked: Vec<Label>,
    allowed: Vec<Label>,
    denials: Denials,
    placeholders: Mutex<BTreeMap<String, Label>>,
}

impl Secrets {
    pub(crate) fn new(scope: Arc<Scope>, grant: Option<Arc<RunSecrets>>) -> Self {
        Self { scope, grant }
    }

    /// What stands for the secret in this attempt.
    ///
    /// # Errors
    /// `denied` where it is not asked for or not allowed, and outside of a run; `not-found` where
    /// the operator has not set it up.
    pub fn placeholder(&self, name: &str) -> Result<String, ClientError> {
        self.scope.calls.enter("secrets.placeholder")?;
        match &self.grant {
            Some(grant) => grant.placeholder(name),
            None => Err(ClientError::denied("there are no secrets outside of a run")),
        }
    }
}

impl RunSecrets {
    pub(crate) fn new(
        known: Arc<KnownSecrets>,
        (asked, allowed): (Vec<Label>, Vec<Label>),
        denials: Denials,
    ) -> Self {
        Self {
            known,
            asked,
            allowed,
            denials,
            placeholders: Mutex::default(),
        }
    }

    fn placeholder(&self, name: &str) -> Result<String, ClientError> {
        let Some(name) = self.asked.iter().find(|asked| asked.as_str() == name) else {
            let name = crate::error::cut(name, 64).escape_debug();
            let message = format!(
                "the descriptor does not ask for the secret `{name}`: add it to \
                 `capabilities.secrets`"
            );
            return Err(self.denials.deny(Denial::new(message)));
        };
        if !self.allowed.contains(name) {
            let message = format!("the operator does not allow this type the secret `{name}`");
            let setting = self.denials.setting(&Capabilities {
                secrets: vec![name.clone()],
                ..Capabilities::default()
            });
            return Err(self.denials.deny(Denial::not_allowed(&message, setting)));
        }
        if !self.known.contains_key(name) {
            let message = format!(
                "there is no secret `{name}` on this host: the operator sets it up as \
                 `[secrets.{name}]`"
            );
            return Err(ClientError::new(ErrorCode::NotFound, message));
        }
        let mut placeholders = self
            .placeholders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((known, _)) = placeholders.iter().find(|(_, of)| *of == name) {
            return Ok(known.clone());
        }
        let chance: [u8; CHANCE_BYTES] = rand::random();
        let digits: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
        let placeholder = format!("{MARK}{digits}");
        placeholders.insert(placeholder.clone(), name.clone());
        Ok(placeholder)
    }

    /// The value of a header with secrets in place of their placeholders; none where there are no
    /// placeholders in it. Only for a request that both sides have allowed already.
    ///
    /// # Errors
    /// `denied` where the secret may not go to `origin`, or the placeholder is not of this attempt.
    pub(crate) fn swapped(&self, value: &str, origin: &str) -> Result<Option<String>, ClientError> {
        let Some((before, mut rest)) = value.split_once(MARK) else {
            return Ok(None);
        };
        let mut swapped = before.to_owned();
        loop {
            let digits = rest.get(..2 * CHANCE_BYTES).unwrap_or(rest);
            swapped.push_str(self.value(&format!("{MARK}{digits}"), origin)?);
            rest = &rest[digits.len()..];
            match rest.split_once(MARK) {
                Some((before, after)) => {
                    swapped.push_str(before);
                    rest = after;
                }
                None => return Ok(Some(swapped + rest)),
            }
        }
    }

    /// Whether the text has what looks like a placeholder.
    pub(crate) fn has_placeholder(text: &[u8]) -> bool {
        text.windows(MARK.len()).any(|part| part == MARK.as_bytes())
    }

    /// Overwrites with as many `*` every secret that the run may use, of those whose origins are
    /// `known`.
    pub(crate) fn mask(&self, text: &mut [u8], known: impl Fn(&[String]) -> bool) {
        let usable = self.asked.iter().filter(|name| self.allowed.contains(name));
        let usable = usable.filter_map(|name| self.known.get(name));
        let usable = usable.filter(|secret| known(&secret.origins));
        // All are found before one is covered: they may overlap.
        let places = usable.flat_map(|secret| secret.masks.places(text));
        for place in places.collect::<Vec<_>>() {
            text[place].fill(b'*');
        }
    }

    fn value(&self, placeholder: &str, origin: &str) -> Result<&str, ClientError> {
        let placeholders = self
            .placeholders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let name = placeholders.get(placeholder).cloned();
        drop(placeholders);
        let secret = name.and_then(|name| self.known.get_key_value(&name));
        let Some((name, secret)) = secret else {
            let message =
                "a header has a placeholder of a secret that is not of this attempt: ask \
                           `secrets.placeholder` anew in each"
                    .to_owned();
            return Err(self.denials.deny(Denial::new(message)));
        };
        if !secret.origins.iter().any(|of_secret| of_secret == origin) {
            let message = format!(
                "the operator has not authorized the secret `{name}` for {origin}: nothing was sent"
            );
            let more = secret.origins.iter().map(String::as_str).chain([origin]);
            let origins: Vec<_> = more.map(|one| format!("\"{one}\"")).collect();
            let setting = format!("[secrets.{name}]\norigins = [{}]", origins.join(", "));
            return Err(self.denials.deny(Denial::not_allowed(&message, setting)));
        }
        Ok(&secret.value)
    }
}
