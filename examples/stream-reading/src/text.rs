//! The text of documents: which field holds it, what varies in it, and how it is shown.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use taskhost_sdk::Condition;

/// Usual names of the field with the text, the best first.
pub const TEXT_FIELDS: [&str; 8] = [
    "message",
    "body.text",
    "body",
    "log",
    "msg",
    "event.original",
    "text",
    "line",
];
/// Names of fields that are kept of a sample, and how deep objects lie in each other for that.
const PATHS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 8;
/// Conditions name no field by a longer path, in bytes.
const PATH_BYTES_MAX: usize = 512;
/// Documents that are looked at to choose the field.
const DOCUMENTS_MAX: usize = 500;
/// More of one line is not read, in characters.
const LINE_CHARS_MAX: usize = 1_024;

/// The value at a dotted path: the literal key first, then the nested one, as conditions read it.
#[must_use]
pub fn value_at<'d>(document: &'d Value, path: &str) -> Option<&'d Value> {
    let object = document.as_object()?;
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    path.match_indices('.')
        .find_map(|(at, _)| value_at(object.get(&path[..at])?, &path[at + 1..]))
}

/// The field that holds the text of most documents.
#[must_use]
pub fn text_field(documents: &[Value]) -> Option<String> {
    let looked_at = &documents[..documents.len().min(DOCUMENTS_MAX)];
    let has = |path: &str| {
        let with = looked_at
            .iter()
            .filter(|document| value_at(document, path).is_some_and(Value::is_string));
        2 * with.count() >= looked_at.len() && !looked_at.is_empty()
    };
    if let Some(usual) = TEXT_FIELDS.iter().find(|path| has(path)) {
        return Some((*usual).to_owned());
    }
    let mut bytes: BTreeMap<&str, usize> = BTreeMap::new();
    for object in looked_at.iter().filter_map(Value::as_object) {
        let may_be = |key: &str| !key.starts_with('@') && below("", key).is_some();
        for (key, value) in object.iter().filter(|(key, _)| may_be(key)) {
            let length = value.as_str().map_or(0, str::len);
            *bytes.entry(key).or_default() += length;
        }
    }
    let longest = bytes.into_iter().max_by_key(|(_, bytes)| *bytes);
    longest
        .filter(|(path, _)| has(path))
        .map(|(path, _)| path.to_owned())
}

/// The fields that any of the documents has, nested ones by their dotted paths.
#[must_use]
pub fn paths(documents: &[Value]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for document in documents {
        note_paths(document, "", DEPTH_MAX, &mut paths);
    }
    paths
}

fn note_paths(value: &Value, above: &str, depth: usize, paths: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if paths.len() >= PATHS_MAX {
            return;
        }
        let Some(path) = below(above, key) else {
            continue;
        };
        if depth > 0 {
            note_paths(value, &path, depth - 1, paths);
        }
        paths.insert(path);
    }
}

/// The path of a field below another one, or at the top; none where no condition can name it, since
/// it is empty or too long: whoever writes lines may write such keys.
#[must_use]
pub fn below(above: &str, key: &str) -> Option<String> {
    let is_named = !key.is_empty() && above.len() + 1 + key.len() <= PATH_BYTES_MAX;
    is_named.then(|| match above {
        "" => key.to_owned(),
        _ => format!("{above}.{key}"),
    })
}

/// The texts of the documents that have one there.
#[must_use]
pub fn texts<'d>(documents: &'d [Value], field: &str) -> Vec<&'d str> {
    let text = |document: &'d Value| value_at(document, field).and_then(Value::as_str);
    documents.iter().filter_map(text).collect()
}

/// The line with numbers, and names with digits in them, as `0`: lines that one place of a program
/// writes look alike then.
#[must_use]
pub fn masked(line: &str) -> String {
    let mut masked = String::new();
    let line = cut(line, LINE_CHARS_MAX);
    let mut rest = line.as_str();
    while let Some(first) = rest.chars().next() {
        if !first.is_alphanumeric() {
            if !(first == ' ' && masked.ends_with(' ')) {
                masked.push(first);
            }
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_alphanumeric());
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        if word.contains(|c: char| c.is_ascii_digit()) {
            masked.push('0');
        } else {
            masked.push_str(word);
        }
        rest = after;
    }
    masked
}

/// The longest piece of the line in which nothing varies: without digits, quotes and what they are
/// part of; trimmed.
#[must_use]
pub fn steady_piece(line: &str) -> &str {
    let mut longest = "";
    let mut start = 0;
    let mut word_start = 0;
    let varies = |c: char| c.is_ascii_digit() || matches!(c, '"' | '\'' | '/' | '=' | '\\');
    for (at, c) in line.char_indices() {
        if varies(c) {
            let piece = line.get(start..word_start.max(start)).unwrap_or("").trim();
            if piece.len() > longest.len() {
                longest = piece;
            }
            // What the digit is part of varies with it, up to the next blank.
            let after = line[at..].find(' ').map_or(line.len(), |blank| at + blank);
            start = start.max(after);
        }
        if c == ' ' {
            word_start = at + 1;
        }
    }
    let piece = line.get(start..).unwrap_or("").trim();
    if piece.len() > longest.len() {
        piece
    } else {
        longest
    }
}

