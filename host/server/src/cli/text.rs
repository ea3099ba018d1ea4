//! Text on its way to a terminal. What guests and documents say may carry control characters
//! that move the cursor, or bidirectional marks that reorder a line: those are written out.

use std::fmt::Write;

use serde_json::Value;

/// The text on one line, with control and bidi characters escaped.
pub(crate) fn shown(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same, over several lines.
pub(crate) fn shown_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

/// The text on one line, at most `length_max` characters of it.
pub(crate) fn shortened(text: &str, length_max: usize) -> String {
    let mut shown = shown(text);
    if let Some((end, _)) = shown.char_indices().nth(length_max) {
        let last = shown[..end]
            .char_indices()
            .next_back()
            .map_or(0, |(index, _)| index);
        shown.truncate(last);
        shown.push('…');
    }
    shown
}

/// JSON on one line, of the same value, with control and bidi characters escaped as JSON does.
pub(crate) fn json(value: &Value) -> String {
    let mut shown = String::new();
    // Outside of strings JSON has none of them.
    for c in value.to_string().chars() {
        if c.is_control() || is_invisible(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if kept(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c.is_control() || is_invisible(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Bidirectional marks, line separators, and characters without width that can hide others.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A number of bytes as people read it.
pub(crate) fn bytes(count: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => {
            let tenths = u128::from(count) * 10 / u128::from(size);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{count} B"),
    }
}

/// A share as a percentage with one decimal.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        for (text, expected) in [
            ("plain – ä 😀", "plain – ä 😀"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{202e}cba\u{2066}", "\\u{202e}cba\\u{2066}"),
            ("\u{9b}31m\u{7f}\0", "\\u{9b}31m\\u{7f}\\u{0}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(shown_lines("a\nb\u{1b}"), "a\nb\\u{1b}");
    }

    #[test]
    fn json_keeps_its_value_and_steers_no_terminal() {
        let value =
            serde_json::json!({"a\u{9b}": ["\u{1b}[2J\n\u{7f}", "\u{202e}\u{e0041}ä😀", 1]});
        let shown = json(&value);
        let expected = r#"{"a\u009b":["\u001b[2J\n\u007f","\u202e\udb40\udc41ä😀",1]}"#;
        assert_eq!(shown, expected);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(shortened("", 3), "");
    }

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "17179869183.9 GiB");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(1, 0), "–");
    }
}
