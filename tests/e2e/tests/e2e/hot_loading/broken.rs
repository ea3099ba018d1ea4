//! Files that are no task type for this host, and what has to be said of each.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use taskhost_e2e::component::{importing, replaced};
use taskhost_e2e::{long, places};

/// A broken file.
#[derive(Debug, Clone)]
pub(super) struct Broken {
    /// For messages.
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
    /// What the refusal has to say. None: a file that may be well in spite of everything, since
    /// one bit is not always one that matters.
    pub(super) words: Option<Vec<&'static str>>,
}

fn broken(what: impl Into<String>, bytes: Vec<u8>, words: &[&'static str]) -> Broken {
    Broken {
        what: what.into(),
        bytes,
        words: Some(words.to_vec()),
    }
}

fn built(name: &str) -> Vec<u8> {
    std::fs::read(places::component(name)).unwrap()
}

/// A real component, cut at every kilobyte.
pub(super) fn truncated() -> Vec<Broken> {
    let whole = built(if long() {
        "feature-identification"
    } else {
        "fails"
    });
    let lengths = (0..whole.len()).step_by(1024).skip(1);
    lengths
        .map(|length| {
            let cut = whole[..length].to_vec();
            broken(format!("the first {length} bytes"), cut, &["truncated"])
        })
        .collect()
}

/// Real components with a single bit that is another one. They are of types that no other task
/// uses: a flipped one may be accepted, and then it is the active version.
pub(super) fn flipped(seed: u64) -> Vec<Broken> {
    let mut random = StdRng::seed_from_u64(seed);
    // A small one in most cases: what is accepted has to be compiled first.
    let count = if long() { 800 } else { 32 };
    let names = ["not-json", "not-json", "not-json", "hello-task"];
    let names = names.map(|name| (name, built(name)));
    let flip = |n: usize| {
        let (name, mut bytes) = names[n % names.len()].clone();
        // Some at the beginning, where each bit matters: the rest is mostly code.
        let end = if n.is_multiple_of(5) {
            2_048
        } else {
            bytes.len()
        };
        let (at, bit) = (random.random_range(0..end), random.random_range(0..8_u8));
        bytes[at] ^= 1 << bit;
        Broken {
            what: format!("{name} with bit {bit} of byte {at} flipped (seed {seed})"),
            bytes,
            words: None,
        }
    };
    (0..count).map(flip).collect()
}

/// Files that are whole, and of something else.
pub(super) fn foreign() -> Vec<Broken> {
    let cooperative = built("cooperative");
    let import = |text: &str| importing(&format!("(import {text})"));
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let version = ["(1.0)"];
    let of_host = |words: &[&'static str]| [words, &version].concat();
    vec![
        broken(
            "a script",
            b"#!/bin/sh\necho hello\n".to_vec(),
            &["no WebAssembly"],
        ),
        broken("a core module", wat("(module)"), &["core module"]),
        broken("nothing in it", wat("(component)"), &["another world"]),
        broken(
            "a command",
            wat(r#"(component (instance $run) (export "wasi:cli/run@0.2.3" (instance $run)))"#),
            &["wasi:cli/run@0.2.3", "another world"],
        ),
        broken(
            "a newer function",
            import(r#""taskhost:task/streams@1.0.0" (instance (export "watch" (func)))"#),
            &of_host(&["taskhost:task/streams.watch", "does not have"]),
        ),
        broken(
            "a newer function, from the kit",
            replaced(&cooperative, b"cancel-reason", b"cancel-excuse"),
            &of_host(&["taskhost:task/context.cancel-excuse", "does not have"]),
        ),
        broken(
            "a newer interface",
            import(r#""taskhost:task/siblings@1.0.0" (instance (export "spawn" (func)))"#),
            &of_host(&["taskhost:task/siblings", "does not have"]),
        ),
        broken(
            "a newer contract",
            replaced(
                &cooperative,
                b"taskhost:task/task@1.0.0",
                b"taskhost:task/task@2.0.0",
            ),
            &["taskhost:task/task@2.0.0", "newer host", "1.0"],
        ),
        broken(
            "another package",
            import(r#""acme:things/lamp@1.0.0" (instance (export "on" (func)))"#),
            &["acme:things/lamp@1.0.0"],
        ),
    ]
}
