//! House rules that no lint enforces: each is a row of [`RULES`], with its reason, its fix, and
//! a small tree that breaks it, so that no rule can fall silent unnoticed.

pub mod tree;
mod lines;
mod order;
mod crates;
mod places;

use tree::{Mistake, Tree};

/// One house rule.
#[derive(Debug)]
pub struct Rule {
    /// What it is called when it complains.
    pub name: &'static str,
    /// Why it is a rule, and how to meet it.
    pub why: &'static str,
    /// Finds what breaks it.
    pub check: fn(&Tree) -> Vec<Mistake>,
    /// Files (path, text) that break it.
    pub broken: &'static [(&'static str, &'static str)],
}

/// All house rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "header",
        why: "a reader learns from the first line what a file is for: begin it with `//!` and \
              its one job",
        check: lines::header,
        broken: &[("host/a/src/x.rs", "use std::fmt;\n")],
    },
    Rule {
        name: "file size",
        why: "a file of more than 500 lines does more than one job: split it by job",
        check: lines::file_size,
        broken: &[("host/a/src/x.rs", lines::LONG_FILE)],
    },
    Rule {
        name: "line width",
        why: "two files fit side by side at 100 columns, and rustfmt leaves texts and comments \
              alone: break the line",
        check: lines::line_width,
        broken: &[("host/a/src/x.rs", lines::WIDE_LINE)],
    },
    Rule {
        name: "unfinished work",
        why: "what is merged is finished, and what is not belongs into an issue: finish it, or \
              take it out",
        check: lines::unfinished,
        broken: &[(
            "host/a/src/x.rs",
            concat!("//! X.\nfn f() { to", "do!() }\n"),
        )],
    },
    Rule {
        name: "sleeping test",
        why: "a test that sleeps is slow on a fast machine and wrong on a slow one: wait for \
              something that can be observed, or say above the line `// tidy: sleep allowed \
              because …` (guests, benches, the harness and the service's suite alone)",
        check: lines::sleeping_test,
        broken: &[(
            "host/a/tests/x.rs",
            concat!("//! X.\nthread::park_", "timeout(second);\n"),
        )],
    },
    Rule {
        name: "glob re-export",
        why: "a reader must see where a public name comes from: name what is re-exported",
        check: lines::glob_export,
        broken: &[("host/a/src/x.rs", "//! X.\npub use inner::*;\n")],
    },
    Rule {
        name: "empty name",
        why: "such a name says nothing of the job: take the domain's word for what it does",
        check: lines::empty_name,
        broken: &[("host/a/src/x.rs", "//! X.\nstruct TaskManager;\n")],
    },
    Rule {
        name: "machine path",
        why: "the project lives on other machines too: derive the path, or take it as a setting",
        check: lines::machine_path,
        broken: &[(
            "host/a/src/x.rs",
            concat!("//! X.\nopen(\"/ho", "me/me/x\");\n"),
        )],
    },
    Rule {
        name: "import order",
        why: "the `mod` list of lib.rs is the reading order, so a module uses only modules \
              listed above it: move the module, or what it needs",
        check: order::import_order,
        broken: &[
            ("host/a/src/lib.rs", "//! A.\nmod first;\nmod second;\n"),
            ("host/a/src/first.rs", "//! F.\nuse crate::{second::X};\n"),
        ],
    },
    Rule {
        name: "layers",
        why: "server → service → runtime → clients → store → model, nothing the other way round, \
              and each layer does without what others are for (ARCHITECTURE.md): hand a value \
              down, or move the code to the layer that may",
        check: crates::layers,
        broken: &[(
            "host/model/Cargo.toml",
            "[dependencies]\ntaskhost-store.workspace = true\n",
        )],
    },
    Rule {
        name: "unsafe code",
        why: "only the exports that are generated for a component need unsafe code: every other \
              package takes the workspace's lints, which forbid it",
        check: crates::unsafe_code,
        broken: &[("host/model/Cargo.toml", "[package]\nname = \"x\"\n")],
    },
    Rule {
        name: "dependencies in one place",
        why: "every version stands once, in the top Cargo.toml: write `NAME.workspace = true`",
        check: crates::dependencies_in_one_place,
        broken: &[("host/model/Cargo.toml", "[dependencies]\nserde = \"1\"\n")],
    },
    Rule {
        name: "code map",
        why: "ARCHITECTURE.md is how newcomers find their way: correct the path there, and name \
              every crate",
        check: places::code_map,
        broken: &[("ARCHITECTURE.md", "the door is `host/door/src/lib.rs`\n")],
    },
    Rule {
        name: "guest without a test",
        why: "a guest shows one behavior, and only an end-to-end test shows what the host does \
              with it: run it, by name, in tests/e2e",
        check: places::guests_are_tested,
        broken: &[("tests/guests/examples/spin.rs", "//! Spins.\n")],
    },
    Rule {
        name: "lock that is not tried",
        why: "tests/threads has a file run by shuttle, which sees only the locks and atomics that \
              it knows: take them from `crate::sync`",
        check: places::locks_are_tried,
        broken: &[
            (
                "tests/threads/src/lib.rs",
                "//! T.\n#[path = \"../../../host/a/src/x.rs\"]\nmod x;\n",
            ),
            ("host/a/src/x.rs", "//! X.\nuse std::sync::{Arc, Mutex};\n"),
        ],
    },
    Rule {
        name: "component not built",
        why: "whoever tries the examples runs examples/build.sh: build the component there",
        check: places::components_are_built,
        broken: &[(
            "examples/x/Cargo.toml",
            "name = \"x\"\ncrate-type = [\"cdylib\"]\n",
        )],
    },
    Rule {
        name: "undocumented contract",
        why: "authors of task types read nothing but the WIT file: say above each function what \
              it does, with units, errors and limits",
        check: places::contract_is_documented,
        broken: &[("wit/v1/x.wit", "interface x {\n    go: func() -> u32;\n}\n")],
    },
    Rule {
        name: "wide trait",
        why: "each backend has to write and keep every method of a store trait: at most 10, and \
              what can be built from them is a function outside",
        check: places::store_traits_are_narrow,
        broken: &[("host/store/src/x.rs", places::WIDE_TRAIT)],
    },
    Rule {
        name: "bench without words",
        why: "a figure that nobody can read again is worth nothing: give the program a line in \
              tests/benches/README.md",
        check: places::benches_are_described,
        broken: &[("tests/benches/src/bin/speed.rs", "//! Speed.\n")],
    },
];
