//! Covers secrets in what comes back, as far as that is cheap.
//!
//! Found is a secret as it is, in base64 (both alphabets, at any place within what was encoded), in
//! hexadecimal digits, percent-encoded (what has to be, what may be, or everything) and as part of
//! a JSON text; letters in either case. Not found is a secret that is compressed, encrypted,
//! encoded twice or in pieces, turned around, in UTF-16, or as entities of HTML.

use std::collections::BTreeSet;
use std::ops::Range;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `encodeURIComponent` of JavaScript encodes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// What everybody else encodes: everything but what RFC 3986 reserves for nothing.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// What has to be encoded in a query.
const QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\'');

/// Finds one secret.
#[derive(Debug, Clone)]
pub(super) struct Masks(AhoCorasick);

impl Masks {
    /// # Errors
    /// There is no way to find the secret: it must not be used.
    pub(super) fn of(secret: &str) -> Result<Self, String> {
        let spellings: BTreeSet<String> = spellings(secret).collect();
        let search = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(spellings);
        search.map(Self).map_err(|error| error.to_string())
    }

    /// Where it stands.
    pub(super) fn places<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        let found = self.0.find_overlapping_iter(text);
        found.map(|found| found.range())
    }
}

fn spellings(secret: &str) -> impl Iterator<Item = String> {
    let percent = [NON_ALPHANUMERIC, COMPONENT, UNRESERVED, QUERY]
        .map(|set| utf8_percent_encode(secret, set).to_string());
    let form = percent[2].replace("%20", "+");
    let each = |before: &str| {
        let bytes = secret.bytes();
        bytes.map(|byte| format!("{before}{byte:02x}")).collect()
    };
    let escaped = secret.replace('\\', "\\\\").replace('"', "\\\"");
    let slashed = escaped.replace('/', "\\/");
    let base64 = (0..3).flat_map(move |before| base64_after(secret, before));
    let all = [
        secret.to_owned(),
        form,
        each(""),
        each("%"),
        escaped,
        slashed,
    ];
    all.into_iter().chain(percent).chain(base64)
}

/// What of the secret's base64 is the same whatever stands before it (so many bytes, modulo 3) and
/// after it.
fn base64_after(secret: &str, before: usize) -> [String; 2] {
    let padded = [&[0; 2][..before], secret.as_bytes()].concat();
    // The first digit without a bit of what stands before; digits of 6 whole bits of the secret.
    let (first, end) = ((8 * before).div_ceil(6), 8 * padded.len() / 6);
    [STANDARD, URL_SAFE].map(|alphabet| alphabet.encode(&padded)[first..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "s3cr:t/\"with\" Everything?";

    fn covered(text: &str) -> String {
        let mut covered = text.to_owned().into_bytes();
        let masks = Masks::of(SECRET).unwrap();
        for place in masks.places(text.as_bytes()) {
            covered[place].fill(b'*');
        }
        String::from_utf8(covered).unwrap()
    }

    #[test]
    fn each_spelling_is_covered_and_what_stands_around_it_is_not() {
        let json = serde_json::to_string(SECRET).unwrap();
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02X}")).collect();
        for spelling in [
            SECRET,
            &SECRET.to_uppercase(),
            json.trim_matches('"'),
            &json.trim_matches('"').replace('/', "\\/"),
            &hex,
            "s3cr%3at%2f%22with%22%20Everything%3F",
            "s3cr%3At%2F%22with%22+Everything%3F",
            "s3cr:t/%22with%22%20Everything?",
        ] {
            let masked = covered(&format!("a: {spelling} <z>"));
            assert_eq!(masked, format!("a: {} <z>", "*".repeat(spelling.len())));
        }
    }

    #[test]
    fn base64_is_covered_at_any_place() {
        for before in ["", "u", "us", "user", "user:"] {
            for after in ["", "!", "!!", "!!!"] {
                let whole = format!("{before}{SECRET}{after}");
                for alphabet in [STANDARD, URL_SAFE] {
                    let masked = covered(&alphabet.encode(&whole));
                    // Digits that hold bits of what stands around it are left.
                    let hidden = masked.matches('*').count();
                    assert!(
                        hidden * 6 > SECRET.len() * 8 - 12,
                        "{before} {after} {masked}"
                    );
                }
            }
        }
    }
}
