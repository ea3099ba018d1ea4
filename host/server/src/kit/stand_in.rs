//! A task type that stands in for another one: a component that sends its params to where the test
//! answers for it ([`ORIGIN`]), and ends as the answer says.
//!
//! It is a small text in WAT. The answer is looked up outside of it, since JSON is compared there.

use serde_json::json;
use taskhost_model::capabilities::{Capabilities, HttpRule};
use taskhost_model::ids::TypeId;

use super::fixtures::children::End;

/// Where such components send their params; the path is the type's id. No name ends so (RFC 6761).
pub(crate) const ORIGIN: &str = "http://stand-in.invalid";
/// The status of an answer that is a result; any other is an error.
pub(crate) const RESULT_STATUS: u16 = 200;
pub(crate) const ERROR_STATUS: u16 = 500;

const TEXT: &str = include_str!("stand_in.wat");

/// The id of a component that stands in for a type. The tested component keeps its own id, so that
/// its children have another one where something stands in for them.
pub(crate) fn id_of(type_id: &TypeId, tested: Option<&TypeId>) -> TypeId {
    let of_itself = || TypeId::parse("stand-in-for-the-tested-type").ok();
    let is_tested = tested == Some(type_id);
    is_tested
        .then(of_itself)
        .flatten()
        .unwrap_or_else(|| type_id.clone())
}

/// What it asks for.
pub(crate) fn wanted() -> Capabilities {
    Capabilities {
        http: vec![HttpRule {
            origin: ORIGIN.to_owned(),
            methods: vec!["POST".to_owned()],
            path_prefix: "/".to_owned(),
        }],
        ..Capabilities::default()
    }
}

/// A component that stands in for that type, under an id of [`id_of`].
///
/// # Errors
/// Never for valid ids.
pub(crate) fn component(type_id: &TypeId, id: &TypeId) -> Result<Vec<u8>, String> {
    let descriptor = json!({
        "id": id, "version": "0.0.0", "title": "stands in for a task type in a test",
        "stream": "optional", "capabilities": wanted(),
    });
    let (descriptor, url) = (descriptor.to_string(), format!("{ORIGIN}/{type_id}"));
    let text = TEXT
        .replace("DESCRIPTOR_LENGTH", &descriptor.len().to_string())
        .replace("DESCRIPTOR", &escaped(&descriptor))
        .replace("URL_LENGTH", &url.len().to_string())
        .replace("URL", &escaped(&url));
    wat::parse_str(text).map_err(|error| error.to_string())
}

/// The answer to its request: status and body.
pub(crate) fn answer(end: &End) -> (u16, Vec<u8>) {
    match end {
        End::Result(result) => (RESULT_STATUS, result.to_string().into_bytes()),
        End::Error { code, message } => {
            let length = u32::try_from(code.len()).unwrap_or(u32::MAX);
            let body = [&length.to_le_bytes(), code.as_bytes(), message.as_bytes()].concat();
            (ERROR_STATUS, body)
        }
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_component_with_the_types_id() {
        let id = TypeId::parse(&format!("a{}", "b".repeat(63))).unwrap();
        let bytes = component(&id, &id).unwrap();
        let has = |text: &str| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        assert!(has(&format!("\"id\":\"{id}\"")));
        assert!(has(&format!("{ORIGIN}/{id}")));
        let itself = id_of(&id, Some(&id));
        assert_ne!(itself, id);
        assert_eq!(id_of(&id, Some(&itself)), id);
        let outline = taskhost_runtime::outline(&bytes).unwrap();
        assert_eq!(outline.contract().unwrap(), "taskhost:task@1.0.0");
        let imports = outline.imports.join(" ");
        assert!(imports.contains("taskhost:task/http@"), "{imports}");
    }
}
