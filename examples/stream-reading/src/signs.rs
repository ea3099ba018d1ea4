//! Signs of trouble in lines: words that programs write when something is wrong, and lines that
//! are rare.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use taskhost_sdk::Condition;

use crate::text::{cut, kinds, steady_piece};

/// How bad it is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a look some day.
    Low,
    /// Somebody may be hindered.
    Medium,
    /// Something does not work.
    High,
    /// Something has ended or is lost.
    Critical,
}

/// What programs write when something is wrong, the worst first. Case is ignored.
const WORDS: [(&str, Severity); 28] = [
    ("panic", Severity::Critical),
    ("fatal", Severity::Critical),
    ("segfault", Severity::Critical),
    ("out of memory", Severity::Critical),
    ("corrupt", Severity::Critical),
    ("deadlock", Severity::High),
    ("exception", Severity::High),
    ("traceback", Severity::High),
    ("is down", Severity::High),
    ("error", Severity::High),
    ("fail", Severity::High),
    ("refused", Severity::High),
    ("unreachable", Severity::High),
    ("abort", Severity::High),
    ("denied", Severity::Medium),
    ("timed out", Severity::Medium),
    ("timeout", Severity::Medium),
    ("unable to", Severity::Medium),
    ("cannot", Severity::Medium),
    ("could not", Severity::Medium),
    ("not authori", Severity::Medium),
    ("unauthorized", Severity::Medium),
    ("forbidden", Severity::Medium),
    ("invalid", Severity::Medium),
    ("rejected", Severity::Medium),
    ("terminat", Severity::Medium),
    ("warn", Severity::Low),
    ("retry", Severity::Low),
];
/// How access logs write that a request was not answered as it was wanted.
const STATUSES: [(&str, &str, Severity); 8] = [
    ("\" 500 ", "answered 500", Severity::High),
    ("\" 502 ", "answered 502", Severity::High),
    ("\" 503 ", "answered 503", Severity::High),
    ("\" 504 ", "answered 504", Severity::High),
    ("\" 401 ", "answered 401", Severity::Medium),
    ("\" 403 ", "answered 403", Severity::Medium),
    ("\" 404 ", "answered 404", Severity::Low),
    ("\" 400 ", "answered 400", Severity::Low),
];
/// A sign in more of the lines is how they always are.
const SHARE_MAX: f64 = 0.5;
/// Lines are rare when no more of them are of one kind.
const RARE_SHARE_MAX: f64 = 0.02;
/// So many kinds of them are looked at.
const KINDS_MAX: usize = 200;
/// A shorter piece of a line says nothing.
const PIECE_CHARS_MIN: usize = 8;
const PIECE_CHARS_MAX: usize = 80;
/// Bytes of lines that signs are looked for in: a task looks at up to 64 features, with some two
/// hundred pieces of text each.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// Signs of one set of lines.
const SIGNS_MAX: usize = 6;
/// Of which so many are words.
const WORDS_MAX: usize = 4;

/// Something that sets a few lines apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign {
    /// The text that they have in them.
    pub text: String,
    /// What that says.
    pub name: String,
    /// Whether it is a word of trouble; else the lines are rare.
    pub is_word: bool,
    /// How bad it is.
    pub severity: Severity,
    /// In how many of the lines it is.
    pub lines: usize,
    /// One of them.
    pub example: String,
}

impl Sign {
    /// Selects the documents with it.
    #[must_use]
    pub fn condition(&self, field: &str) -> Condition {
        Condition::contains(field, self.text.as_str())
    }
}

/// The signs in these lines, the worst first; of equally bad ones the more frequent first.
#[must_use]
pub fn signs(lines: &[&str]) -> Vec<Sign> {
    let most = lines.len() as f64 * SHARE_MAX;
    let sought = Lines::of(lines);
    let mut signs = Vec::new();
    let words = WORDS
        .into_iter()
        .map(|(word, severity)| (word, word, severity));
    for (text, name, severity) in words.chain(STATUSES) {
        let Some((count, example)) = sought.holding(text) else {
            continue;
        };
        if count as f64 <= most {
            signs.push(Sign {
                text: text.to_owned(),
                name: name.to_owned(),
                is_word: true,
                severity,
                lines: count,
                example: cut(example, 200),
            });
        }
    }
    signs.sort_by_key(|sign| std::cmp::Reverse((sign.severity, sign.lines)));
    signs.truncate(WORDS_MAX);
    signs.extend(rare(&sought));
    signs.truncate(SIGNS_MAX);
    signs
}

