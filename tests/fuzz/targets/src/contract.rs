//! The JSON Schemas that the contract documents: what the host accepts and answers meets them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use jsonschema::{Registry, Validator};
use serde_json::{Value, json};

/// Asserts that a value meets the schema in that file of `wit/v1/schemas`.
pub(crate) fn check(file: &str, value: &Value) {
    let met = validators()[file].validate(value);
    assert!(met.is_ok(), "{file}: {met:?}: {value}");
}

fn validators() -> &'static HashMap<String, Validator> {
    static VALIDATORS: OnceLock<HashMap<String, Validator>> = OnceLock::new();
    VALIDATORS.get_or_init(|| {
        let schemas = schemas();
        let mut registry = Registry::new();
        for (file, schema) in &schemas {
            let uri = format!("json-schema:///{file}");
            registry = registry.add(uri, schema.clone()).unwrap();
        }
        let registry = registry.prepare().unwrap();
        let validator = |file: &String| {
            let options = jsonschema::options().with_registry(&registry);
            let options = options.with_base_uri("json-schema:///the-target");
            options.build(&json!({"$ref": file})).unwrap()
        };
        let files = schemas.keys();
        files.map(|file| (file.clone(), validator(file))).collect()
    })
}

fn schemas() -> HashMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../wit/v1/schemas");
    let read = |path: &Path| {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read(path).unwrap();
        (file, serde_json::from_slice(&text).unwrap())
    };
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|entry| read(&entry.unwrap().path())).collect()
}
