//! Rules that look at one line, or one file, at a time.

use crate::tree::{Mistake, Tree};

const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;

/// A file of 512 lines, to see the rule complain.
pub(crate) const LONG_FILE: &str = {
    const BYTES: [u8; 512] = [b'\n'; 512];
    match str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// A line of 101 columns, to see the rule complain.
pub(crate) const WIDE_LINE: &str = {
    const BYTES: [u8; COLUMNS_MAX + 1] = [b'x'; COLUMNS_MAX + 1];
    match str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};

/// Marks of what is not finished; written so that this file does not hold them itself.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
];

/// Names that say nothing, as the beginning of a definition sees them.
const EMPTY_NAMES: &[&str] = &["manager", "helper", "util"];
const DEFINITIONS: &[&str] = &["struct ", "enum ", "trait ", "mod ", "type ", "fn "];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
];

/// What calls a sleep, in any language of ours and by any of its names.
const SLEEPS: &[&str] = &[
    concat!("sle", "ep("),
    concat!("sleep_", "until("),
    concat!("park_", "timeout("),
];
const SLEEP_ALLOWED: &str = "// tidy: sleep allowed because ";
/// Where the allowance counts: programs that have nothing to wait for, the one place where the
/// harness asks again until something can be seen, and the suite whose time is the test's own.
const MAY_SLEEP: &[&str] = &[
    "tests/guests/",
    "tests/benches/",
    "tests/e2e/src/",
    "tests/e2e/tests/hosts/",
    "host/service/tests/suite/",
];

pub(crate) fn header(tree: &Tree) -> Vec<Mistake> {
    let wrong = tree.rust().filter(|file| !file.text.starts_with("//! "));
    wrong
        .map(|file| file.mistake(1, file.text.lines().next().unwrap_or_default()))
        .collect()
}

pub(crate) fn file_size(tree: &Tree) -> Vec<Mistake> {
    let sizes = tree.rust().map(|file| (file, file.text.lines().count()));
    let large = sizes.filter(|(_, lines)| *lines > LINES_MAX);
    large
        .map(|(file, lines)| file.mistake(LINES_MAX, &format!("{lines} lines")))
        .collect()
}

pub(crate) fn line_width(tree: &Tree) -> Vec<Mistake> {
    let files = tree.rust().chain(tree.under("", ".sh"));
    files
        .flat_map(|file| file.lines_where(|line| line.chars().count() > COLUMNS_MAX))
        .collect()
}

pub(crate) fn unfinished(tree: &Tree) -> Vec<Mistake> {
    let marked = |line: &str| UNFINISHED.iter().any(|mark| line.contains(mark));
    tree.files
        .iter()
        .flat_map(|file| file.lines_where(marked))
        .collect()
}

pub(crate) fn sleeping_test(tree: &Tree) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for file in tree.rust() {
        let is_test = file.path.starts_with("tests/") || file.path.contains("/tests/");
        let first = if is_test { 0 } else { file.tests_begin() };
        let may = MAY_SLEEP.iter().any(|folder| file.path.starts_with(folder));
        let mut allowed = false;
        for (index, line) in file.text.lines().enumerate().skip(first) {
            if SLEEPS.iter().any(|sleep| line.contains(sleep)) && !allowed {
                mistakes.push(file.mistake(index + 1, line.trim()));
            }
            // A reason may need more than one line of comment.
            let goes_on = allowed && line.trim_start().starts_with("//");
            allowed = may && (line.trim_start().starts_with(SLEEP_ALLOWED) || goes_on);
        }
    }
    mistakes
}

pub(crate) fn glob_export(tree: &Tree) -> Vec<Mistake> {
    let glob = |line: &str| {
        let line = line.trim();
        line.starts_with("pub") && line.contains("use ") && line.ends_with("::*;")
    };
    tree.rust()
        .flat_map(|file| file.lines_where(glob))
        .collect()
}

pub(crate) fn empty_name(tree: &Tree) -> Vec<Mistake> {
    let empty = |line: &str| {
        DEFINITIONS
            .iter()
            .any(|word| defines_empty_name(line, word))
    };
    tree.rust()
        .flat_map(|file| file.lines_where(empty))
        .collect()
}

pub(crate) fn machine_path(tree: &Tree) -> Vec<Mistake> {
    let named = |line: &str| {
        MACHINE_PATHS
            .iter()
            .any(|path| is_path_from_the_root(line, path))
    };
    tree.files
        .iter()
        .flat_map(|file| file.lines_where(named))
        .collect()
}

fn defines_empty_name(line: &str, definition: &str) -> bool {
    let code = line.trim_start();
    let Some(at) = code.find(definition) else {
        return false;
    };
    // Only what stands before a definition: `pub`, `pub(crate)`, `async`.
    let before = &code[..at];
    if code.starts_with("//") || before.contains(['"', '=', '`']) {
        return false;
    }
    let name: String = code[at + definition.len()..]
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect::<String>()
        .to_lowercase();
    EMPTY_NAMES.iter().any(|empty| name.contains(empty))
}

/// Whether the line holds this path at its beginning, not as a part of a longer one.
fn is_path_from_the_root(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-}".contains(c))
    })
}
