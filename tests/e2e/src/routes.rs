//! Every path that asks who it is answering, as the description of the interface has it, which is
//! held against the router: a new one cannot be forgotten.

use serde_json::Value;

use crate::places;

/// The paths of the interface that are for somebody, with their parameters in braces. Pages are
/// not among them, nor is what anybody may ask.
///
/// # Panics
/// When the description is not there.
#[must_use]
pub fn all() -> Vec<String> {
    let file = places::top().join("host/server/openapi.json");
    let text = std::fs::read_to_string(file).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let is_for_somebody = |operation: &Value| {
        let refused = &operation["responses"]["401"]["content"];
        operation.get("security").is_none() && refused.get("text/html").is_none()
    };
    let own =
        paths.filter(|(_, methods)| methods.as_object().unwrap().values().any(is_for_somebody));
    let routes: Vec<String> = own.map(|(path, _)| path.clone()).collect();
    assert!(routes.len() > 30, "{routes:?}");
    routes
}
