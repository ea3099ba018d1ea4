//! Conditions in Elasticsearch's query language.
//!
//! # What the query says and what the model says
//! The query finds every document that may match, and the host evaluates the condition over each
//! `_source`: only `always` and `never` are said exactly. No field can be. Elasticsearch indexes
//! the elements of arrays within arrays, which the model does not look into; it has one value
//! where a document has a literal dotted key beside a nested path; it keeps no trace of `[]`,
//! cuts `5.7` to 5 in a field of integers and reads "5.0" as a number; it leaves out what is
//! too long or malformed, which the documents' `_ignored` tells; and it takes the empty text for no
//! value in a field of numbers.
//!
//! # Under `not`
//! What finds all that may match a test does not find what may fail it. `not` is pushed down to
//! the tests, and every document may fail a test.
//!
//! # What has to hold
//! A document that matches a test of a field has a scalar there, which is indexed under the
//! field's name, if the field is mapped and indexed; or it is named in `_ignored`; or it is in an
//! index of which nothing is known. A runtime field with a script that hides a field of the
//! documents is only seen where the reader may see the mapping; else it counts as their value.

use serde_json::{Number, Value, json};
use taskhost_model::condition::{Condition, Range, Test};
use taskhost_model::query::Query;

use super::query_fields::{Fields, Kind, Known, Numbers};

/// Where the time of a document stands.
pub(crate) const TIMESTAMP: &str = "@timestamp";
/// 64 bits of nanoseconds end here, in the year 2262.
const NANOSECONDS_END_MS: i64 = 9_223_372_036_854;
/// Characters of a text that are looked for by a pattern: longer ones cost more than they save.
const PATTERN_CHARS_MAX: usize = 64;
/// Words that are looked for at once.
const WORDS_MAX: usize = 8;
/// The standard analyzer cuts words into pieces of so many UTF-16 units, and no longer.
const WORD_UNITS_MAX: usize = 255;

/// Which documents may match.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    /// All.
    All,
    /// None.
    None,
    /// Those that the query finds.
    Some(Value),
}

/// A condition, compiled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compiled {
    /// Finds every document that matches.
    pub bound: Bound,
    /// It finds no other.
    pub exact: bool,
}

/// Compiles a condition; none: every document.
pub(crate) fn compile(condition: Option<&Condition>, fields: &Fields) -> Compiled {
    let Some(condition) = condition else {
        return Compiled {
            bound: Bound::All,
            exact: true,
        };
    };
    let bound = satisfying(condition, true, fields);
    // What no document fails is true of all.
    let exact = bound == Bound::None || satisfying(condition, false, fields) == Bound::None;
    Compiled { bound, exact }
}

/// A range of time, in milliseconds: `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    from: i64,
    to: i64,
}

impl Times {
    /// Of a query. A field of nanoseconds refuses to be asked for times that it cannot hold.
    pub(crate) fn of(query: &Query, nanoseconds: bool) -> Self {
        let (from, to) = (query.from.as_ms(), query.to.as_ms());
        if nanoseconds {
            let to = to.clamp(0, NANOSECONDS_END_MS);
            return Self {
                from: from.clamp(0, NANOSECONDS_END_MS),
                to,
            };
        }
        Self { from, to }
    }
}

/// The documents of a range that may match.
pub(crate) fn in_range(times: Times, bound: &Bound) -> Value {
    let Times { from, to } = times;
    let time = json!({"range": {TIMESTAMP: {"gte": from, "lt": to, "format": "epoch_millis"}}});
    match bound {
        Bound::None => json!({"match_none": {}}),
        Bound::All => json!({"bool": {"filter": [time]}}),
        Bound::Some(found) => json!({"bool": {"filter": [time, found]}}),
    }
}

/// The documents for which `condition` may be `wanted`.
fn satisfying(condition: &Condition, wanted: bool, fields: &Fields) -> Bound {
    let each = |parts: &[Condition]| -> Vec<Bound> {
        let parts = parts.iter();
        parts.map(|part| satisfying(part, wanted, fields)).collect()
    };
    match (condition, wanted) {
        (Condition::Always, true) | (Condition::Never, false) => Bound::All,
        (Condition::Never, true) | (Condition::Always, false) => Bound::None,
        (Condition::And(parts), true) | (Condition::Or(parts), false) => all_of(each(parts)),
        (Condition::Or(parts), true) | (Condition::And(parts), false) => any_of(each(parts)),
        (Condition::Not(inner), wanted) => satisfying(inner, !wanted, fields),
        (Condition::Field { field, test }, true) => passing(field, test, fields),
        (Condition::Field { field, test }, false) => match test {
            Test::Neq(value) => passing(field, &Test::Eq(value.clone()), fields),
            _ => Bound::All,
        },
    }
}

