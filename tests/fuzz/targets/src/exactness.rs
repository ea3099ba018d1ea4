//! Whether a JSON text reads back as it is written: a second opinion beside the host's, found by
//! taking the text apart and not by walking through it.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// No object has a key twice, and every integer has 64 bits.
pub(crate) fn is_exact(text: &str) -> bool {
    // What is nested too deeply for the parser is not looked into.
    serde_json::from_str::<Value>(text).is_ok() && is_exact_value(text.trim())
}

fn is_exact_value(text: &str) -> bool {
    match text.as_bytes().first() {
        Some(b'{') => is_exact_object(text),
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            items.iter().all(|item| is_exact_value(item.get()))
        }
        Some(b'-' | b'0'..=b'9') => {
            let is_integer = !text.contains(['.', 'e', 'E']);
            !is_integer || text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()
        }
        _ => true,
    }
}

fn is_exact_object(text: &str) -> bool {
    let mut reader = serde_json::Deserializer::from_str(text);
    let entries = reader.deserialize_map(Entries).unwrap();
    let keys: HashSet<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    keys.len() == entries.len() && entries.iter().all(|(_, value)| is_exact_value(value.get()))
}

/// Arrays and objects in each other.
pub(crate) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Reads an object with all of its entries.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_changed_is_found() {
        for exact in [
            r#" {"a":[1,{"a":1.5e3}],"b":18446744073709551615} "#,
            "-9223372036854775808",
            "\"1234567890123456789012\"",
        ] {
            assert!(is_exact(exact), "{exact}");
        }
        for other in [
            r#"[{"a":1,"\u0061":2}]"#,
            "[18446744073709551616]",
            "{",
            "1e400",
        ] {
            assert!(!is_exact(other), "{other}");
        }
    }
}
