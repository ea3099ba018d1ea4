//! What a task type is tested with: a folder of plain files.
//!
//! | file | holds |
//! |---|---|
//! | `params.json` | the params; an empty object without it |
//! | `result.json` | what has to come out; anything without it |
//! | `streams/NAME.ndjson` | the documents of a stream; of a single one the task works on it |

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use taskhost_model::ids::StreamName;

/// What is read of one file.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Fixtures {
    pub(crate) params: Option<Value>,
    pub(crate) result: Option<Value>,
    pub(crate) streams: Vec<(StreamName, PathBuf)>,
}

impl Fixtures {
    /// # Errors
    /// What is wrong with which file.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        if !folder.is_dir() {
            return Err(format!("{} is no folder", folder.display()));
        }
        let mut fixtures = Self {
            params: json_of(&folder.join("params.json"))?,
            result: json_of(&folder.join("result.json"))?,
            streams: Vec::new(),
        };
        let streams = folder.join("streams");
        if streams.is_dir() {
            let failed = |error: std::io::Error| format!("{}: {error}", streams.display());
            for entry in std::fs::read_dir(&streams).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                fixtures.streams.push((stream_name(&path)?, path));
            }
            fixtures.streams.sort();
        }
        Ok(fixtures)
    }

    /// The stream that the task works on, where that is clear.
    pub(crate) fn only_stream(&self) -> Option<&StreamName> {
        match self.streams.as_slice() {
            [(name, _)] => Some(name),
            _ => None,
        }
    }

    pub(crate) fn params(&self) -> Value {
        let given = self.params.clone();
        given.unwrap_or_else(|| Value::Object(Map::new()))
    }
}

fn json_of(file: &Path) -> Result<Option<Value>, String> {
    if !file.exists() {
        return Ok(None);
    }
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let length = std::fs::metadata(file)
        .map_err(|error| named(&error))?
        .len();
    if length > BYTES_MAX {
        return Err(named(&format!("has {length} bytes, at most {BYTES_MAX}")));
    }
    let text = std::fs::read(file).map_err(|error| named(&error))?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| named(&format!("is no JSON: {error}")))
}

fn stream_name(file: &Path) -> Result<StreamName, String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".ndjson");
    let parsed = stem.map(StreamName::parse);
    match parsed {
        Some(Ok(name)) => Ok(name),
        Some(Err(error)) => Err(format!("{}: {error}", file.display())),
        None => Err(format!(
            "{}: name it after its stream, as in `logs.ndjson`",
            file.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_plain_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        assert_eq!(
            Fixtures::read(folder.path()).unwrap().params(),
            serde_json::json!({})
        );
        write("params.json", r#"{"a":1}"#).unwrap();
        std::fs::create_dir(folder.path().join("streams")).unwrap();
        write("streams/logs.ndjson", "{}").unwrap();
        let fixtures = Fixtures::read(folder.path()).unwrap();
        assert_eq!(fixtures.params(), serde_json::json!({"a": 1}));
        assert_eq!(fixtures.only_stream().unwrap().as_str(), "logs");
        assert!(fixtures.result.is_none());
        write("streams/more.ndjson", "{}").unwrap();
        let fixtures = Fixtures::read(folder.path()).unwrap();
        assert_eq!(fixtures.only_stream(), None);
        for (name, text, said) in [
            ("result.json", "{", "result.json: is no JSON"),
            ("streams/notes.txt", "", "name it after its stream"),
        ] {
            write(name, text).unwrap();
            let error = Fixtures::read(folder.path()).unwrap_err();
            assert!(error.contains(said), "{error}");
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
    }
}
