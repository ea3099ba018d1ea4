//! Components made on the spot, for what no Rust program compiles to: any descriptor, and
//! imports that this host does not have.

use serde_json::{Value, json};

use crate::places;

/// The contract's error, imported.
const ERROR: &str = r#"(import "taskhost:task/types@1.0.0" (instance $types
    (type $e (record (field "code" string) (field "message" string)
      (field "retryable" bool) (field "retry-after-ms" (option u64))
      (field "details" (option string))))
    (export "error" (type (eq $e)))))
  (alias export $types "error" (type $error))"#;
/// What a core instance `$code` with a core memory `$bytes` exports as a task.
const EXPORTS: &str = r#"(func $describe (result string) (canon lift (core func $code "describe")
    (memory $bytes) (realloc $realloc)))
  (func $run (param "params" string) (result (result string (error $error)))
    (canon lift (core func $code "run")
      (memory $bytes) (realloc $realloc)))
  (instance $task (export "error" (type $error))
    (export "describe" (func $describe)) (export "run" (func $run)))
  (export "taskhost:task/task@1.0.0" (instance $task))"#;

/// What a component of [`stepping`] does, whatever its params are.
#[derive(Debug, Clone, Copy)]
pub struct Steps {
    /// Attempts of a run that fail, and may be tried again. The error's message is the result that
    /// the run would have had.
    pub failing_attempts: u32,
    /// How long the host is asked to wait between two of them, in milliseconds.
    pub retry_after_ms: u64,
    /// How long the attempt that completes sleeps, in milliseconds.
    pub sleep_ms: u64,
}

/// A component with this descriptor, whose `run` answers `result` whatever the params are.
#[must_use]
pub fn component(descriptor: &str, result: &str) -> Vec<u8> {
    component_with(descriptor, result, "")
}

fn answers(descriptor: &str) -> String {
    format!(
        "(i32.store (i32.const 0) (i32.const 64))
        (i32.store (i32.const 4) (i32.const {})) (i32.const 0)",
        descriptor.len()
    )
}

/// A version of the type `greeter` with more keys in its descriptor; its result is the version.
#[must_use]
pub fn greeter(version: &str, more: &Value) -> Vec<u8> {
    let mut descriptor = json!({"id": "greeter", "version": version, "title": "Greets"});
    let more = more.as_object().cloned().unwrap_or_default();
    descriptor.as_object_mut().unwrap().extend(more);
    component(&descriptor.to_string(), &format!("{version:?}"))
}

/// The same with more definitions before its own.
#[must_use]
pub fn component_with(descriptor: &str, result: &str, definitions: &str) -> Vec<u8> {
    let describe = answers(descriptor);
    assemble(descriptor, result, &describe, definitions)
}

/// A component with this descriptor whose result is its params, byte for byte.
#[must_use]
pub fn echo(descriptor: &str) -> Vec<u8> {
    let describe = answers(descriptor);
    let params = ["(local.get 0)", "(local.get 1)"];
    with_answer(descriptor, "", &describe, "", params)
}

/// A component that imports something, and is well otherwise.
#[must_use]
pub fn importing(import: &str) -> Vec<u8> {
    assemble("", "", "(unreachable)", import)
}

/// A component with this descriptor that fails, sleeps and answers `result`, so that whatever it
/// says shows which version is running. Memory: as in `assemble`, and the answers of `sleep` and
/// `run` at 512 KiB.
#[must_use]
pub fn stepping(descriptor: &str, result: &str, steps: Steps) -> Vec<u8> {
    let text = format!(
        r#"(component
  (core module $memory
    (memory (export "memory") 64)
    (data (i32.const 64) "{descriptor_text}")
    (data (i32.const 1048576) "{result_text}again")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2097152)))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "memory" (core memory $bytes))
  (alias core export $memory "realloc" (core func $realloc))
  {ERROR}
  (import "taskhost:task/context@1.0.0" (instance $context
    (export "error" (type $e (eq $error)))
    (export "attempt" (func (result u32)))
    (export "sleep" (func (param "ms" u64) (result (result (error $e)))))))
  (core func $attempt (canon lower (func $context "attempt")))
  (core func $sleep
    (canon lower (func $context "sleep") (memory $bytes) (realloc $realloc)))
  (core module $code
    (import "host" "memory" (memory 64))
    (import "host" "attempt" (func $attempt (result i32)))
    (import "host" "sleep" (func $sleep (param i64 i32)))
    (func (export "describe") (result i32) {describe})
    (func (export "run") (param i32 i32) (result i32) {run} (i32.const 524288)))
  (core instance $code (instantiate $code (with "host" (instance
    (export "memory" (memory $bytes))
    (export "attempt" (func $attempt)) (export "sleep" (func $sleep))))))
  {EXPORTS}
)"#,
        descriptor_text = escaped(descriptor),
        result_text = escaped(result),
        describe = answers(descriptor),
        run = steps.run(result.len()),
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A real guest of `tests/guests/` as its author would build it for another version: the `1.0.0`
/// in its descriptor becomes three other digits. Everything else stays.
#[must_use]
pub fn renumbered(original: &[u8], number: usize) -> Vec<u8> {
    let version = format!("{}.{}.{}", number / 100 % 10, number / 10 % 10, number % 10);
    // Of the same length, and no version: it keeps the contract's own out of the way.
    let kept = replaced(original, b"@1.0.0", b"@=.=.=");
    let renumbered = replaced(&kept, b"1.0.0", version.as_bytes());
    replaced(&renumbered, b"@=.=.=", b"@1.0.0")
}

