//! The files that the rules look at: the project's own text files, read once.

use std::path::{Path, PathBuf};

/// A set of files, in order of their paths.
#[derive(Debug, Default)]
pub struct Tree {
    /// All of them.
    pub files: Vec<File>,
}

/// A text file.
#[derive(Debug)]
pub struct File {
    /// Its path from the project's top, with slashes.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Something that breaks a rule.
#[derive(Debug)]
pub struct Mistake {
    /// Where: a path, and a line when there is one.
    pub place: String,
    /// What is there.
    pub what: String,
}

/// Folders that hold nothing of ours to read: built, captured or recorded.
const LEFT_OUT: &[&str] = &[
    "target",
    ".git",
    "taskhost-data",
    "examples/data",
    "tests/fixtures",
];

/// Ends of the names of files that are read.
const READ: &[&str] = &[
    ".rs", ".toml", ".sh", ".md", ".wit", ".py", ".yml", ".ci/run",
];

impl Tree {
    /// Reads the project.
    ///
    /// # Errors
    /// When a file or folder cannot be read.
    pub fn of_the_project() -> std::io::Result<Self> {
        let top = top();
        let mut tree = Self::default();
        tree.read_folder(&top, &top)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// A tree of a few files that exist nowhere else.
    #[must_use]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }

    /// Files whose path has this beginning and end.
    pub fn under<'a>(&'a self, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a File> {
        self.files
            .iter()
            .filter(move |file| file.path.starts_with(start) && file.path.ends_with(end))
    }

    /// Files in Rust.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.under("", ".rs")
    }

    /// The text of one file; empty when there is none.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map_or("", |file| &file.text)
    }

    fn read_folder(&mut self, top: &Path, folder: &Path) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let short = path
                .strip_prefix(top)
                .unwrap_or(&path)
                .to_string_lossy()
                .replace('\\', "/");
            if LEFT_OUT.contains(&short.as_str()) || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                self.read_folder(top, &path)?;
            } else if READ.iter().any(|end| short.ends_with(end)) {
                let text = std::fs::read_to_string(&path)?;
                self.files.push(File { path: short, text });
            }
        }
        Ok(())
    }
}

impl File {
    /// Its lines that a predicate complains about, as mistakes.
    pub fn lines_where(&self, mut wrong: impl FnMut(&str) -> bool) -> Vec<Mistake> {
        let lines = self
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| wrong(line));
        lines
            .map(|(index, line)| self.mistake(index + 1, line.trim()))
            .collect()
    }

    /// A mistake in a line, counted from 1.
    #[must_use]
    pub fn mistake(&self, line: usize, what: &str) -> Mistake {
        Mistake {
            place: format!("{}:{line}", self.path),
            what: what.to_owned(),
        }
    }

    /// Index of the line where the tests begin that a source file ends with.
    #[must_use]
    pub fn tests_begin(&self) -> usize {
        let position = self
            .text
            .lines()
            .position(|line| line.trim() == "#[cfg(test)]");
        position.unwrap_or(usize::MAX)
    }
}

/// The project's top folder.
#[must_use]
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
