//! Signatures of components: minisign, checked without any network.
//!
//! # Guarantees
//! 1. A signature that does not fit the bytes is refused, required or not.
//! 2. What is kept of a signature is the whole public key that it fits, so that a stored
//!    component is trusted for as long as that very key is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{Error, PublicKey, Signature};

/// The longest text of a signature; minisign writes some 400 bytes.
pub const SIGNATURE_BYTES_MAX: usize = 4 * 1024;

/// Whose components are taken in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signatures {
    /// Components without a trusted signature are refused.
    pub required: bool,
    /// Whoever signs with one of these is trusted.
    pub trusted: Vec<TrustedKey>,
}

/// A minisign public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    /// The line that minisign writes, in base64.
    text: String,
    key: PublicKey,
}

/// What a signature says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Signed {
    /// The trusted key's text, if it is signed by one.
    pub(crate) by: Option<String>,
    /// A signature that says nothing here, for people.
    pub(crate) warning: Option<String>,
}

impl TrustedKey {
    /// Reads the key as `minisign -G` prints it: one line of base64 that begins with `RW`.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let key = PublicKey::from_base64(text).map_err(|_| {
            "is no minisign public key: write the second line of the `.pub` file, which begins \
             with RW"
                .to_owned()
        })?;
        let text = text.to_owned();
        Ok(Self { text, key })
    }

    /// As minisign shows it.
    #[must_use]
    pub fn id(&self) -> String {
        key_id(&self.text)
    }
}

impl Signatures {
    /// Looks at a component with the signature that came with it.
    pub(crate) fn check(&self, bytes: &[u8], signature: Option<&str>) -> Result<Signed, String> {
        let Some(text) = signature else {
            return Ok(Signed::default());
        };
        let signature = Signature::decode(text).map_err(|_| {
            "its signature is none of minisign's: send the whole `.minisig` file".to_owned()
        })?;
        let id = text.lines().nth(1).map(key_id).unwrap_or_default();
        // Ids are short: two keys may have the same.
        let mut keys = self.trusted.iter().filter(|key| key.id() == id).peekable();
        if keys.peek().is_none() {
            return self.foreign(&id);
        }
        let mut error = None;
        for key in keys {
            match key.key.verify(bytes, &signature, false) {
                Ok(()) => {
                    let by = Some(key.text.clone());
                    return Ok(Signed { by, warning: None });
                }
                Err(Error::UnexpectedAlgorithm) => {
                    return Err(format!(
                        "its signature with the key {id} is in minisign's legacy form: sign it \
                         again with minisign 0.10 or later, or with `-H`"
                    ));
                }
                Err(why) => error = Some(why),
            }
        }
        tracing::debug!(?error, "a signature does not fit");
        Err(format!(
            "its signature with the trusted key {id} does not fit it: one of the two was altered, \
             or belongs to something else. Sign exactly these bytes again"
        ))
    }

    /// Signed by somebody who is not trusted here.
    fn foreign(&self, id: &str) -> Result<Signed, String> {
        let whose = format!("it is signed with the key {id}, which is none of `trusted_keys`");
        if self.required {
            return Err(format!("{whose} ({}): {HOW_TO_TRUST}", self.ids()));
        }
        let warning = Some(format!("{whose}: the signature is not looked at"));
        Ok(Signed { by: None, warning })
    }

    /// Why a component is not taken that was signed with this key, or with none.
    pub(crate) fn refusal(&self, signed_by: Option<&str>) -> Option<String> {
        if !self.required {
            return None;
        }
        let Some(signed_by) = signed_by else {
            return Some(format!(
                "it has no signature, and this host takes only what one of its trusted keys ({}) \
                 has signed: `minisign -S -m FILE.wasm` makes FILE.wasm.minisig, which has to lie \
                 beside it",
                self.ids()
            ));
        };
        if self.trusted.iter().any(|key| key.text == signed_by) {
            return None;
        }
        let id = key_id(signed_by);
        Some(format!(
            "it was signed with the key {id}, which is none of `trusted_keys` ({}) any more: \
             {HOW_TO_TRUST}",
            self.ids()
        ))
    }

