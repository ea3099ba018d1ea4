//! Checks an upload before anything is compiled: parsed whole, and every import and export
//! compared with what this host has. Each mistake is named, with the way out.

use wasmparser::{BinaryReaderError, Parser, Validator, WasmFeatures};

use crate::contract::{Contract, Interface, Outside, PACKAGE};
use crate::error::InvalidComponent;

/// The largest component that is looked at.
pub(crate) const COMPONENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is linked of WASI 0.2, with nothing granted: packages, and their interfaces.
const WASI: [(&str, &str); 6] = [
    (
        "cli",
        "environment exit stderr stdin stdout terminal-input terminal-output terminal-stderr \
         terminal-stdin terminal-stdout",
    ),
    ("clocks", "monotonic-clock wall-clock"),
    ("filesystem", "preopens types"),
    ("io", "error poll streams"),
    ("random", "insecure insecure-seed random"),
    (
        "sockets",
        "instance-network ip-name-lookup network tcp tcp-create-socket udp udp-create-socket",
    ),
];
/// As many mistakes as an author can do something with at once.
const MISTAKES_MAX: usize = 20;

/// Whether `bytes` are a component that this host can load.
pub(crate) fn check(
    bytes: &[u8],
    features: WasmFeatures,
    contract: &Contract,
) -> Result<(), InvalidComponent> {
    check_form(bytes)?;
    let mut validator = Validator::new_with_features(features);
    let types = validator
        .validate_all(bytes)
        .map_err(|error| damaged(bytes, &error))?;
    let outside = Outside::read(bytes, types.as_ref()).map_err(InvalidComponent::one)?;
    let mut mistakes: Vec<String> = outside
        .imports
        .iter()
        .flat_map(|import| import_mistakes(import, contract))
        .collect();
    mistakes.extend(export_mistake(&outside.exports, contract));
    mistakes.truncate(MISTAKES_MAX);
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(InvalidComponent { mistakes })
    }
}

fn check_form(bytes: &[u8]) -> Result<(), InvalidComponent> {
    let refuse = |mistake: String| Err(InvalidComponent::one(mistake));
    if bytes.len() > COMPONENT_BYTES_MAX {
        return refuse(format!(
            "the component has {} bytes, at most {COMPONENT_BYTES_MAX} are accepted: build it with \
             the profile `release` and strip it",
            bytes.len()
        ));
    }
    if Parser::is_component(bytes) {
        return Ok(());
    }
    if Parser::is_core_wasm(bytes) {
        return refuse(
            "the file is a core module and no component: build it for the target wasm32-wasip2, \
             or wrap it with `wasm-tools component new`"
                .to_owned(),
        );
    }
    if bytes.len() < 8 && b"\0asm\x0d\0\x01\0".starts_with(bytes) {
        return refuse(format!(
            "the file is truncated: it has {} bytes, not even a header. Copy it again",
            bytes.len()
        ));
    }
    if bytes.starts_with(b"\0asm") {
        return refuse(
            "the file is WebAssembly in a form that this host does not know: build it with tools \
             of this year, for the target wasm32-wasip2"
                .to_owned(),
        );
    }
    refuse(
        "the file is no WebAssembly component: build one with \
         `cargo build --release --target wasm32-wasip2` and push the `.wasm` file"
            .to_owned(),
    )
}

fn damaged(bytes: &[u8], error: &BinaryReaderError) -> InvalidComponent {
    let (message, at) = (error.message(), error.offset());
    InvalidComponent::one(if message.contains("unexpected end") {
        format!(
            "the component is truncated: it has {} bytes and goes on after the last one. Copy it \
             again",
            bytes.len()
        )
    } else {
        format!(
            "the component is damaged, or uses WebAssembly that this host does not run: {message} \
             (at byte {at})"
        )
    })
}

fn import_mistakes(import: &Interface, contract: &Contract) -> Vec<String> {
    let host = short(contract.version);
    if let Some(own) = import.of_contract() {
        if !contract.links_with(import.version) {
            return vec![other_version("imports", import, contract)];
        }
        let Some(functions) = contract.interfaces.get(own) else {
            return vec![format!(
                "imports {PACKAGE}/{own}, which this host ({host}) does not have: update the \
                 host, or build against the WIT of {host}"
            )];
        };
        let missing = import.functions.difference(functions);
        return missing
            .map(|function| {
                format!(
                    "imports {PACKAGE}/{own}.{function}, which this host ({host}) does not have: \
                     update the host, or do without it"
                )
            })
            .collect();
    }
    if import.name.starts_with("wasi:") {
        let is_linked = is_linked_wasi(&import.name) && matches!(import.version, Some([0, 2, _]));
        let mistake = format!(
            "imports {}, which this host does not have: of WASI a task may import cli, clocks, \
             filesystem, io, random and sockets, version 0.2",
            named(import)
        );
        return if is_linked { Vec::new() } else { vec![mistake] };
    }
    vec![format!(
        "imports {}, which no taskhost has: a task may import {PACKAGE} and WASI 0.2",
        named(import)
    )]
}

/// Whether there is such an interface, `wasi:io/poll`.
fn is_linked_wasi(name: &str) -> bool {
    let Some((package, interface)) = name["wasi:".len()..].split_once('/') else {
        return false;
    };
    let linked = WASI.iter().find(|(linked, _)| *linked == package);
    linked.is_some_and(|(_, linked)| linked.split(' ').any(|linked| linked == interface))
}

