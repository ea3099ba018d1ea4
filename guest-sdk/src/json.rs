//! JSON in and out, with errors that name the field.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::error::Error;

/// Writes a value that goes to the host. `what` names it in the error.
pub(crate) fn encode(value: &impl Serialize, what: &str) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::failed("not-json", format!("{what} cannot be JSON: {error}")))
}

/// Reads what the host answered. `what` names it in the error.
pub(crate) fn answer<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, Error> {
    read(text).map_err(|(field, problem)| {
        let at = if field.is_empty() {
            String::new()
        } else {
            format!(" at `{field}`")
        };
        Error::failed(
            "unexpected-answer",
            format!("{what}{at} is not what was expected: {problem}"),
        )
    })
}

/// Reads what somebody gave: an `invalid` error names the field.
pub(crate) fn given<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    read(text).map_err(|(field, problem)| match field.as_str() {
        "" => Error::invalid(problem),
        _ => Error::invalid_field(field, problem),
    })
}

/// The value, or the path of the first mistake (empty: the whole) and what is wrong.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, (String, String)> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let mut path = dotted(error.path());
        let problem = error.into_inner().to_string();
        if let Some(missing) = missing_field(&problem) {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(missing);
        }
        (path, problem)
    })?;
    reader
        .end()
        .map_err(|error| (String::new(), error.to_string()))?;
    Ok(value)
}

fn dotted(path: &serde_path_to_error::Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("[{index}]")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Segment::Unknown => {}
        }
    }
    text
}

/// Serde reports a missing field at its parent and names it in the message only.
fn missing_field(problem: &str) -> Option<&str> {
    problem.strip_prefix("missing field `")?.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the ways to fail are of interest")]
    struct Params {
        name: String,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the ways to fail are of interest")]
    struct Inner {
        items: Vec<u32>,
    }

    #[test]
    fn mistakes_name_their_field() {
        for (text, field) in [
            (r#"{}"#, "name"),
            (r#"{"name":1}"#, "name"),
            (r#"{"name":"a","nam":1}"#, "nam"),
            (r#"{"name":"a","inner":{}}"#, "inner.items"),
            (
                r#"{"name":"a","inner":{"items":[1,"2"]}}"#,
                "inner.items[1]",
            ),
        ] {
            let error = given::<Params>(text).unwrap_err();
            assert_eq!(error.code(), "invalid");
            assert!(error.message().contains(&format!("`{field}`")), "{error}");
            assert_eq!(
                error.details().unwrap()["errors"][0]["field"],
                field,
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_json_is_invalid_as_a_whole() {
        for text in ["", "[", r#"{"name":"a"} x"#] {
            let error = given::<Params>(text).unwrap_err();
            assert_eq!((error.code(), error.details()), ("invalid", None), "{text}");
        }
    }

    #[test]
    fn unexpected_answers_say_whose_they_are() {
        let error = answer::<Inner>(r#"{"items":[null]}"#, "the count").unwrap_err();
        assert_eq!(error.code(), "unexpected-answer");
        assert!(
            error.message().starts_with("the count at `items[0]`"),
            "{error}"
        );
    }
}
