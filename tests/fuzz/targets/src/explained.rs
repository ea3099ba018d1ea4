//! What a text has to be that explains something to people.

/// The longest explanation of one mistake.
const EXPLANATION_BYTES_MAX: usize = 4096;

/// Asserts that it is words, not too many, and nothing that moves a cursor or hides a word.
pub(crate) fn check(text: &str) {
    assert!(!text.trim().is_empty(), "nothing is said");
    assert!(
        text.len() <= EXPLANATION_BYTES_MAX,
        "{} bytes are said: {text:.200?}",
        text.len()
    );
    let odd = text.chars().find(|c| is_odd(*c));
    assert!(odd.is_none(), "{odd:?} is said: {text:?}");
}

/// Control characters, and marks that reorder or hide what stands beside them.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
        )
}