    fn ids(&self) -> String {
        let ids: Vec<String> = self.trusted.iter().map(TrustedKey::id).collect();
        ids.join(", ")
    }
}

const HOW_TO_TRUST: &str = "sign it with one of those, or have an operator trust this one";

/// The id in the base64 of a key or of a signature, as minisign shows it: the eight bytes behind
/// the two of the algorithm, the last one first.
pub(crate) fn key_id(base64: &str) -> String {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    let id = bytes.get(2..10).unwrap_or_default().iter().rev();
    id.map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of minisign's own documentation: the four bytes `test`.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNED: &str = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDO\
        ocrCo8KLzZwo=\ntrusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    const OTHER_KEY: &str = "RWSqlRDQE9REDnMMvCZ5bH1VCqy5DqmcnVM3lxPuUW2zJkuPMqrFHRX8";

    fn trusting(keys: &[&str], required: bool) -> Signatures {
        let trusted = keys.iter().map(|key| TrustedKey::parse(key).unwrap());
        Signatures {
            required,
            trusted: trusted.collect(),
        }
    }

    #[test]
    fn a_trusted_key_is_kept_whole_and_shown_by_its_id() {
        let signatures = trusting(&[KEY], true);
        assert_eq!(signatures.trusted[0].id(), "E7620F1842B4E81F");
        let signed = signatures.check(b"test", Some(SIGNED)).unwrap();
        assert_eq!((signed.by.as_deref(), signed.warning), (Some(KEY), None));
        assert_eq!(signatures.refusal(Some(KEY)), None);
        let with_crlf = SIGNED.replace('\n', "\r\n");
        assert!(signatures.check(b"test", Some(&with_crlf)).is_ok());
    }

    #[test]
    fn what_was_altered_is_refused_required_or_not() {
        for required in [false, true] {
            let signatures = trusting(&[KEY], required);
            let comment = SIGNED.replace("file:test", "file:tent");
            for (bytes, signature) in [(&b"tent"[..], SIGNED), (b"test", comment.as_str())] {
                let problem = signatures.check(bytes, Some(signature)).unwrap_err();
                assert!(
                    problem.contains("E7620F1842B4E81F does not fit"),
                    "{problem}"
                );
            }
            for nonsense in ["", "RW", &SIGNED[..200], "a\nb\nc\nd"] {
                let problem = signatures.check(b"test", Some(nonsense)).unwrap_err();
                assert!(problem.contains("none of minisign's"), "{problem}");
            }
        }
    }

    #[test]
    fn unsigned_and_foreign_ones_are_refused_where_a_signature_is_required() {
        let signatures = trusting(&[OTHER_KEY], true);
        let foreign = signatures.check(b"test", Some(SIGNED)).unwrap_err();
        let other = signatures.trusted[0].id();
        for part in ["signed with the key E7620F1842B4E81F", other.as_str()] {
            assert!(foreign.contains(part), "{foreign}");
        }
        let unsigned = signatures.refusal(None).unwrap();
        assert!(unsigned.contains("no signature") && unsigned.contains(&other));
        let dropped = signatures.refusal(Some(KEY)).unwrap();
        assert!(dropped.contains("E7620F1842B4E81F") && dropped.contains("any more"));
        let lenient = trusting(&[], false);
        assert_eq!(lenient.refusal(None), None);
        let signed = lenient.check(b"tent", Some(SIGNED)).unwrap();
        assert!(signed.by.is_none() && signed.warning.unwrap().contains("not looked at"));
    }

    #[test]
    fn a_key_that_is_none_is_told_of() {
        for text in ["", "RW", "untrusted comment: x", &KEY[1..]] {
            assert!(
                TrustedKey::parse(text).unwrap_err().contains("RW"),
                "{text}"
            );
        }
    }
}