fn all_of(parts: Vec<Bound>) -> Bound {
    let mut queries = Vec::new();
    for part in parts {
        match part {
            Bound::All => {}
            Bound::None => return Bound::None,
            Bound::Some(query) => queries.push(query),
        }
    }
    match queries.len() {
        0 => Bound::All,
        1 => Bound::Some(queries.remove(0)),
        _ => Bound::Some(json!({"bool": {"filter": queries}})),
    }
}

fn any_of(parts: Vec<Bound>) -> Bound {
    let mut queries = Vec::new();
    for part in parts {
        match part {
            Bound::All => return Bound::All,
            Bound::None => {}
            Bound::Some(query) => queries.push(query),
        }
    }
    match queries.len() {
        0 => Bound::None,
        1 => Bound::Some(queries.remove(0)),
        _ => Bound::Some(any(&queries)),
    }
}

fn any(queries: &[Value]) -> Value {
    json!({"bool": {"should": queries, "minimum_should_match": 1}})
}

/// The documents that may pass a test.
fn passing(field: &str, test: &Test, fields: &Fields) -> Bound {
    let Some(known) = fields.0.get(field) else {
        return Bound::All;
    };
    // `[]` is a value, of which Elasticsearch keeps no trace.
    if matches!(test, Test::Neq(_) | Test::Exists(_)) {
        return Bound::All;
    }
    let may_lack = matches!(known.kind, Kind::Number(_) | Kind::Indexed);
    if may_lack && is_passed_by_empty(test) {
        return Bound::All;
    }
    let narrow = narrow(field, test, known);
    let found = narrow.unwrap_or_else(|| json!({"exists": {"field": field}}));
    let elsewhere = json!({"bool": {"must_not": [{"terms": {"_index": known.indices}}]}});
    let Kind::Text {
        keyword: Some((sibling, _)),
        ..
    } = &known.kind
    else {
        let ignored = json!({"terms": {"_ignored": [field]}});
        return Bound::Some(any(&[found, ignored, elsewhere]));
    };
    let ignored = json!({"terms": {"_ignored": [field, sibling]}});
    let exists = |name: &str| json!({"exists": {"field": name}});
    // A sub-field that was added later is missing in what was there before.
    let before = json!({"bool": {"filter": [exists(field)], "must_not": [exists(sibling)]}});
    Bound::Some(any(&[found, ignored, elsewhere, before]))
}

/// A field of numbers takes the empty text for no value at all, and `_ignored` does not name it.
fn is_passed_by_empty(test: &Test) -> bool {
    let tested = Condition::Field {
        field: "it".to_owned(),
        test: test.clone(),
    };
    tested.matches(&json!({"it": ""}))
}

/// A query that finds the documents that have a value which passes, if there is a better one
/// than asking for any value.
fn narrow(field: &str, test: &Test, known: &Known) -> Option<Value> {
    match &known.kind {
        Kind::Keyword { plain } => text_of(test).and_then(|it| as_term(field, &it, *plain)),
        Kind::Text { standard, keyword } => {
            let wanted = text_of(test)?;
            let keyword = keyword.as_ref();
            let words = standard.then(|| as_words(field, &wanted)).flatten();
            words
                .or_else(|| keyword.and_then(|(name, plain)| as_term(name, &wanted, *plain)))
                .or_else(|| standard.then(|| as_part_of_word(field, &wanted)).flatten())
        }
        Kind::Number(numbers) => as_number(field, test, *numbers),
        Kind::Boolean => match text_of(test)? {
            Wanted {
                text,
                start: true,
                end: true,
            } if text == "true" || text == "false" => {
                Some(json!({"term": {field: text == "true"}}))
            }
            _ => None,
        },
        Kind::Indexed => None,
    }
}

/// A text that a value has to have within it.
struct Wanted {
    text: String,
    /// At its beginning.
    start: bool,
    /// At its end.
    end: bool,
}

/// What a value that passes has within it, letter by letter. Not where the value may be a
/// number: its text is the model's, while Elasticsearch has it as it was written, `5e0` for one.
fn text_of(test: &Test) -> Option<Wanted> {
    let (text, start, end) = match test {
        Test::Eq(Value::String(text)) => (text.clone(), true, true),
        Test::Eq(Value::Bool(flag)) => (flag.to_string(), true, true),
        Test::Contains(text) => (text.clone(), false, false),
        Test::StartsWith(text) => (text.clone(), true, false),
        Test::EndsWith(text) => (text.clone(), false, true),
        _ => return None,
    };
    let of_numbers = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    let may_be_number = if start && end {
        // An integer's text is what was written.
        serde_json::from_str::<Number>(&text).is_ok_and(|number| number.is_f64())
    } else {
        text.bytes().all(of_numbers)
    };
    (!may_be_number).then_some(Wanted { text, start, end })
}

