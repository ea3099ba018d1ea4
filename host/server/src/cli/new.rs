//! `taskhost new`: a folder to write a task type in, which builds and passes its test at once.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use taskhost_model::ids::TypeId;

use super::failure::{Exit, Failure};
use super::files;
use crate::kit::templates::{self, File};

/// Words of Rust, of its newest edition.
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// Crates that come with it.
const OF_RUST: &[&str] = &["alloc", "core", "proc_macro", "std", "test"];
/// Crates that a project is built with, and theirs that it may name.
const OF_SDK: &[&str] = &[
    "schemars",
    "serde",
    "serde_json",
    "taskhost_model",
    "taskhost_sdk",
    "wit_bindgen",
];

/// Make a folder to write a task type in.
#[derive(Debug, clap::Args)]
pub struct New {
    /// The task type's id, and the folder's name: `[a-z][a-z0-9_-]{0,63}`.
    pub name: TypeId,
    /// The language to write it in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    pub lang: Language,
}

/// A language that there is a kit for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// With taskhost-sdk.
    Rust,
    /// With componentize-py.
    Python,
    /// With componentize-qjs.
    #[value(name = "javascript")]
    JavaScript,
}

pub(crate) fn run(command: &New) -> Result<Exit, Failure> {
    let name = command.name.as_str();
    let folder = PathBuf::from(name);
    if let Some(problem) = refusal(command.lang, name) {
        return Err(Failure::wrong_use(format!(
            "`{name}` cannot be the name: {problem}. Choose another one, such as `{name}-task`"
        )));
    }
    // Also a link that leads nowhere.
    if folder.symlink_metadata().is_ok() {
        return Err(Failure::wrong_use(format!(
            "{} exists already: choose another name, or move it away",
            files::shown(&folder)
        )));
    }
    let written = files_of(command.lang, name)
        .iter()
        .try_for_each(|file| write(&folder, file));
    written.map_err(|error| Failure::failed(format!("{}: {error}", files::shown(&folder))))?;
    say!("Made the folder {name}. Next:");
    say!("  cd {name}");
    if command.lang == Language::Rust {
        say!("  rustup target add wasm32-wasip2");
    }
    say!("  ./test.sh");
    Ok(Exit::Done)
}

/// Why a project of the language cannot have the name.
fn refusal(language: Language, name: &str) -> Option<&'static str> {
    match language {
        Language::Rust => {
            let name = name.replace('-', "_");
            let is_one_of = |names: &[&str]| names.contains(&name.as_str());
            if is_one_of(KEYWORDS) {
                return Some("it is a word of the language Rust, and no crate has such a name");
            }
            if is_one_of(OF_RUST) {
                return Some("a crate that comes with Rust has it");
            }
            is_one_of(OF_SDK).then_some("a crate has it that the project is built with")
        }
        // Its name is that of a file alone.
        Language::Python => None,
        Language::JavaScript if name == "node_modules" => {
            Some("npm keeps what it installs in folders of that name")
        }
        Language::JavaScript => {
            (name == "componentize-qjs").then_some("it is that of the kit which npm installs")
        }
    }
}

fn files_of(language: Language, name: &str) -> Vec<File> {
    match language {
        Language::Rust => templates::rust(name),
        Language::Python => templates::python(name),
        Language::JavaScript => templates::javascript(name),
    }
}

fn write(folder: &Path, file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(&file.path);
    std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
    std::fs::write(&path, &file.text)?;
    let is_program = file
        .path
        .extension()
        .is_some_and(|extension| extension == "sh");
    let mode = if is_program { 0o755 } else { 0o644 };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_project_can_have_are_refused_with_the_reason() {
        for (name, words) in [
            ("taskhost-sdk", "built with"),
            ("taskhost_model", "built with"),
            ("serde", "built with"),
            ("self", "word of the language"),
            ("crate", "word of the language"),
            ("fn", "word of the language"),
            ("async", "word of the language"),
            ("core", "comes with Rust"),
            ("std", "comes with Rust"),
            ("test", "comes with Rust"),
            ("proc-macro", "comes with Rust"),
        ] {
            let said = refusal(Language::Rust, name).unwrap_or_default();
            assert!(said.contains(words), "{name}: {said}");
            // Each is a valid id of a task type, so that nothing else refuses it.
            TypeId::parse(name).unwrap();
        }
        assert_eq!(refusal(Language::Rust, "my-type"), None);
        assert_eq!(refusal(Language::Python, "async"), None);
        assert!(refusal(Language::JavaScript, "node_modules").is_some());
        assert!(refusal(Language::JavaScript, "componentize-qjs").is_some());
        assert_eq!(refusal(Language::JavaScript, "async"), None);
    }

    /// What the list is for: whatever a project depends on by name.
    #[test]
    fn no_dependency_of_a_project_is_left_out() {
        let files = templates::rust("my-type");
        let cargo = files
            .iter()
            .find(|file| file.path.as_os_str() == "Cargo.toml");
        let parsed: toml::Table = cargo.unwrap().text.parse().unwrap();
        for name in parsed["dependencies"].as_table().unwrap().keys() {
            assert!(refusal(Language::Rust, name).is_some(), "{name}");
        }
    }
}