/// A component in which some text is another one of the same length, wherever it stands.
#[must_use]
pub fn replaced(original: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len(), "lengths are part of the format");
    let mut bytes = original.to_vec();
    let places = original.windows(from.len()).enumerate();
    let mut places = places.filter(|(_, text)| *text == from).peekable();
    assert!(places.peek().is_some(), "{}", from.escape_ascii());
    for (at, _) in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

impl Steps {
    /// The body of `run`: the record of its answer is at 512 KiB, aligned to 8 bytes.
    fn run(self, length: usize) -> String {
        format!(
            "(if (i32.le_u (call $attempt) (i32.const {failing_attempts}))
      (then
        (i32.store8 (i32.const 524288) (i32.const 1))
        (i32.store (i32.const 524296) (i32.const {code}))
        (i32.store (i32.const 524300) (i32.const 5))
        (i32.store (i32.const 524304) (i32.const 1048576))
        (i32.store (i32.const 524308) (i32.const {length}))
        (i32.store8 (i32.const 524312) (i32.const 1))
        (i32.store8 (i32.const 524320) (i32.const 1))
        (i64.store (i32.const 524328) (i64.const {retry_after_ms}))
        (i32.store8 (i32.const 524336) (i32.const 0)))
      (else
        (call $sleep (i64.const {sleep_ms}) (i32.const 532480))
        (i32.store8 (i32.const 524288) (i32.const 0))
        (i32.store (i32.const 524296) (i32.const 1048576))
        (i32.store (i32.const 524300) (i32.const {length}))))",
            failing_attempts = self.failing_attempts,
            retry_after_ms = self.retry_after_ms,
            sleep_ms = self.sleep_ms,
            code = 1_048_576 + length,
        )
    }
}

/// Puts the parts together. Memory: the answer's record at 0 (discriminant, pointer, length), the
/// descriptor at 64, the result at 1 MiB, what the host passes in after that.
fn assemble(descriptor: &str, result: &str, describe: &str, import: &str) -> Vec<u8> {
    let length = format!("(i32.const {})", result.len());
    let answer = ["(i32.const 1048576)", &length];
    with_answer(descriptor, result, describe, import, answer)
}

/// The same where `run` answers what is at a pointer, with a length.
fn with_answer(
    descriptor: &str,
    result: &str,
    describe: &str,
    import: &str,
    [pointer, length]: [&str; 2],
) -> Vec<u8> {
    let (descriptor_text, result_text) = (escaped(descriptor), escaped(result));
    let text = format!(
        r#"(component {import}
  (core module $code
    (memory (export "memory") 64)
    (data (i32.const 64) "{descriptor_text}")
    (data (i32.const 1048576) "{result_text}")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2097152))
    (func (export "describe") (result i32) {describe})
    (func (export "run") (param i32 i32) (result i32)
      (i32.store8 (i32.const 16) (i32.const 0))
      (i32.store (i32.const 24) {pointer})
      (i32.store (i32.const 28) {length})
      (i32.const 16)))
  (core instance $code (instantiate $code))
  (alias core export $code "memory" (core memory $bytes))
  (alias core export $code "realloc" (core func $realloc))
  {ERROR}
  {EXPORTS}
)"#
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A component with other origins than it was built with, wherever it names them.
#[must_use]
pub fn with_origins(name: &str, origins: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = std::fs::read(places::component(name)).unwrap();
    for (built, wanted) in origins {
        assert_eq!(built.len(), wanted.len(), "{built} {wanted}");
        let mut places = Vec::new();
        for (at, part) in bytes.windows(built.len()).enumerate() {
            places.extend((part == built.as_bytes()).then_some(at));
        }
        assert!(!places.is_empty(), "{built} is not in {name}");
        for at in places {
            bytes[at..at + wanted.len()].copy_from_slice(wanted.as_bytes());
        }
    }
    bytes
}
