//! Rules about Cargo.toml files: the order of the layers, and what each does without.

use crate::tree::{File, Mistake, Tree};

/// The layers from below, each with what it must never import from outside. A name that ends
/// with `*` stands for every name that begins so.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "model",
        &[
            "tokio*",
            "async-trait",
            "axum*",
            "tower*",
            "reqwest",
            "rusqlite",
            "elasticsearch",
            "wasm*",
        ],
    ),
    ("store", &["wasm*", "axum*", "tower*", "reqwest"]),
    (
        "clients",
        &["wasm*", "axum*", "tower*", "rusqlite", "elasticsearch"],
    ),
    (
        "runtime",
        &[
            "axum*",
            "tower*",
            "reqwest",
            "rusqlite",
            "elasticsearch",
            "toml",
        ],
    ),
    (
        "service",
        &[
            "wasm*",
            "axum*",
            "tower*",
            "reqwest",
            "rusqlite",
            "elasticsearch",
            "toml",
            "clap",
        ],
    ),
    ("server", &["wasm*", "rusqlite", "elasticsearch"]),
];

/// Packages with exports that are generated, and lint tables of their own for that reason.
const UNSAFE_ALLOWED: &[&str] = &["guest-sdk/", "tests/guests/"];

pub(crate) fn layers(tree: &Tree) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for (place, (layer, never)) in LAYERS.iter().enumerate() {
        let path = format!("host/{layer}/Cargo.toml");
        for file in tree.files.iter().filter(|file| file.path == path) {
            for (line, section, name) in dependencies(file) {
                let short = name.strip_prefix("taskhost-").unwrap_or(name);
                let above = LAYERS[place..].iter().any(|(other, _)| *other == short);
                let forbidden = section == "dependencies" && never.iter().any(|n| meets(name, n));
                if above || forbidden {
                    mistakes.push(file.mistake(line, &format!("`{layer}` imports `{name}`")));
                }
            }
        }
    }
    mistakes
}

pub(crate) fn unsafe_code(tree: &Tree) -> Vec<Mistake> {
    let packages = tree
        .under("", "/Cargo.toml")
        .filter(|file| !may_be_unsafe(&file.path));
    let own_lints = packages.filter(|file| !file.text.contains("[lints]\nworkspace = true"));
    let mut mistakes: Vec<Mistake> = own_lints
        .map(|file| file.mistake(1, "does not say `[lints] workspace = true`"))
        .collect();
    if !tree.text("Cargo.toml").contains("unsafe_code = \"forbid\"") {
        let what = "does not say `unsafe_code = \"forbid\"`".to_owned();
        mistakes.push(Mistake {
            place: "Cargo.toml".to_owned(),
            what,
        });
    }
    mistakes
}

pub(crate) fn dependencies_in_one_place(tree: &Tree) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    // A workspace below ours cannot take versions from it, and is such a place itself.
    let members = tree.under("", "/Cargo.toml");
    for file in members.filter(|file| !file.text.contains("\n[workspace]\n")) {
        for (line, _, name) in dependencies(file) {
            let text = file.text.lines().nth(line - 1).unwrap_or_default();
            if !text.contains("workspace = true") {
                mistakes.push(file.mistake(line, &format!("`{name}` has a version of its own")));
            }
        }
    }
    mistakes
}

fn may_be_unsafe(path: &str) -> bool {
    UNSAFE_ALLOWED.iter().any(|folder| path.starts_with(folder))
}

fn meets(name: &str, pattern: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(name == pattern, |start| name.starts_with(start))
}

/// Each dependency of a package, with its line and the section it stands in.
fn dependencies(file: &File) -> Vec<(usize, &str, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.rsplit('.').next().unwrap_or(name);
        } else if section.ends_with("dependencies") && !line.starts_with('#') {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !name.is_empty() {
                found.push((index + 1, section, name));
            }
        }
    }
    found
}
