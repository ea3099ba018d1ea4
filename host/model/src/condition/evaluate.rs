//! Evaluates a condition over a document in memory.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{Condition, Test};

pub(super) fn matches(condition: &Condition, document: &Value) -> bool {
    match condition {
        Condition::Always => true,
        Condition::Never => false,
        Condition::And(all) => all.iter().all(|one| matches(one, document)),
        Condition::Or(any) => any.iter().any(|one| matches(one, document)),
        Condition::Not(inner) => !matches(inner, document),
        Condition::Field { field, test } => satisfies(test, lookup(document, field)),
    }
}

/// The value of `field`: the literal key first, then the nested path; `null` is missing.
fn lookup<'a>(document: &'a Value, field: &str) -> Option<&'a Value> {
    let object = document.as_object()?;
    if let Some(value) = object.get(field) {
        return Some(value).filter(|value| !value.is_null());
    }
    // Keys may have dots themselves: try every split, the longest first part last.
    let splits = field
        .match_indices('.')
        .map(|(at, _)| (&field[..at], &field[at + 1..]));
    splits
        .filter_map(|(head, rest)| lookup(object.get(head)?, rest))
        .next()
}

fn satisfies(test: &Test, value: Option<&Value>) -> bool {
    match test {
        Test::Exists(exists) => value.is_some() == *exists,
        Test::Neq(operand) => !any(value, |value| equal(value, operand)),
        Test::Eq(operand) => any(value, |value| equal(value, operand)),
        Test::Lt(bound) => any(value, |value| order(value, bound) == Some(Ordering::Less)),
        Test::Gt(bound) => any(value, |value| {
            order(value, bound) == Some(Ordering::Greater)
        }),
        Test::Lte(bound) => any(value, |value| {
            order(value, bound).is_some_and(Ordering::is_le)
        }),
        Test::Gte(bound) => any(value, |value| {
            order(value, bound).is_some_and(Ordering::is_ge)
        }),
        Test::Range(range) => any(value, |value| {
            let within = |bound: &Option<Value>, fits: fn(Ordering) -> bool| {
                bound
                    .as_ref()
                    .is_none_or(|bound| order(value, bound).is_some_and(fits))
            };
            within(&range.gt, Ordering::is_gt)
                && within(&range.gte, Ordering::is_ge)
                && within(&range.lt, Ordering::is_lt)
                && within(&range.lte, Ordering::is_le)
        }),
        Test::Contains(part) => any_text(value, |text| contains_ignoring_ascii_case(text, part)),
        Test::StartsWith(start) => any_text(value, |text| text.starts_with(start.as_str())),
        Test::EndsWith(end) => any_text(value, |text| text.ends_with(end.as_str())),
    }
}

fn any(value: Option<&Value>, test: impl Fn(&Value) -> bool) -> bool {
    match value {
        None => false,
        Some(Value::Array(items)) => items.iter().any(test),
        Some(value) => test(value),
    }
}

fn any_text(value: Option<&Value>, test: impl Fn(&str) -> bool) -> bool {
    any(value, |value| text(value).is_some_and(|text| test(&text)))
}

/// The text of a scalar; objects, arrays and `null` have none.
fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn equal(value: &Value, operand: &Value) -> bool {
    if let (Value::Number(a), Value::Number(b)) = (value, operand) {
        return compare_numbers(a, b) == Some(Ordering::Equal);
    }
    match (text(value), text(operand)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

fn order(value: &Value, bound: &Value) -> Option<Ordering> {
    match (value, bound) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::Number(b)) => {
            let a: Number = serde_json::from_str(a.trim()).ok()?;
            compare_numbers(&a, b)
        }
        (Value::Number(a), Value::String(b)) => match serde_json::from_str::<Number>(b.trim()) {
            Ok(b) => compare_numbers(a, &b),
            Err(_) => Some(a.to_string().as_str().cmp(b)),
        },
        (value, Value::String(b)) => Some(text(value)?.as_ref().cmp(b.as_str())),
        _ => None,
    }
}

/// Exact for integers, also above 2^53, where `f64` has gaps.
fn compare_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

fn whole(number: &Number) -> Option<i128> {
    number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
}

/// Bytes of a part that is looked for without a search that is linear in text and part.
const NAIVE_PART_MAX: usize = 32;

