//! The streams that a task's params name, where its type reads those.

use serde_json::Value;
use taskhost_model::descriptor::Descriptor;
use taskhost_model::ids::StreamName;

/// More of them are not read by one run.
const STREAMS_MAX: usize = 64;

/// The streams at the descriptor's `streams_from`, each once; none where it has none.
///
/// # Errors
/// Why what stands there names no streams, for people.
pub(crate) fn named_streams(
    descriptor: &Descriptor,
    params: &str,
) -> Result<Vec<StreamName>, String> {
    let Some(pointer) = &descriptor.streams_from else {
        return Ok(Vec::new());
    };
    let params: Value = serde_json::from_str(params).map_err(|error| error.to_string())?;
    let given = match params.pointer(pointer) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
    };
    if given.len() > STREAMS_MAX {
        return Err(format!(
            "has {} streams, at most {STREAMS_MAX}",
            given.len()
        ));
    }
    let mut names = Vec::new();
    for name in given {
        let text = name.as_str().ok_or("has to be the names of streams")?;
        let name = StreamName::parse(text).map_err(|error| error.to_string())?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use taskhost_model::descriptor::Bounds;

    use super::*;

    fn named(pointer: &str, params: &str) -> Result<Vec<String>, String> {
        let text = format!(r#"{{"id":"a","version":"1","title":"A","streams_from":"{pointer}"}}"#);
        let descriptor = Descriptor::parse(&text, &Bounds::default()).unwrap();
        let names = named_streams(&descriptor, params)?;
        Ok(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn streams_are_named_once_or_not_at_all() {
        let all = named("/of/streams", r#"{"of":{"streams":["a","b","a"]}}"#);
        assert_eq!(all.unwrap(), ["a", "b"]);
        assert_eq!(named("/stream", r#"{"stream":"a"}"#).unwrap(), ["a"]);
        for none in ["{}", r#"{"streams":[]}"#, r#"{"streams":null}"#] {
            assert!(named("/streams", none).unwrap().is_empty(), "{none}");
        }
        let many = format!("{{\"streams\":{:?}}}", vec!["a"; 65]);
        for bad in [
            r#"{"streams":[7]}"#,
            r#"{"streams":"A B/.."}"#,
            many.as_str(),
        ] {
            assert!(named("/streams", bad).is_err(), "{bad}");
        }
    }
}
