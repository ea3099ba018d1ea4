//! What a component says of itself, made fit to be told: without anything that moves a cursor or
//! hides a word, and not all of it.

/// Bytes of one sentence.
const BYTES_MAX: usize = 2_000;

/// The text as people read it.
pub(super) fn told(text: &str) -> String {
    let mut told = String::new();
    for c in text.chars() {
        if told.len() >= BYTES_MAX {
            told.push('…');
            break;
        }
        match c {
            '"' | '\'' | '\\' => told.push(c),
            c => told.extend(c.escape_debug()),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_told_raw_or_without_an_end() {
        let said = "unknown variant `\u{1b}[2J\u{202e}\n`, \"it's\" a \\ é → ü";
        let expected = r#"unknown variant `\u{1b}[2J\u{202e}\n`, "it's" a \ é → ü"#;
        assert_eq!(told(said), expected);
        assert!(told(&"\u{10ffff}".repeat(100_000)).len() < BYTES_MAX + 20);
    }
}
