//! JSON that comes from a guest: checked before anything else looks at it.

use serde_json::Value;
use taskhost_model::descriptor::JSON_DEPTH_MAX;
use taskhost_model::exact::{Flaw, look_through, rounded_integer};

/// Why a text is not accepted as JSON. Reads on from "the result …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// It is none.
    #[error("is not JSON: {0}")]
    Syntax(String),
    /// It is nested too deeply.
    #[error("is nested deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
    /// It has a number that would be rounded when it is read back.
    #[error("has the integer {0}, which is beyond 64 bits")]
    Rounded(String),
    /// An object has one key twice: readers disagree on which of the two counts.
    #[error("has the key {0:?} twice in one object")]
    RepeatedKey(String),
    /// It is too much to be read as a tree.
    #[error("{}", Flaw::TooManyValues)]
    TooManyValues,
    /// It is another kind of value.
    #[error("has to be an object")]
    NoObject,
}

/// Checks a value that is kept as text. It is refused when a part of it could not be read back
/// as it is: numbers beyond any float or 64-bit integer, halves of surrogate pairs, an object
/// with one key twice.
///
/// # Errors
/// [`InvalidJson`].
pub fn check(text: &str) -> Result<(), InvalidJson> {
    check_depth(text)?;
    if let Some(integer) = rounded_integer(text) {
        return Err(InvalidJson::Rounded(integer.to_owned()));
    }
    look_through(text).map_err(|flaw| match flaw {
        Flaw::Syntax(words) => InvalidJson::Syntax(words),
        Flaw::RepeatedKey(key) => InvalidJson::RepeatedKey(key),
        Flaw::TooManyValues => InvalidJson::TooManyValues,
    })
}

/// As [`check`], for an object.
///
/// # Errors
/// [`InvalidJson`].
pub fn check_object(text: &str) -> Result<(), InvalidJson> {
    check(text)?;
    let is_object = text
        .trim_start_matches([' ', '\t', '\r', '\n'])
        .starts_with('{');
    if is_object {
        Ok(())
    } else {
        Err(InvalidJson::NoObject)
    }
}

/// Reads a value.
///
/// # Errors
/// [`InvalidJson`].
pub fn parse(text: &str) -> Result<Value, InvalidJson> {
    check_depth(text)?;
    serde_json::from_str(text).map_err(|error| InvalidJson::Syntax(error.to_string()))
}

/// Looks at brackets outside of strings only; what is no JSON is found by the parser.
fn check_depth(text: &str) -> Result<(), InvalidJson> {
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(InvalidJson::TooDeep);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    Ok(())
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_back_is_accepted() {
        let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
        for good in [
            "null",
            r#" {"a":[1,-2,3.5e2,true,null,"\u0000 \ud83d\ude00 [[[ \" {"]} "#,
            "18446744073709551615",
            &deep,
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_does_not_read_back_is_refused() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(check(&deep), Err(InvalidJson::TooDeep));
        assert!(check("12345678901234567890123").is_err());
        let many = format!("[{}0]", "0,".repeat(1_000_000));
        assert_eq!(check(&many), Err(InvalidJson::TooManyValues));
        let twice = Err(InvalidJson::RepeatedKey("a".to_owned()));
        assert_eq!(check(r#"{"a":1,"a":2}"#), twice);
        assert_eq!(parse(&deep), Err(InvalidJson::TooDeep));
        for bad in [
            "",
            "{",
            "1e400",
            r#""\ud800""#,
            r#"{"\udc00":1}"#,
            "{} {}",
            "{1:2}",
            "NaN",
        ] {
            assert!(matches!(check(bad), Err(InvalidJson::Syntax(_))), "{bad}");
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(check_object(" [1]"), Err(InvalidJson::NoObject));
        assert_eq!(check_object("\n{}"), Ok(()));
    }
}
