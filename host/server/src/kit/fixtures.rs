//! What a task type is tested with: a folder of plain files.
//!
//! | file | holds |
//! |---|---|
//! | `params.json` | the params; an empty object without it |
//! | `result.json` | what has to come out; anything without it |
//! | `streams/NAME.ndjson` | the documents of a stream; of a single one the task works on it |
//! | `documents/LABEL.ndjson` | documents that a collection holds before the run |
//! | `documents/LABEL.after.ndjson` | what it has to hold afterwards |
//! | `inference.json` | what language models answer |
//! | `http.json` | what the network answers |
//! | `secrets.json` | values of secrets |
//! | `children/TYPE.json` | what runs of another type end with |

mod reading;
pub(crate) mod documents;
pub(crate) mod inference;
pub(crate) mod http;
pub(crate) mod secrets;
pub(crate) mod children;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use taskhost_model::ids::{Label, StreamName, TypeId};

pub(crate) use reading::beginning;

/// What stands in such a folder.
const NAMES: &[&str] = &[
    "params.json",
    "result.json",
    "streams",
    "documents",
    "inference.json",
    "http.json",
    "secrets.json",
    "children",
];

/// A name that differs by so many letters at most is a misspelled one.
const EDITS_MAX: usize = 3;

/// Everything that a folder has.
#[derive(Debug, Default)]
pub(crate) struct Fixtures {
    pub(crate) params: Option<Value>,
    pub(crate) result: Option<Value>,
    pub(crate) streams: Vec<(StreamName, PathBuf)>,
    pub(crate) documents: BTreeMap<Label, documents::Collection>,
    pub(crate) inference: Vec<inference::Turn>,
    pub(crate) http: Vec<http::Exchange>,
    pub(crate) secrets: BTreeMap<Label, secrets::Value>,
    pub(crate) children: BTreeMap<TypeId, Vec<children::Ending>>,
}

impl Fixtures {
    /// # Errors
    /// What is wrong with which file.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        if !folder.is_dir() {
            return Err(format!("{} is no folder", folder.display()));
        }
        nothing_misspelled(folder)?;
        let mut streams = Vec::new();
        for file in reading::files_of(&folder.join("streams"))? {
            reading::is_there(&file)?;
            streams.push((stream_name(&file)?, file));
        }
        streams.sort();
        Ok(Self {
            params: reading::json_of(&folder.join("params.json"))?,
            result: reading::json_of(&folder.join("result.json"))?,
            streams,
            documents: documents::read(&folder.join("documents"))?,
            inference: inference::read(&folder.join("inference.json"))?,
            http: http::read(&folder.join("http.json"))?,
            secrets: secrets::read(&folder.join("secrets.json"))?,
            children: children::read(&folder.join("children"))?,
        })
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

/// A misspelled file would be left out without a word, and the test pass without it.
fn nothing_misspelled(folder: &Path) -> Result<(), String> {
    for file in reading::files_of(folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let edits = |known: &&&str| strsim::levenshtein(&name, known);
        let nearest = NAMES.iter().min_by_key(edits);
        let is_near = |known: &&&str| (1..=EDITS_MAX).contains(&edits(known));
        if let Some(meant) = nearest.filter(is_near) {
            return Err(format!(
                "{} is nothing that a test reads: did you mean `{meant}`? (`taskhost test --help` \
                 lists what it reads)",
                file.display()
            ));
        }
    }
    Ok(())
}

fn stream_name(file: &Path) -> Result<StreamName, String> {
    match reading::stem(file, ".ndjson").map(|name| StreamName::parse(&name)) {
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
            ("result.json", "{", "result.json:1: is no JSON"),
            ("streams/notes.txt", "", "name it after its stream"),
            ("result.jsn", "{}", "did you mean `result.json`?"),
        ] {
            write(name, text).unwrap();
            let error = Fixtures::read(folder.path()).unwrap_err();
            assert!(error.contains(said), "{error}");
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("streams/zero.ndjson")).unwrap();
        let error = Fixtures::read(folder.path()).unwrap_err();
        assert!(error.contains("zero.ndjson: is no file"), "{error}");
    }
}
