//! The rule that a module uses only modules listed above it in lib.rs.

use crate::tree::{File, Mistake, Tree};

pub(crate) fn import_order(tree: &Tree) -> Vec<Mistake> {
    tree.under("", "src/lib.rs")
        .flat_map(|lib| of_crate(tree, lib))
        .collect()
}

fn of_crate(tree: &Tree, lib: &File) -> Vec<Mistake> {
    let modules: Vec<&str> = lib.text.lines().filter_map(declared).collect();
    let folder = lib.path.trim_end_matches("lib.rs");
    let mut mistakes = Vec::new();
    for file in tree.under(folder, ".rs") {
        let inside = &file.path[folder.len()..];
        let own = inside.split(['/', '.']).next().unwrap_or_default();
        let Some(own_place) = modules.iter().position(|module| *module == own) else {
            continue;
        };
        for (line, name) in uses(file) {
            let place = modules.iter().position(|module| *module == name);
            if place.is_some_and(|place| place > own_place) {
                mistakes
                    .push(file.mistake(line, &format!("`{own}` uses `{name}`, listed below it")));
            }
        }
    }
    mistakes
}

/// The module that a line declares.
fn declared(line: &str) -> Option<&str> {
    let (before, rest) = line.split_once("mod ")?;
    let plain = before.is_empty() || before == "pub " || before == "pub(crate) ";
    rest.strip_suffix(';').filter(|_| plain)
}

/// Names that a file takes from its own crate, each with its line; tests may use anything.
fn uses(file: &File) -> Vec<(usize, String)> {
    let mut code = String::new();
    for line in file.text.lines().take(file.tests_begin()) {
        let comment = line.trim_start().starts_with("//");
        code.push_str(if comment { "" } else { line });
        code.push('\n');
    }
    let mut found = Vec::new();
    for (at, mark) in code.match_indices("crate::") {
        // `$crate::` is what a macro writes into other crates.
        if code[..at].ends_with(|c: char| c == '$' || c == '_' || c.is_alphanumeric()) {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + mark.len()..];
        found.extend(first_names(rest).into_iter().map(|name| (line, name)));
    }
    found
}

/// The name at the start of a path, or the first names of a group `{a::B, c}`.
fn first_names(path: &str) -> Vec<String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![name_at_start(path)];
    };
    let (mut depth, mut names, mut begins) = (0_usize, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && depth == 0 && !c.is_whitespace() => {
                names.push(name_at_start(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn name_at_start(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