/// Over terms that are whole texts.
fn as_term(field: &str, wanted: &Wanted, plain: bool) -> Option<Value> {
    let Wanted { text, start, end } = wanted;
    match (start, end) {
        // The text goes through the normalizer too.
        (true, true) => Some(json!({"term": {field: text}})),
        _ if !plain => None,
        (true, false) => Some(json!({"prefix": {field: first_chars(text)}})),
        (false, true) => {
            let skipped = text.chars().count().saturating_sub(PATTERN_CHARS_MAX);
            let last: String = text.chars().skip(skipped).collect();
            Some(json!({"wildcard": {field: format!("*{}", escaped(&last))}}))
        }
        (false, false) => {
            let pattern = format!("*{}*", escaped(&first_chars(text)));
            Some(json!({"wildcard": {field: {"value": pattern, "case_insensitive": true}}}))
        }
    }
}

/// Over the words that the standard analyzer makes: those that stand between white space are
/// words by themselves, as far as they are ASCII letters and digits.
fn as_words(field: &str, wanted: &Wanted) -> Option<Value> {
    let Wanted { text, start, end } = wanted;
    let words: Vec<&str> = text.split(|it: char| it.is_ascii_whitespace()).collect();
    let last = words.len() - 1;
    let whole = words.iter().enumerate().filter(|(at, word)| {
        (*at > 0 || *start)
            && (*at < last || *end)
            && (1..=WORD_UNITS_MAX).contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let mut whole: Vec<String> = whole.map(|(_, word)| word.to_ascii_lowercase()).collect();
    // The longest are the rarest, mostly.
    whole.sort_by_key(|word| std::cmp::Reverse(word.len()));
    whole.dedup();
    whole.truncate(WORDS_MAX);
    if whole.is_empty() {
        return None;
    }
    let terms = whole.iter().map(|word| json!({"term": {field: word}}));
    Some(json!({"bool": {"filter": terms.collect::<Vec<_>>()}}))
}

/// Over the words that the standard analyzer makes: ASCII letters and digits that follow each
/// other are in one word, unless that is so long that it was cut.
fn as_part_of_word(field: &str, wanted: &Wanted) -> Option<Value> {
    let runs = wanted.text.split(|it: char| !it.is_ascii_alphanumeric());
    let longest = runs
        .max_by_key(|run| run.len())
        .filter(|run| !run.is_empty())?;
    let part = first_chars(longest).to_ascii_lowercase();
    // A piece has 255 units, so at least half as many characters.
    let long = format!("{}*", "?".repeat(WORD_UNITS_MAX / 2));
    Some(any(&[
        json!({"wildcard": {field: format!("*{part}*")}}),
        json!({"wildcard": {field: long}}),
    ]))
}

/// Over stored numbers, wide enough for what became of the document's number.
fn as_number(field: &str, test: &Test, numbers: Numbers) -> Option<Value> {
    let (low, high) = match test {
        Test::Eq(value) => {
            let number = number_of(value)?;
            (Some(number), Some(number))
        }
        Test::Lt(bound) | Test::Lte(bound) => (None, Some(bound.as_f64()?)),
        Test::Gt(bound) | Test::Gte(bound) => (Some(bound.as_f64()?), None),
        Test::Range(Range { gt, gte, lt, lte }) => {
            let bound = |one: &Option<Value>, other: &Option<Value>| {
                [one, other].into_iter().flatten().find_map(Value::as_f64)
            };
            (bound(gt, gte), bound(lt, lte))
        }
        _ => return None,
    };
    let slack = |number: f64| number.abs() * numbers.error * 2.0 + numbers.cut;
    let within = |number: f64| number.clamp(-numbers.limit, numbers.limit);
    let low = low.map(|number| within(number - slack(number)));
    let high = high.map(|number| within(number + slack(number)));
    let mut range = serde_json::Map::new();
    if let Some(low) = low {
        let low = if numbers.whole { low.floor() } else { low };
        range.insert("gte".to_owned(), json!(low));
    }
    if let Some(high) = high {
        let high = if numbers.whole { high.ceil() } else { high };
        range.insert("lte".to_owned(), json!(high));
    }
    (!range.is_empty()).then(|| json!({"range": {field: range}}))
}

/// A text that is no number to us may be one to Elasticsearch.
fn number_of(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => serde_json::from_str::<Number>(text).ok()?.as_f64(),
        _ => None,
    }
}

fn first_chars(text: &str) -> String {
    text.chars().take(PATTERN_CHARS_MAX).collect()
}

fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
