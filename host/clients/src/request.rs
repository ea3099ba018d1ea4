//! Requests for stream data and filters of collections, read from a guest's JSON text.

use serde_json::{Map, Value};
use taskhost_model::condition::Condition;
use taskhost_model::query::Query;

use crate::caps::REQUEST_BYTES_MAX;
use crate::error::ClientError;
use crate::json;

/// Reads a query and checks it; the error names the field.
pub(crate) fn query(text: &str) -> Result<Query, ClientError> {
    let mut value = parse("the request", text)?;
    // Taken out, so that a mistake in it has its whole path.
    let Some(object) = value.as_object_mut() else {
        // An array would do for the parser, with the values in the order of the fields.
        return Err(ClientError::invalid("", "the request has to be an object"));
    };
    no_nulls(object)?;
    let condition = object.remove("where");
    let mut query: Query = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "" } else { path.as_str() };
        ClientError::invalid(field, &error.inner().to_string())
    })?;
    query.condition = condition
        .map(|value| condition_at("where", &value))
        .transpose()?;
    query
        .check()
        .map_err(|error| ClientError::invalid(error.field, &error.problem))?;
    if query.max_bytes == Some(0) {
        return Err(ClientError::invalid("max_bytes", "has to be at least 1"));
    }
    Ok(query)
}

/// Reads a collection's filter.
pub(crate) fn filter(text: &str) -> Result<Condition, ClientError> {
    condition_at("filter", &parse("the filter", text)?)
}

/// `options.json`: an object without keys, so far.
pub(crate) fn no_options(options: Option<&str>) -> Result<(), ClientError> {
    let Some(options) = options else {
        return Ok(());
    };
    // A long text is not even read: as a tree it would be many times as large.
    let is_short = options.len() <= REQUEST_BYTES_MAX;
    match is_short.then(|| json::parse(options)) {
        Some(Ok(Value::Object(keys))) if keys.is_empty() => Ok(()),
        _ => Err(ClientError::invalid(
            "options",
            "has to be an object without keys",
        )),
    }
}

/// A later host may give `null` a meaning, and a key that is not there has one already.
pub(crate) fn no_nulls(object: &Map<String, Value>) -> Result<(), ClientError> {
    match object.iter().find(|(_, value)| value.is_null()) {
        Some((key, _)) => Err(ClientError::invalid(
            key,
            "is `null`: leave the key out instead",
        )),
        None => Ok(()),
    }
}

fn parse(what: &str, text: &str) -> Result<Value, ClientError> {
    if text.len() > REQUEST_BYTES_MAX {
        return Err(ClientError::too_large(
            what,
            text.len(),
            "bytes",
            REQUEST_BYTES_MAX as u64,
        ));
    }
    let checked = json::check(text).and_then(|()| json::parse(text));
    checked.map_err(|error| ClientError::invalid("", &format!("{what} {error}")))
}

fn condition_at(field: &str, value: &Value) -> Result<Condition, ClientError> {
    Condition::from_json(value).map_err(|error| match error.path.as_str() {
        "condition" => ClientError::invalid(field, &error.problem),
        path => ClientError::invalid(&format!("{field}.{path}"), &error.problem),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    fn field_of(text: &str) -> String {
        let error = query(text).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid, "{text}");
        error.details.unwrap()["errors"][0]["field"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn mistakes_name_their_field() {
        let cases = [
            ("", ""),
            ("[]", ""),
            ("[0,1]", ""),
            (r#"{"from":0}"#, ""),
            (r#"{"from":"soon","to":1}"#, "from"),
            (r#"{"from":2,"to":1}"#, "from"),
            (r#"{"from":0,"to":1,"size":-1}"#, "size"),
            (r#"{"from":0,"to":1,"size":10001}"#, "size"),
            (r#"{"from":0,"to":1,"max_bytes":0}"#, "max_bytes"),
            (r#"{"from":0,"to":1,"fields":["a",1]}"#, "fields[1]"),
            (r#"{"from":0,"to":1,"where":7}"#, "where"),
            (
                r#"{"from":0,"to":1,"where":{"and":[{"field":""}]}}"#,
                "where.and[0].field",
            ),
            (r#"{"from":0,"to":1,"limit":1}"#, "limit"),
            (r#"{"from":0,"to":1,"size":null}"#, "size"),
            (r#"{"from":0,"to":1,"size":5.0}"#, "size"),
            (r#"{"from":0,"to":1,"size":1,"size":2}"#, ""),
        ];
        for (text, field) in cases {
            assert_eq!(field_of(text), field, "{text}");
        }
    }

    #[test]
    fn size_and_depth_are_limited() {
        let long = format!(
            r#"{{"from":0,"to":1,"cursor":"{}"}}"#,
            "x".repeat(REQUEST_BYTES_MAX)
        );
        assert_eq!(query(&long).unwrap_err().code, ErrorCode::TooLarge);
        assert_eq!(filter(&long).unwrap_err().code, ErrorCode::TooLarge);
        let deep = format!("{}1{}", r#"{"not":"#.repeat(70), "}".repeat(70));
        assert!(filter(&deep).unwrap_err().message.contains("64 levels"));
    }

    #[test]
    fn a_whole_request_is_read() {
        let condition = r#"{"field":"a","eq":1}"#;
        let text = format!(
            r#"{{"from":0,"to":9,"where":{condition},"size":5,"seed":18446744073709551615}}"#
        );
        let query = query(&text).unwrap();
        assert_eq!(query.condition, Some(Condition::eq("a", 1)));
        assert_eq!(query.seed, Some(u64::MAX));
    }
}
