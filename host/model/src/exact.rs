//! Finds what in a JSON text would not be stored as it is written, or is too much to be read as a
//! tree: what is stored is exact, or refused.
//!
//! Integers beyond 64 bits would be rounded to a float. Of two equal keys in one object one would
//! be dropped, and readers disagree which.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

use crate::descriptor::JSON_VALUES_MAX;

/// Characters of a key that is told of: it may be as long as the whole text.
const KEY_CHARS_MAX: usize = 80;

/// What a walk through a JSON text may find. Reads on from "the body …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is no JSON, or has a number or a text that no value holds; in the parser's words.
    #[error("is no JSON: {0}")]
    Syntax(String),
    /// A key that stands twice in one object, shortened.
    #[error("has the key {0:?} twice in one object: only one can be kept")]
    RepeatedKey(String),
    /// It is too much to be read as a tree.
    #[error(
        "has more than {JSON_VALUES_MAX} values, arrays and objects among them: leave some out, or \
         put many into one text"
    )]
    TooManyValues,
}

/// Walks through a JSON text with all of the parser's checks. Nothing of it is kept: as a tree it
/// would take up to eighty times the memory of its text.
///
/// # Errors
/// The first [`Flaw`].
pub fn look_through(text: &str) -> Result<(), Flaw> {
    let mut seen = Seen::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walked = Walk(&mut seen).deserialize(&mut deserializer);
    match (seen.flaw, walked.and_then(|()| deserializer.end())) {
        (Some(flaw), _) => Err(flaw),
        (None, Err(error)) => Err(Flaw::Syntax(error.to_string())),
        (None, Ok(())) => Ok(()),
    }
}

/// The first integer in `text` that no 64-bit integer holds, shortened; `None` when there is
/// none. The text need not be JSON: what is none is for the parser to say.
#[must_use]
pub fn rounded_integer(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = after_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = after_number(bytes, at);
                let number = &text[at..end];
                // 18 digits always fit.
                if number.len() > 18 && is_integer(number) && !fits(number) {
                    return Some(&number[..number.len().min(40)]);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn after_number(bytes: &[u8], start: usize) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    start
        + bytes[start..]
            .iter()
            .take_while(|byte| is_part(byte))
            .count()
}

fn is_integer(number: &str) -> bool {
    number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

fn fits(number: &str) -> bool {
    number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok()
}

fn shortened(key: &str) -> String {
    match key.char_indices().nth(KEY_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &key[..end]),
        None => key.to_owned(),
    }
}

/// What a walk has come across.
#[derive(Default)]
struct Seen {
    values: usize,
    /// What the parser has no word for.
    flaw: Option<Flaw>,
}

/// Walks through one value.
struct Walk<'a>(&'a mut Seen);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.values += 1;
        if self.0.values > JSON_VALUES_MAX {
            self.0.flaw = Some(Flaw::TooManyValues);
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Walk(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.contains(&key) {
                self.0.flaw = Some(Flaw::RepeatedKey(shortened(&key)));
                return Err(A::Error::custom("a key stands twice"));
            }
            keys.insert(key);
            entries.next_value_seed(Walk(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_beyond_64_bits_are_found_outside_of_strings() {
        for good in [
            "",
            "18446744073709551615",
            "[-9223372036854775808, 1.2345678901234567890123, 1e40]",
            r#"{"a":"12345678901234567890123","b\"":"\\","c":1}"#,
            "\"unfinished 12345678901234567890123",
        ] {
            assert_eq!(rounded_integer(good), None, "{good}");
        }
        for bad in ["18446744073709551616", "[1,-9223372036854775809]"] {
            assert!(rounded_integer(bad).is_some(), "{bad}");
        }
        assert_eq!(rounded_integer(&"9".repeat(1_000_000)).unwrap().len(), 40);
    }

    #[test]
    fn keys_that_stand_twice_are_found_in_every_object() {
        for good in [r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#, " 1 "] {
            assert_eq!(look_through(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "{",
            "\"x",
            "1 1",
            "1e400",
            r#""\ud800""#,
            r#"{"\udc00":1}"#,
        ] {
            assert!(matches!(look_through(bad), Err(Flaw::Syntax(_))), "{bad}");
        }
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"[0,{"b":{"a":[],"x":null,"\u0061":true}}]"#,
            r#"{"a":1,"a":"#,
        ] {
            assert_eq!(
                look_through(bad),
                Err(Flaw::RepeatedKey("a".to_owned())),
                "{bad}"
            );
        }
    }

    #[test]
    fn values_are_counted_in_arrays_and_objects() {
        // The array itself is one of them.
        let of = |elements: usize| format!("[{}0]", "0,".repeat(elements - 1));
        assert_eq!(look_through(&of(JSON_VALUES_MAX - 1)), Ok(()));
        let many = look_through(&of(JSON_VALUES_MAX));
        assert_eq!(many, Err(Flaw::TooManyValues));
        let objects = |count: usize| format!("[{}0]", r#"{"":0},"#.repeat(count));
        assert_eq!(look_through(&objects(JSON_VALUES_MAX / 2 - 1)), Ok(()));
        let many = look_through(&objects(JSON_VALUES_MAX / 2));
        assert_eq!(many, Err(Flaw::TooManyValues));
    }

    #[test]
    fn a_long_key_is_told_of_in_short() {
        let key = "ä".repeat(1_000);
        let text = format!(r#"{{"{key}":1,"{key}":2}}"#);
        let Err(Flaw::RepeatedKey(told)) = look_through(&text) else {
            panic!("it was not found");
        };
        assert_eq!(told, "ä".repeat(KEY_CHARS_MAX) + "…");
    }
}
