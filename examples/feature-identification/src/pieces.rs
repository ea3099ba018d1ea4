//! Cuts lines into pieces of text that may be constant: runs of whole tokens without anything that
//! varies, which is timestamps, numbers, and names with digits unless most lines have them.

use crate::stamp::is_calendar_word;
use crate::tally::Tally;

/// Tokens of each line that are read, from its start.
const TOKENS_MAX: usize = 56;
/// Tokens in one piece at most.
const PIECE_TOKENS_MAX: usize = 5;
/// Bytes in one piece at most.
const PIECE_BYTES_MAX: usize = 36;
/// A name with digits is a constant where this share of the group's lines has it.
const DIGITS_SHARE_MIN: f64 = 0.3;
/// A bare number is a constant where this share has it.
const NUMBER_SHARE_MIN: f64 = 0.9;
/// And it must have so many digits.
const NUMBER_DIGITS_MIN: usize = 4;
/// A name with digits is a constant where at least so many lines have it.
const DIGITS_LINES_MIN: f64 = 3.0;

/// A line's text and where timestamps stand in it.
pub type Stamped<'t> = (&'t str, &'t [(usize, usize)]);

/// Names with digits that are constants of these lines all the same.
#[must_use]
pub fn constants(lines: &[Stamped<'_>]) -> Tally {
    let mut counts = Tally::default();
    for (text, stamps) in lines {
        let mut seen = Tally::default();
        for token in tokens(text, stamps) {
            if let Token::Digits(start, end) = token {
                seen.add(&text.as_bytes()[start..end], 1.0);
            }
        }
        for (word, _) in seen.iter() {
            counts.add(word, 1.0);
        }
    }
    let mut constants = Tally::default();
    for (word, count) in counts.iter() {
        let bare = word.iter().all(u8::is_ascii_digit);
        let share = if bare {
            NUMBER_SHARE_MIN
        } else {
            DIGITS_SHARE_MIN
        };
        // A short number stands in many lines by accident.
        let long = !bare || word.len() >= NUMBER_DIGITS_MIN;
        if long && count >= DIGITS_LINES_MIN && count >= share * lines.len() as f64 {
            constants.add(word, count);
        }
    }
    constants
}

/// Calls `emit` with every piece of a line and where it starts.
pub fn pieces_of(
    text: &str,
    stamps: &[(usize, usize)],
    constants: &Tally,
    emit: &mut dyn FnMut(&str, usize),
) {
    let tokens = tokens(text, stamps);
    let span = |token: Token| match token {
        Token::Fixed(start, end) => Some((start, end)),
        Token::Digits(start, end) => {
            (constants.of(&text.as_bytes()[start..end]) > 0.0).then_some((start, end))
        }
        Token::Varies => None,
    };
    for first in 0..tokens.len() {
        let Some((start, _)) = span(tokens[first]) else {
            continue;
        };
        for token in tokens.iter().skip(first).take(PIECE_TOKENS_MAX) {
            let Some((_, end)) = span(*token) else {
                break;
            };
            if end - start > PIECE_BYTES_MAX {
                break;
            }
            if is_telling(&text[start..end]) {
                emit(&text[start..end], start);
            }
        }
    }
}

/// A piece says something: letters, or signs that stand together.
fn is_telling(piece: &str) -> bool {
    let letters = piece.bytes().filter(u8::is_ascii_alphanumeric).count();
    let signs = piece.bytes().filter(u8::is_ascii_punctuation).count();
    piece.len() >= 2 && letters + 2 * signs >= 3
        || (letters >= 1 && signs >= 1)
        || (letters >= 1 && piece.len() >= letters + 2)
}

/// The ways in which a line opens: its text up to each token before the first that varies.
#[must_use]
pub fn starts_of<'t>(text: &'t str, stamps: &[(usize, usize)]) -> Vec<&'t str> {
    let fixed = tokens(text, stamps)
        .into_iter()
        .map_while(|token| match token {
            Token::Fixed(_, end) if end <= PIECE_BYTES_MAX => Some(end),
            _ => None,
        });
    fixed
        .take(PIECE_TOKENS_MAX)
        .map(|end| &text[..end])
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// A word or a run of blanks or a single sign: constant.
    Fixed(usize, usize),
    /// Has digits.
    Digits(usize, usize),
    /// Part of a timestamp, or not ASCII.
    Varies,
}

fn tokens(text: &str, stamps: &[(usize, usize)]) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() && tokens.len() < TOKENS_MAX {
        if let Some((_, end)) = stamps
            .iter()
            .find(|(start, end)| (*start..*end).contains(&at))
        {
            tokens.push(Token::Varies);
            at = *end;
            continue;
        }
        let same = |test: fn(&u8) -> bool| bytes[at..].iter().take_while(|b| test(b)).count();
        let word = same(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if word > 0 {
            let piece = &bytes[at..at + word];
            tokens.push(if piece.iter().any(u8::is_ascii_digit) {
                Token::Digits(at, at + word)
            } else if is_calendar_word(piece) {
                Token::Varies
            } else {
                Token::Fixed(at, at + word)
            });
            at += word;
        } else if bytes[at] == b' ' {
            let blanks = same(|byte| *byte == b' ');
            tokens.push(Token::Fixed(at, at + blanks));
            at += blanks;
        } else if bytes[at].is_ascii() {
            let plain = bytes[at] == b'\t' || bytes[at].is_ascii_punctuation();
            tokens.push(if plain {
                Token::Fixed(at, at + 1)
            } else {
                Token::Varies
            });
            at += 1;
        } else {
            tokens.push(Token::Varies);
            at += 1;
            while at < bytes.len() && !text.is_char_boundary(at) {
                at += 1;
            }
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, stamps: &[(usize, usize)], constants: &Tally) -> Vec<String> {
        let mut found = Vec::new();
        pieces_of(text, stamps, constants, &mut |piece, _| {
            found.push(piece.to_owned())
        });
        found
    }

    #[test]
    fn pieces_hold_nothing_that_varies() {
        let text = "Jan  2 03:04:05 gate sshd[71]: closed";
        let found = pieces(text, &[(0, 15)], &Tally::default());
        assert!(found.contains(&" gate sshd[".to_owned()), "{found:?}");
        assert!(found.contains(&"]: closed".to_owned()));
        assert!(
            !found
                .iter()
                .any(|piece| piece.bytes().any(|byte| byte.is_ascii_digit()))
        );
        assert!(!found.iter().any(|piece| piece.contains("Jan")));
    }

    #[test]
    fn names_with_digits_count_where_most_lines_have_them() {
        let texts = ["a jk2_init 17 x", "b jk2_init 18 y", "c jk2_init 19 z"];
        let lines: Vec<Stamped<'_>> = texts.iter().map(|text| (*text, &[][..])).collect();
        let constants = constants(&lines);
        assert_eq!((constants.len(), constants.of(b"jk2_init")), (1, 3.0));
        assert!(pieces(texts[0], &[], &constants).contains(&" jk2_init ".to_owned()));
    }

    #[test]
    fn lines_open_until_something_varies() {
        assert_eq!(starts_of("[up] 7", &[]), ["[", "[up", "[up]", "[up] "]);
        assert!(starts_of("\u{e9}t\u{e9}", &[]).is_empty());
    }
}
