//! Makes values of an input's bytes. When the bytes are used up every choice is the first one, so
//! that an input always comes to an end.

use arbitrary::Unstructured;
use serde_json::{Map, Number, Value};

/// Nesting of what is made.
const DEPTH_MAX: usize = 4;

/// One of several.
pub(crate) fn one<'a, T: ?Sized>(u: &mut Unstructured<'_>, of: &[&'a T]) -> &'a T {
    of[below(u, of.len())]
}

/// A number below `end`.
pub(crate) fn below(u: &mut Unstructured<'_>, end: usize) -> usize {
    u.int_in_range(0..=end.saturating_sub(1)).unwrap_or(0)
}

/// True once in `times`, and never at the end of the input.
pub(crate) fn sometimes(u: &mut Unstructured<'_>, times: usize) -> bool {
    below(u, times) == times - 1
}

/// Up to so many bytes as text, whatever is no UTF-8 replaced.
pub(crate) fn text(u: &mut Unstructured<'_>, bytes_max: usize) -> String {
    let length = below(u, bytes_max + 1).min(u.len());
    let bytes = u.bytes(length).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

/// Texts in which something is odd for somebody.
const TEXTS: [&str; 20] = [
    "",
    "a",
    "A",
    "b",
    "aB",
    "5",
    "5.0",
    "-5",
    "1e2",
    " 7 ",
    "-0",
    "1e400",
    "NaN",
    "true",
    "null",
    "\u{0}",
    "\"",
    "\u{e9}",
    "%",
    "\u{1f600}",
];

/// A short text.
pub(crate) fn odd_text(u: &mut Unstructured<'_>) -> String {
    match sometimes(u, 3) {
        true => text(u, 6),
        false => one(u, &TEXTS).to_owned(),
    }
}

/// A text, a number, true or false.
pub(crate) fn scalar(u: &mut Unstructured<'_>) -> Value {
    match below(u, 8) {
        0 => Value::from(below(u, 8)),
        1 | 2 => Value::from(odd_text(u)),
        3 => Value::from(u.arbitrary::<i64>().unwrap_or_default()),
        4 => Value::from(u.arbitrary::<u64>().unwrap_or_default()),
        5 => Value::from(9_007_199_254_740_990_u64 + below(u, 6) as u64),
        6 => {
            let float = u.arbitrary::<f64>().unwrap_or_default();
            Number::from_f64(float).map_or(Value::from(0.5), Value::Number)
        }
        _ => Value::from(below(u, 2) == 1),
    }
}

/// Any value whose objects have such keys.
pub(crate) fn value(u: &mut Unstructured<'_>, keys: &[&str]) -> Value {
    nested(u, keys, DEPTH_MAX)
}

/// An object with such keys.
pub(crate) fn object(u: &mut Unstructured<'_>, keys: &[&str]) -> Value {
    fields(u, keys, DEPTH_MAX)
}

fn nested(u: &mut Unstructured<'_>, keys: &[&str], depth: usize) -> Value {
    match below(u, 8) {
        6 if depth > 0 => {
            let items = 0..below(u, 4);
            Value::Array(items.map(|_| nested(u, keys, depth - 1)).collect())
        }
        7 if depth > 0 => fields(u, keys, depth - 1),
        5 => Value::Null,
        _ => scalar(u),
    }
}

fn fields(u: &mut Unstructured<'_>, keys: &[&str], depth: usize) -> Value {
    let mut object = Map::new();
    for _ in 0..below(u, 5) {
        let key = if sometimes(u, 12) {
            text(u, 6)
        } else {
            one(u, keys).to_owned()
        };
        object.insert(key, nested(u, keys, depth));
    }
    Value::Object(object)
}
