//! Finds numbers in a JSON text that would not be stored as they are written.
//!
//! Integers beyond 64 bits would be rounded to a float; what is stored is exact, or refused.

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
}
