//! Rules that hold two places together: what one names, the other has.

use crate::tree::{self, File, Mistake, Tree};

const METHODS_MAX: usize = 10;

/// A trait of eleven methods, to see the rule complain.
pub(crate) const WIDE_TRAIT: &str = "\
pub trait Wide {
    fn a(); fn b(); fn c(); fn d(); fn e(); fn f(); fn g(); fn h(); fn i(); fn j(); fn k();
}
";

/// What threads share is made of these.
const SHARED: &[&str] = &[
    "Mutex", "RwLock", "Condvar", "Once", "Barrier", "Atomic", "mpsc",
];

pub(crate) fn code_map(tree: &Tree) -> Vec<Mistake> {
    const MAP: &str = "ARCHITECTURE.md";
    let Some(map) = tree.files.iter().find(|file| file.path == MAP) else {
        return vec![Mistake {
            place: MAP.to_owned(),
            what: "does not exist".to_owned(),
        }];
    };
    let mut mistakes = Vec::new();
    for (index, line) in map.text.lines().enumerate() {
        for path in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| is_path(word))
        {
            if !tree::top().join(path).exists() {
                mistakes.push(map.mistake(index + 1, &format!("`{path}` does not exist")));
            }
        }
    }
    for package in tree.under("", "/Cargo.toml") {
        let folder = package.path.trim_end_matches("/Cargo.toml");
        let last = folder.rsplit('/').next().unwrap_or(folder);
        if !map.text.contains(last) {
            mistakes.push(map.mistake(1, &format!("does not name `{folder}`")));
        }
    }
    mistakes
}

pub(crate) fn guests_are_tested(tree: &Tree) -> Vec<Mistake> {
    let tested = |name: &str| {
        let quoted = format!("\"{name}\"");
        tree.under("tests/e2e/", ".rs")
            .any(|file| file.text.contains(&quoted))
    };
    let guests = tree.under("tests/guests/examples/", ".rs");
    let untested = guests.filter(|guest| !tested(stem(guest)));
    untested
        .map(|guest| guest.mistake(1, "no file in tests/e2e names it"))
        .collect()
}

pub(crate) fn locks_are_tried(tree: &Tree) -> Vec<Mistake> {
    let included = tree
        .text("tests/threads/src/lib.rs")
        .split("#[path = \"../../../");
    let included: Vec<&str> = included
        .skip(1)
        .filter_map(|r| r.split('"').next())
        .collect();
    let files = tree.files.iter();
    let files = files.filter(|file| included.contains(&file.path.as_str()));
    let shares =
        |line: &str| line.contains("std::sync::") && SHARED.iter().any(|name| line.contains(name));
    let mut mistakes = Vec::new();
    for file in files {
        let code = file.text.lines().take(file.tests_begin()).enumerate();
        for (index, line) in code.filter(|(_, line)| shares(line)) {
            mistakes.push(file.mistake(index + 1, line.trim()));
        }
    }
    mistakes
}

pub(crate) fn components_are_built(tree: &Tree) -> Vec<Mistake> {
    let script = tree.text("examples/build.sh");
    let packages = tree.under("examples/", "/Cargo.toml");
    let components = packages.filter(|package| package.text.contains("cdylib"));
    let missing = components.filter(|package| {
        let folder = package.path.trim_end_matches("/Cargo.toml");
        !script.contains(folder.trim_start_matches("examples/"))
    });
    missing
        .map(|package| package.mistake(1, "examples/build.sh does not name it"))
        .collect()
}

pub(crate) fn contract_is_documented(tree: &Tree) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for file in tree.under("wit/", ".wit") {
        let mut before = "";
        for (index, line) in file.text.lines().enumerate() {
            let function = line.contains(": func(") || line.contains(": static func(");
            if function && !before.trim_start().starts_with("///") {
                mistakes.push(file.mistake(index + 1, line.trim()));
            }
            before = line;
        }
    }
    mistakes
}

pub(crate) fn store_traits_are_narrow(tree: &Tree) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for file in tree.under("host/store/src/", ".rs") {
        for (at, _) in file
            .text
            .match_indices("\npub trait ")
            .chain(at_start(&file.text))
        {
            let body = file.text[at..].split("\n}").next().unwrap_or_default();
            let methods = body.matches("fn ").count();
            if methods > METHODS_MAX {
                let line = file.text[..at].matches('\n').count() + 2;
                mistakes.push(file.mistake(line, &format!("{methods} methods")));
            }
        }
    }
    mistakes
}

pub(crate) fn benches_are_described(tree: &Tree) -> Vec<Mistake> {
    let words = tree.text("tests/benches/README.md");
    let programs = tree.under("tests/benches/src/bin/", ".rs");
    let silent = programs.filter(|program| !words.contains(&format!("`{}`", stem(program))));
    silent
        .map(|program| program.mistake(1, "tests/benches/README.md does not name it"))
        .collect()
}

/// A word in backquotes that is a path from the project's top, not a route, type or pattern.
fn is_path(word: &str) -> bool {
    let outside = word.starts_with('/') || word.starts_with("target/") || word.contains("::");
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let file = [".md", ".toml", ".sh"]
        .iter()
        .any(|end| word.ends_with(end));
    plain && !outside && (word.contains('/') || file)
}

fn stem(file: &File) -> &str {
    let name = file.path.rsplit('/').next().unwrap_or(&file.path);
    name.trim_end_matches(".rs")
}

fn at_start(text: &str) -> Option<(usize, &str)> {
    text.starts_with("pub trait ").then_some((0, text))
}
