//! Components made on the spot, for what no Rust program compiles to: any descriptor, and
//! imports that this host does not have.

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

/// The same with more definitions before its own.
#[must_use]
pub fn component_with(descriptor: &str, result: &str, definitions: &str) -> Vec<u8> {
    let describe = answers(descriptor);
    assemble(descriptor, result, &describe, definitions)
}

/// A component that imports something, and is well otherwise.
#[must_use]
pub fn importing(import: &str) -> Vec<u8> {
    assemble("", "", "(unreachable)", import)
}

/// Puts the parts together. Memory: the answer's record at 0 (discriminant, pointer, length), the
/// descriptor at 64, the result at 1 MiB, what the host passes in after that.
fn assemble(descriptor: &str, result: &str, describe: &str, import: &str) -> Vec<u8> {
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
      (i32.store (i32.const 24) (i32.const 1048576))
      (i32.store (i32.const 28) (i32.const {length}))
      (i32.const 16)))
  (core instance $code (instantiate $code))
  (import "taskhost:task/types@0.1.0" (instance $types
    (type $e (record (field "code" string) (field "message" string)
      (field "retryable" bool) (field "retry-after-ms" (option u64))
      (field "details" (option string))))
    (export "error" (type (eq $e)))))
  (alias export $types "error" (type $error))
  (func $describe (result string) (canon lift (core func $code "describe")
    (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
  (func $run (param "params" string) (result (result string (error $error)))
    (canon lift (core func $code "run")
      (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
  (instance $task (export "error" (type $error))
    (export "describe" (func $describe)) (export "run" (func $run)))
  (export "taskhost:task/task@0.1.0" (instance $task))
)"#,
        length = result.len(),
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}