/// The beginnings of lines, so that all together are no longer than is read within some
/// milliseconds, and in small letters: each sign is looked for in all of them.
struct Lines<'l> {
    all: &'l [&'l str],
    folded: Vec<String>,
}

impl<'l> Lines<'l> {
    fn of(all: &'l [&'l str]) -> Self {
        let most = TEXT_BYTES_MAX / all.len().max(1);
        let fold = |line: &&str| line[..line.floor_char_boundary(most)].to_ascii_lowercase();
        Self {
            all,
            folded: all.iter().map(fold).collect(),
        }
    }

    /// How many hold the text, and the first that does; case is ignored.
    fn holding(&self, text: &str) -> Option<(usize, &'l str)> {
        let text = text.to_ascii_lowercase();
        let pairs = self.all.iter().zip(&self.folded);
        let mut with = pairs.filter(|(_, folded)| folded.contains(&text));
        let (first, _) = with.next()?;
        Some((1 + with.count(), first))
    }
}

/// Lines of which there are few, by the longest piece in which nothing varies.
fn rare(sought: &Lines<'_>) -> Vec<Sign> {
    let lines = sought.all;
    let most = (lines.len() as f64 * RARE_SHARE_MAX).max(1.0);
    let kinds = kinds(lines);
    if kinds.len() < 2 {
        return Vec::new();
    }
    let few = kinds.iter().filter(|(count, _)| *count as f64 <= most);
    let sign = |(_, line): &(usize, &str)| {
        let piece: String = steady_piece(line).chars().take(PIECE_CHARS_MAX).collect();
        let piece = piece.trim();
        if piece.len() < PIECE_CHARS_MIN {
            return None;
        }
        let (count, _) = sought.holding(piece)?;
        (count as f64 <= most).then(|| Sign {
            text: piece.to_owned(),
            name: piece.to_owned(),
            is_word: false,
            severity: Severity::Low,
            lines: count,
            example: cut(line, 200),
        })
    };
    // Each is looked for in all lines.
    let few = few.take(KINDS_MAX);
    let mut signs: Vec<Sign> = few.filter_map(sign).collect();
    // What names itself at length is the best name of a rare line.
    signs.sort_by_key(|sign| std::cmp::Reverse(sign.text.len()));
    signs.dedup_by(|a, b| a.text == b.text);
    signs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_trouble_come_first_and_rare_lines_after() {
        let mut lines = vec!["session opened for user ada"; 90];
        lines.extend(["login FAILED for bob"; 6]);
        lines.extend(["Permission denied"; 3]);
        lines.push("key exchange algorithms changed");
        let signs = signs(&lines);
        let found: Vec<(&str, usize)> = signs
            .iter()
            .map(|sign| (sign.text.as_str(), sign.lines))
            .collect();
        assert_eq!(
            found,
            [
                ("fail", 6),
                ("denied", 3),
                ("key exchange algorithms changed", 1)
            ]
        );
        assert_eq!(signs[0].severity, Severity::High);
        assert!(signs[0].is_word && !signs[2].is_word);
    }

    #[test]
    fn access_logs_tell_by_their_statuses() {
        let mut lines = vec!["10.0.0.7 - - \"GET / HTTP/1.1\" 200 404 \"-\""; 9];
        lines.push("10.0.0.7 - - \"GET /x HTTP/1.1\" 404 153 \"-\"");
        let signs = signs(&lines);
        assert_eq!(
            (signs[0].name.as_str(), signs[0].lines),
            ("answered 404", 1)
        );
    }

    #[test]
    fn what_all_lines_have_is_no_sign() {
        let errors = ["error 1", "error 2", "error 3"];
        assert_eq!(signs(&errors), []);
        assert_eq!(signs(&[]), []);
        assert_eq!(
            signs(&["7", "x", "", "7\"8"]),
            [],
            "too short to say anything"
        );
    }
}
