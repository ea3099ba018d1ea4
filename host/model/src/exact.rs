//! Finds what in a JSON text would not be stored as it is written: what is stored is exact, or
//! refused.
//!
//! Integers beyond 64 bits would be rounded to a float. Of two equal keys in one object one would
//! be dropped, and readers disagree which.

use std::collections::HashSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// A key that stands twice in one object of `text`; `None` when there is none. A text that is no
/// JSON is for the parser to refuse.
#[must_use]
pub fn repeated_key(text: &str) -> Option<String> {
    let mut repeated = None;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    // An error is either the end of the search, or the parser's affair.
    let _ = Search(&mut repeated).deserialize(&mut deserializer);
    repeated
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

/// Looks through one value; what is found is kept.
struct Search<'a>(&'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
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
        while items.next_element_seed(Search(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            if keys.contains(&key) {
                *self.0 = Some(key);
                return Err(A::Error::custom("a key stands twice"));
            }
            keys.insert(key);
            entries.next_value_seed(Search(self.0))?;
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
        for good in [r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#, "1", "{", "\"x"] {
            assert_eq!(repeated_key(good), None, "{good}");
        }
        for bad in [
            r#"{"a":1,"a":2}"#,
            r#"[0,{"b":{"a":[],"x":null,"\u0061":true}}]"#,
            r#"{"a":1,"a":"#,
        ] {
            assert_eq!(repeated_key(bad).as_deref(), Some("a"), "{bad}");
        }
    }
}