fn contains_ignoring_ascii_case(text: &str, part: &str) -> bool {
    let (text, part) = (text.as_bytes(), part.as_bytes());
    let Some((first, rest)) = part.split_first() else {
        return true;
    };
    let (lower, upper) = (first.to_ascii_lowercase(), first.to_ascii_uppercase());
    let last_start = match text.len().checked_sub(part.len()) {
        Some(last) => last,
        None => return false,
    };
    // Each start may be compared to its end: for long parts that is worth a copy of the text.
    if part.len() > NAIVE_PART_MAX {
        let (text, part) = (text.to_ascii_lowercase(), part.to_ascii_lowercase());
        return memchr::memmem::find(&text, &part).is_some();
    }
    (0..=last_start).any(|at| {
        (text[at] == lower || text[at] == upper)
            && text[at + 1..at + part.len()].eq_ignore_ascii_case(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "keeps the cases short")]
    fn check(condition: Value, document: Value, expected: bool) {
        let parsed = Condition::from_json(&condition).unwrap();
        assert_eq!(
            parsed.matches(&document),
            expected,
            "{condition} over {document}"
        );
    }

    #[test]
    fn fields_are_literal_keys_first() {
        let document = json!({"a.b": 1, "a": {"b": 2, "c.d": 3}});
        check(json!({"field": "a.b", "eq": 1}), document.clone(), true);
        check(json!({"field": "a.b", "eq": 2}), document.clone(), false);
        check(json!({"field": "a.c.d", "eq": 3}), document.clone(), true);
        check(json!({"field": "a.x", "exists": false}), document, true);
        check(json!({"field": "a", "exists": true}), json!("text"), false);
    }

    #[test]
    fn missing_fields_satisfy_only_neq_and_not_exists() {
        for document in [json!({}), json!({"a": null})] {
            for test in [
                "eq",
                "lt",
                "lte",
                "gt",
                "gte",
                "contains",
                "startsWith",
                "endsWith",
            ] {
                check(json!({"field": "a", test: "x"}), document.clone(), false);
            }
            check(json!({"field": "a", "neq": "x"}), document.clone(), true);
            check(
                json!({"field": "a", "exists": false}),
                document.clone(),
                true,
            );
            check(json!({"field": "a", "exists": true}), document, false);
        }
    }

    #[test]
    fn values_or_their_text() {
        check(json!({"field": "a", "eq": "5"}), json!({"a": 5}), true);
        check(json!({"field": "a", "eq": 5}), json!({"a": "5"}), true);
        check(json!({"field": "a", "eq": 5}), json!({"a": 5.0}), true);
        check(
            json!({"field": "a", "eq": true}),
            json!({"a": "true"}),
            true,
        );
        check(
            json!({"field": "a", "eq": "x"}),
            json!({"a": {"x": 1}}),
            false,
        );
        check(json!({"field": "a", "gt": 9}), json!({"a": "10"}), true);
        check(json!({"field": "a", "gt": "9"}), json!({"a": "10"}), false);
        check(json!({"field": "a", "lt": 3}), json!({"a": "x"}), false);
        check(
            json!({"field": "a", "lt": 9_007_199_254_740_993_u64}),
            json!({"a": 9_007_199_254_740_992_u64}),
            true,
        );
    }

    #[test]
    fn arrays_match_by_any_element() {
        let document = json!({"a": ["x", "yz", 3]});
        check(json!({"field": "a", "eq": "x"}), document.clone(), true);
        check(json!({"field": "a", "neq": "x"}), document.clone(), false);
        check(
            json!({"field": "a", "contains": "Z"}),
            document.clone(),
            true,
        );
        check(
            json!({"field": "a", "range": {"gte": 3, "lt": 4}}),
            document,
            true,
        );
    }

    #[test]
    fn text_tests() {
        let document = json!({"m": "Straße: ERROR in Foo"});
        check(
            json!({"field": "m", "contains": "error"}),
            document.clone(),
            true,
        );
        check(
            json!({"field": "m", "contains": "STRASSE"}),
            document.clone(),
            false,
        );
        check(
            json!({"field": "m", "contains": ""}),
            document.clone(),
            true,
        );
        check(
            json!({"field": "m", "startsWith": "straße"}),
            document.clone(),
            false,
        );
        check(
            json!({"field": "m", "startsWith": "Straße"}),
            document.clone(),
            true,
        );
        check(
            json!({"field": "m", "endsWith": "Foo"}),
            document.clone(),
            true,
        );
        check(
            json!({"field": "m", "contains": "x".repeat(100)}),
            document,
            false,
        );
    }

    #[test]
    fn connectives() {
        check(json!({"and": []}), json!({}), true);
        check(json!({"or": []}), json!({}), false);
        check(json!({"not": {"never": {}}}), json!({}), true);
        check(
            json!({"and": [{"always": {}}, {"never": {}}]}),
            json!({}),
            false,
        );
        check(
            json!({"or": [{"always": {}}, {"never": {}}]}),
            json!({}),
            true,
        );
    }
}
