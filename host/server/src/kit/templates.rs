//! What `taskhost new` writes: the examples of this project under another name, and with them the
//! contract, and for Rust the crate for authors. So the folder needs no clone of this project.

use std::path::PathBuf;

use include_dir::{Dir, DirEntry, include_dir};

static SDK: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../guest-sdk");
static MODEL: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../model");
static WIT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
/// Has the versions of their dependencies.
const WORKSPACE: &str = include_str!("../../../../Cargo.toml");

/// A file of the new folder.
#[derive(Debug)]
pub(crate) struct File {
    /// Within the folder.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

fn file(path: &str, text: impl Into<String>) -> File {
    File {
        path: path.into(),
        text: text.into(),
    }
}

macro_rules! example {
    ($path:literal) => {
        include_str!(concat!("../../../../examples/", $path))
    };
}

const PARAMS: &str = example!("hello-task/fixtures/params.json");
const RESULT: &str = example!("hello-task/fixtures/result.json");

/// A crate with the crate for authors beside it.
pub(crate) fn rust(name: &str) -> Vec<File> {
    let wasm = format!(
        "target/wasm32-wasip2/release/{}.wasm",
        name.replace('-', "_")
    );
    let source = example!("hello-task/src/lib.rs").replace(
        "Descriptor::new(\"hello\", \"1.0.0\")",
        &format!("Descriptor::new(\"{name}\", env!(\"CARGO_PKG_VERSION\"))"),
    );
    let cargo = include_str!("templates/Cargo.toml.txt").replace("NAME", name);
    let file_name = wasm.rsplit('/').next().unwrap_or(&wasm);
    let test = include_str!("templates/rust.test.sh").replace("WASM", file_name);
    let once = "rustup target add wasm32-wasip2      # once\n    \
                cargo test                           # functions here, and the component";
    let mut files = vec![
        file("Cargo.toml", cargo),
        file("src/lib.rs", source),
        file(
            "tests/component.rs",
            include_str!("templates/rust.component.rs.txt"),
        ),
        file("test.sh", test),
        // The versions that this project was built with; cargo leaves out what is not there.
        file("Cargo.lock", include_str!("../../../../Cargo.lock")),
        file(".gitignore", "target/\ntaskhost-data/\n"),
        readme(name, "src/lib.rs", once, &wasm),
    ];
    files.extend(fixtures());
    add(&mut files, &SDK, "vendor/taskhost/guest-sdk");
    add(&mut files, &MODEL, "vendor/taskhost/host/model");
    add(&mut files, &WIT, "vendor/taskhost/wit");
    files.push(file("vendor/taskhost/Cargo.toml", workspace_of_two()));
    files
}

/// A module for componentize-py.
pub(crate) fn python(name: &str) -> Vec<File> {
    let named = |text: &str| text.replace("hello-python", name);
    let once = "pip install -r requirements.txt      # once; or test.sh does it, into .venv";
    let mut files = vec![
        file("app.py", named(example!("hello-python/app.py"))),
        file("build.sh", named(example!("hello-python/build.sh"))),
        file("test.sh", named(example!("hello-python/test.sh"))),
        file(
            "requirements.txt",
            example!("hello-python/requirements.txt"),
        ),
        file(".gitignore", named(example!("hello-python/.gitignore"))),
        readme(name, "app.py", once, &format!("{name}.wasm")),
    ];
    files.extend(fixtures());
    add(&mut files, &WIT, "wit");
    files
}

/// A module for componentize-qjs.
pub(crate) fn javascript(name: &str) -> Vec<File> {
    let named = |text: &str| text.replace("hello-javascript", name);
    let once = "npm install                          # once; or test.sh does it";
    let mut files = vec![
        file("app.js", named(example!("hello-javascript/app.js"))),
        file("build.sh", named(example!("hello-javascript/build.sh"))),
        file("test.sh", named(example!("hello-javascript/test.sh"))),
        file(
            "package.json",
            named(example!("hello-javascript/package.json")),
        ),
        file(".gitignore", named(example!("hello-javascript/.gitignore"))),
        readme(name, "app.js", once, &format!("{name}.wasm")),
    ];
    files.extend(fixtures());
    add(&mut files, &WIT, "wit");
    files
}

fn fixtures() -> [File; 2] {
    [
        file("fixtures/params.json", PARAMS),
        file("fixtures/result.json", RESULT),
    ]
}

fn readme(name: &str, source: &str, once: &str, wasm: &str) -> File {
    let text = format!(
        "# {name}

A task type for taskhost: `{source}`.

    {once}
    ./test.sh                            # the component, in the real sandbox
    taskhost check {wasm}
    taskhost types push {wasm}

`fixtures/` is what it is tested with: `params.json`, the `result.json` that has to come out,
`streams/NAME.ndjson` for a task that reads a stream, and what collections hold and models, the
network and children answer. `taskhost test --help` has all of them, and tells how to let calls
fail, cancel in the middle, and kill the host.
"
    );
    file("README.md", text)
}

fn add(files: &mut Vec<File>, from: &Dir<'_>, to: &str) {
    for entry in from.entries() {
        match entry {
            DirEntry::Dir(folder) => add(files, folder, to),
            DirEntry::File(one) => files.push(File {
                path: PathBuf::from(to).join(one.path()),
                text: String::from_utf8_lossy(one.contents()).into_owned(),
            }),
        }
    }
}

/// This project's own, with the two members that are there.
fn workspace_of_two() -> String {
    let members = WORKSPACE.find("members = [").unwrap_or(0);
    let end = WORKSPACE[members..]
        .find(']')
        .map_or(0, |at| members + at + 1);
    let (before, after) = (&WORKSPACE[..members], &WORKSPACE[end..]);
    format!("{before}members = [\"guest-sdk\", \"host/model\"]{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(files: &'a [File], path: &str) -> &'a str {
        let found = files.iter().find(|file| file.path.as_os_str() == path);
        &found.unwrap_or_else(|| panic!("{path}")).text
    }

    #[test]
    fn rust_has_the_crate_for_authors_beside_it() {
        let files = rust("my-type");
        for path in [
            "vendor/taskhost/guest-sdk/src/lib.rs",
            "vendor/taskhost/host/model/src/condition/parse.rs",
            "vendor/taskhost/wit/v1/task.wit",
            "vendor/taskhost/wit/v1/schemas/query.json",
        ] {
            assert!(!text(&files, path).is_empty());
        }
        assert!(text(&files, "Cargo.toml").contains("name = \"my-type\""));
        assert!(text(&files, "Cargo.toml").contains("exclude = [\"vendor\"]"));
        assert!(text(&files, "src/lib.rs").contains("new(\"my-type\", env!"));
        assert!(text(&files, "test.sh").contains("release/my_type.wasm"));
        let workspace = text(&files, "vendor/taskhost/Cargo.toml");
        assert!(workspace.contains("members = [\"guest-sdk\", \"host/model\"]\n"));
    }

    #[test]
    fn nothing_keeps_the_name_of_the_example() {
        for files in [python("my-type"), javascript("my-type")] {
            for file in files.iter().filter(|file| !file.path.starts_with("wit")) {
                let is_left = file.text.contains("hello-");
                assert!(!is_left, "{}", file.path.display());
            }
            assert!(text(&files, "test.sh").contains("my-type.wasm"));
        }
    }
}