fn export_mistake(exports: &[Interface], contract: &Contract) -> Option<String> {
    let tasks: Vec<_> = exports
        .iter()
        .filter(|export| export.of_contract() == Some("task"))
        .collect();
    if tasks.iter().any(|task| contract.links_with(task.version)) {
        return None;
    }
    if let Some(task) = tasks.first() {
        return Some(other_version("exports", task, contract));
    }
    let found: Vec<_> = exports.iter().take(3).map(named).collect();
    let found = if found.is_empty() {
        "nothing".to_owned()
    } else {
        found.join(", ")
    };
    Some(format!(
        "exports {found} and no {PACKAGE}/task: the component is of another world. Build the \
         world `task-type`; with the Rust kit, a `cdylib` with `taskhost_sdk::export!`"
    ))
}

fn other_version(verb: &str, interface: &Interface, contract: &Contract) -> String {
    let host = short(contract.version);
    let named = named(interface);
    let way_out = match interface.version {
        Some(theirs) if theirs > contract.version => {
            format!("it was built for a newer host. Update the host, or build against {host}")
        }
        _ => format!("it was built for another version. Build against {host}"),
    };
    format!("{verb} {named}, and this host has {PACKAGE} {host}: {way_out}")
}

fn named(interface: &Interface) -> String {
    // The name comes from the file; what is read in a terminal has no control characters.
    let name: String = interface
        .name
        .chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect();
    match interface.version {
        Some([major, minor, patch]) => format!("{name}@{major}.{minor}.{patch}"),
        None => name,
    }
}

fn short([major, minor, _]: [u64; 3]) -> String {
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::v1::COMPONENT_TYPE;

    const FEATURES: WasmFeatures = WasmFeatures::WASM3.union(WasmFeatures::COMPONENT_MODEL);

    fn mistakes(bytes: &[u8]) -> String {
        let contract = Contract::read(COMPONENT_TYPE).unwrap();
        check(bytes, FEATURES, &contract).unwrap_err().to_string()
    }

    fn wat_mistakes(text: &str) -> String {
        mistakes(&wat::parse_str(text).unwrap())
    }

    const TASK: &str = r#"
        (core module $m (func (export "f") (result i32) unreachable)
            (memory (export "mem") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
        (core instance $i (instantiate $m))
        (func $describe (result string)
            (canon lift (core func $i "f") (memory (core memory $i "mem"))))
        (instance $task (export "describe" (func $describe)))
    "#;

    fn task_with(imports: &str, version: &str) -> String {
        format!(
            r#"(component {imports} {TASK}
                (export "taskhost:task/task@{version}" (instance $task)))"#
        )
    }

    #[test]
    fn what_is_no_component_is_told_so() {
        assert!(mistakes(b"#!/bin/sh").contains("no WebAssembly component"));
        assert!(mistakes(b"").contains("truncated"));
        assert!(mistakes(b"\0asm\x0d").contains("truncated"));
        assert!(mistakes(b"\0asm\x7f\0\0\0").contains("a form that this host does not know"));
        assert!(wat_mistakes("(module)").contains("core module"));
        let large = vec![0; COMPONENT_BYTES_MAX + 1];
        assert!(mistakes(&large).contains("at most 67108864"));
    }

    #[test]
    fn cut_anywhere_it_is_refused() {
        let whole = wat::parse_str(task_with("", "1.0.0")).unwrap();
        let contract = Contract::read(COMPONENT_TYPE).unwrap();
        assert_eq!(check(&whole, FEATURES, &contract), Ok(()));
        // Behind its exports are only names, which a component can do without.
        let needed = (0..=whole.len())
            .find(|length| check(&whole[..*length], FEATURES, &contract).is_ok())
            .unwrap();
        assert!(needed > whole.len() / 2, "{needed}");
        assert!(mistakes(&whole[..needed - 1]).contains("truncated"));
    }

    #[test]
    fn another_world_is_named() {
        let message = wat_mistakes("(component)");
        assert!(
            message.contains("exports nothing and no taskhost:task/task"),
            "{message}"
        );
        let cli = TASK.to_owned() + r#"(export "wasi:cli/run@0.2.3" (instance $task))"#;
        let message = wat_mistakes(&format!("(component {cli})"));
        assert!(message.contains("wasi:cli/run@0.2.3"), "{message}");
    }

    #[test]
    fn a_newer_host_is_named() {
        let message = wat_mistakes(&task_with("", "2.0.0"));
        assert!(message.contains("taskhost:task/task@2.0.0"), "{message}");
        assert!(message.contains("built for a newer host"), "{message}");
        let import = r#"(import "taskhost:task/log@2.0.0" (instance))"#;
        let message = wat_mistakes(&task_with(import, "1.0.0"));
        assert!(
            message.contains("imports taskhost:task/log@2.0.0"),
            "{message}"
        );
    }

    #[test]
    fn what_this_host_has_not_is_named_to_the_function() {
        let imports = r#"
            (import "taskhost:task/streams@1.0.4" (instance
                (export "watch" (func (param "name" string)))
                (export "count" (func (param "name" string)))))
            (import "taskhost:task/siblings@1.0.0" (instance))
            (import "wasi:http/types@0.2.3" (instance))
            (import "wasi:io/poll@0.3.0" (instance))
            (import "wasi:io/streams@0.2.9" (instance))
            (import "wasi:cli/envirxnment@0.2.6" (instance))
            (import "acme:db/sql" (instance))
        "#;
        let message = wat_mistakes(&task_with(imports, "1.0.0"));
        for part in [
            "imports taskhost:task/streams.watch, which this host (1.0) does not have",
            "imports taskhost:task/siblings, which this host (1.0) does not have",
            "imports wasi:http/types@0.2.3, which this host does not have",
            "imports wasi:io/poll@0.3.0",
            "imports acme:db/sql, which no taskhost has",
        ] {
            assert!(message.contains(part), "{part}\n{message}");
        }
        assert!(
            !message.contains("count") && !message.contains("wasi:io/streams"),
            "{message}"
        );
    }
}
