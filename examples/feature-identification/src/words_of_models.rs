//! What a language model writes, made fit to be kept: short, in one line, and saying something.

/// The longest name.
pub const NAME_CHARS_MAX: usize = 80;

/// What is no name, though a model gives it to all that it does not know.
const NO_NAMES: [&str; 27] = [
    "all",
    "app",
    "application",
    "cluster",
    "data",
    "default",
    "else",
    "everything",
    "generic",
    "log",
    "logs",
    "messages",
    "misc",
    "n/a",
    "name",
    "none",
    "of",
    "other",
    "rest",
    "server",
    "service",
    "stream",
    "string",
    "system",
    "test",
    "unknown",
    "various",
];

/// Bidirectional marks and characters without width: two names that differ in them alone look the
/// same.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// In one line, without what steers terminals or cannot be seen, and cut.
#[must_use]
pub fn clean(text: &str, chars_max: usize) -> String {
    let text: String = text.chars().filter(|c| !is_invisible(*c)).collect();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let mut clean = String::new();
    let mut left = chars_max;
    for word in words.filter(|word| !word.is_empty()) {
        if !clean.is_empty() {
            if left < 2 {
                break;
            }
            clean.push(' ');
            left -= 1;
        }
        clean.extend(word.chars().take(left));
        left -= word.chars().count().min(left);
        if left == 0 {
            break;
        }
    }
    clean
}

/// Whether a name says nothing: `System 3`, `unknown service`.
#[must_use]
pub fn says_nothing(name: &str) -> bool {
    let name = name.to_lowercase();
    let words = name.split(|c: char| c.is_whitespace() || "-_#".contains(c));
    !words.filter(|word| !word.is_empty()).any(|word| {
        let is_number = |word: &str| {
            word.strip_prefix('c')
                .unwrap_or(word)
                .parse::<u32>()
                .is_ok()
        };
        !is_number(word) && !NO_NAMES.contains(&word) && word.chars().any(char::is_alphabetic)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_say_nothing_are_known() {
        for name in [
            "",
            "  ",
            "System 3",
            "unknown service",
            "c4",
            "logs",
            "—",
            "Cluster c2",
        ] {
            assert!(says_nothing(name), "{name}");
        }
        for name in [
            "nginx",
            "Redis",
            "system d",
            "squid proxy",
            "Kafka logs",
            "日志",
        ] {
            assert!(!says_nothing(name), "{name}");
        }
    }

    #[test]
    fn what_is_kept_is_short_and_in_one_line() {
        assert_eq!(clean(" a\n\u{1b}[2J  b\t", 80), "a [2J b");
        assert_eq!(clean("äöü äöü", 5), "äöü ä");
        assert_eq!(clean("abc d", 4), "abc");
        assert_eq!(clean("n\u{200b}gi\u{202e}nx", 80), "nginx");
        assert_eq!(clean(&"x".repeat(99), 80).len(), 80);
    }
}
