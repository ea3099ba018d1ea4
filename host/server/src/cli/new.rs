//! `taskhost new`: a folder to write a task type in, which builds and passes its test at once.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use taskhost_model::ids::TypeId;

use super::failure::{Exit, Failure};
use super::files;
use crate::kit::templates::{self, File};

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
    if folder.exists() {
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
