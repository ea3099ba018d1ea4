//! What a line says: its words, its values (names with digits in them), and its pattern, which
//! is the line with everything that varies masked.

use crate::hash::{Fnv, hash_of};
use std::hash::Hasher;

/// More text of one line than this is not read, in bytes.
pub const TEXT_MAX: usize = 1_024;

/// Words that tell nothing of who writes them, in lower case.
const FILLERS: [&[u8]; 44] = [
    b"and", b"are", b"bin", b"com", b"etc", b"false", b"file", b"for", b"from", b"gmt", b"had",
    b"has", b"have", b"home", b"http", b"https", b"into", b"java", b"javax", b"lang", b"lib",
    b"line", b"local", b"net", b"not", b"null", b"opt", b"org", b"srv", b"that", b"the", b"this",
    b"tmp", b"true", b"usr", b"utc", b"util", b"var", b"was", b"were", b"will", b"with", b"www",
    b"you",
];

/// Whether a word tells nothing of who writes it.
#[must_use]
pub fn is_filler(word: &[u8]) -> bool {
    FILLERS
        .iter()
        .any(|filler| word.eq_ignore_ascii_case(filler))
}

/// The words of a piece of text: runs of at least three letters (`_` and `$` count as such).
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !(byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$')))
        .filter(|word| word.len() >= 3)
}

/// The values of a piece of text: names of at least five characters with a digit and
/// something else in them.
pub fn values(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/')))
        .filter(|value| {
            // A bare number is shared by accident.
            let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
            value.len() >= 5 && digits > 0 && digits < value.len()
        })
}

/// The hash of `text` with digits and hexadecimal names masked and runs of blanks as one.
#[must_use]
pub fn pattern(text: &[u8]) -> u64 {
    let mut hasher = Fnv::default();
    masked(text, |byte| hasher.write(&[byte]));
    hasher.finish()
}

/// `text` with digits and hexadecimal names masked, as [`pattern`] sees it.
#[must_use]
pub fn masked_text(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    masked(text, |byte| out.push(byte));
    out
}

/// A word's hash, the same wherever it stands.
#[must_use]
pub fn word_id(word: &[u8]) -> u64 {
    hash_of(word)
}

fn masked(text: &[u8], mut emit: impl FnMut(u8)) {
    let mut at = 0;
    let mut last = 0u8;
    while at < text.len() {
        let run = text[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        if run == 0 {
            let byte = text[at];
            if !(byte == b' ' && last == b' ') {
                emit(byte);
            }
            last = byte;
            at += 1;
            continue;
        }
        let word = &text[at..at + run];
        let digits = word.iter().any(u8::is_ascii_digit);
        if digits && run >= 6 && word.iter().all(u8::is_ascii_hexdigit) {
            emit(b'0');
        } else {
            let mut in_digits = false;
            for byte in word {
                let digit = byte.is_ascii_digit();
                if !digit {
                    emit(*byte);
                } else if !in_digits {
                    emit(b'0');
                }
                in_digits = digit;
            }
        }
        last = b'0';
        at += run;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_forgets_what_varies() {
        let mask = |text: &str| String::from_utf8(masked_text(text.as_bytes())).unwrap();
        assert_eq!(
            mask("blk_38865049064139 from 10.2.33.4"),
            "blk_0 from 0.0.0.0"
        );
        assert_eq!(mask("id=7fcd1ce2b4a0   x"), "id=0 x");
        assert_eq!(pattern(b"a 12 b"), pattern(b"a 7 b"));
        assert_ne!(pattern(b"a 12 b"), pattern(b"a x b"));
    }
}