/// The kinds of lines, each with how many lines are of it and one of them, most frequent first.
#[must_use]
pub fn kinds<'t>(texts: &[&'t str]) -> Vec<(usize, &'t str)> {
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (at, text) in texts.iter().enumerate() {
        kinds.entry(masked(text)).or_insert((0, at)).0 += 1;
    }
    let mut kinds: Vec<(usize, usize)> = kinds.into_values().collect();
    // Equally frequent ones in the order in which they came.
    kinds.sort_by_key(|(count, at)| (std::cmp::Reverse(*count), *at));
    kinds
        .into_iter()
        .map(|(count, at)| (count, texts[at]))
        .collect()
}

/// At most so many characters, with `…` where more was there.
#[must_use]
pub fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// `31 %`, and `0.4 %` below one.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    let permille = (part * 1_000).checked_div(whole).unwrap_or(0);
    match permille {
        0 if part > 0 => "less than 0.1 %".to_owned(),
        1..10 => format!("0.{permille} %"),
        _ => format!("{} %", (permille + 5) / 10),
    }
}

/// `15,930`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The fields that a condition tests.
#[must_use]
pub fn fields_of(condition: &Condition) -> Vec<&str> {
    match condition {
        Condition::Always | Condition::Never => Vec::new(),
        Condition::And(all) | Condition::Or(all) => all.iter().flat_map(fields_of).collect(),
        Condition::Not(inner) => fields_of(inner),
        Condition::Field { field, .. } => vec![field],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_usual_field_is_the_text_or_else_the_longest() {
        let usual = [json!({"message": "a", "body": "bbbb"})];
        assert_eq!(text_field(&usual).as_deref(), Some("message"));
        let nested = [json!({"body": {"text": "a"}, "n": 1})];
        assert_eq!(text_field(&nested).as_deref(), Some("body.text"));
        let other = [json!({"what": "a long line", "who": "me", "@timestamp": "2026-11-23T00"})];
        assert_eq!(text_field(&other).as_deref(), Some("what"));
        assert_eq!(text_field(&[json!({"n": 1}), json!(7)]), None);
        assert_eq!(text_field(&[]), None);
    }

    #[test]
    fn keys_that_no_condition_can_name_are_no_fields() {
        let long = "k".repeat(600);
        let half = "k".repeat(300);
        let documents = [
            json!({"": "x", long.as_str(): "a long text of all", "a": "t",
            half.as_str(): {half.as_str(): "y", "b": 1}}),
        ];
        let nested = format!("{half}.b");
        let expected = ["a", half.as_str(), nested.as_str()].map(str::to_owned);
        assert_eq!(paths(&documents), expected.into());
        assert_eq!(text_field(&documents).as_deref(), Some("a"));
    }

    #[test]
    fn what_varies_is_masked_and_what_stays_is_found() {
        assert_eq!(
            masked("sshd[42]: from  10.0.0.1 é7"),
            "sshd[0]: from 0.0.0.0 0"
        );
        let line = "Nov 24 11:57:32 vm sshd[1589]: Failed password for root from 10.0.0.7";
        assert_eq!(steady_piece(line), "Failed password for root from");
        assert_eq!(steady_piece("connection refused"), "connection refused");
        assert_eq!(steady_piece("12345"), "");
        assert_eq!(steady_piece(""), "");
    }

    #[test]
    fn kinds_are_counted() {
        let texts = ["a 1", "b", "a 2", "c"];
        assert_eq!(kinds(&texts), [(2, "a 1"), (1, "b"), (1, "c")]);
    }

    #[test]
    fn fields_are_known_by_their_paths() {
        let documents = [
            json!({"a": {"b": 1}}),
            json!({"a.c": 2, "d": [3]}),
            json!(7),
        ];
        let paths: Vec<String> = paths(&documents).into_iter().collect();
        assert_eq!(paths, ["a", "a.b", "a.c", "d"]);
    }

    #[test]
    fn numbers_are_written_for_people() {
        let percents = [(1, 3), (4, 1_000), (1, 10_000), (0, 7), (7, 7), (1, 0)];
        let written: Vec<String> = percents.map(|(part, whole)| percent(part, whole)).into();
        let expected = [
            "33 %",
            "0.4 %",
            "less than 0.1 %",
            "0 %",
            "100 %",
            "less than 0.1 %",
        ];
        assert_eq!(written, expected);
        assert_eq!(
            [7, 999, 1_000, 15_930].map(grouped),
            ["7", "999", "1,000", "15,930"]
        );
        assert_eq!(
            (cut("abc", 3), cut("abcd", 3)),
            ("abc".to_owned(), "abc…".to_owned())
        );
    }

    #[test]
    fn the_fields_of_a_condition_are_found_wherever_they_stand() {
        let condition = Condition::and(vec![
            Condition::not(Condition::exists("a", true)),
            Condition::or(vec![Condition::eq("b.c", 1), Condition::always()]),
        ]);
        assert_eq!(fields_of(&condition), ["a", "b.c"]);
    }
}
