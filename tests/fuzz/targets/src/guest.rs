//! Components in WAT: one that describes itself beside a core module of any kind, and one whose
//! runs end as their params say.

/// The contract's error, imported.
const ERROR: &str = r#"(type $types' (instance
        (type $error' (record
            (field "code" string) (field "message" string) (field "retryable" bool)
            (field "retry-after-ms" (option u64)) (field "details" (option string))))
        (export "error" (type (eq $error')))))
    (import "taskhost:task/types@1.0.0" (instance $types (type $types')))
    (alias export $types "error" (type $error))"#;

/// What the core instance `$guest` exports as a task; `$memory` has its memory.
const EXPORTS: &str = r#"(func $describe (result string)
        (canon lift (core func $guest "describe") (memory (core memory $memory "memory"))))
    (func $run (param "params" string) (result (result string (error $error)))
        (canon lift (core func $guest "run")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (instance $task (export "describe" (func $describe)) (export "run" (func $run)))
    (export "taskhost:task/task@1.0.0" (instance $task))"#;

/// A module with a memory and an allocator that never frees; the descriptor is at 1024.
fn memory(descriptor: &str) -> String {
    let text: String = descriptor.bytes().map(|b| format!("\\{b:02x}")).collect();
    let (pages, free) = (2 + descriptor.len() / 65_536, 2048 + descriptor.len());
    format!(
        r#"(core module $memory'
        (memory (export "memory") {pages})
        (global $free (mut i32) (i32.const {free}))
        (data (i32.const 512) "{{}}x")
        (data (i32.const 1024) "{text}")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 15))
                (i32.const -16)))
            (global.get $free)
            (global.set $free (i32.add (global.get $free) (local.get 3)))))
    (core instance $memory (instantiate $memory'))"#
    )
}

/// The function `describe`, for a guest that has imported that memory.
fn describe(descriptor: &str) -> String {
    format!(
        r#"(func (export "describe") (result i32)
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const {}))
            (i32.const 0))"#,
        descriptor.len()
    )
}

/// A component with this descriptor, as text. Its first core module is to be replaced by another
/// that imports nothing, and that starts with the component; `run` answers `{}`.
pub(crate) fn describing(descriptor: &str, imports: &str) -> String {
    format!(
        r#"(component {ERROR} {imports}
    (core module $other')
    (core instance $other (instantiate $other'))
    {memory}
    (core module $guest'
        (import "memory" "memory" (memory 1))
        {describe}
        (func (export "run") (param i32 i32) (result i32)
            (i32.store (i32.const 8) (i32.const 512))
            (i32.store (i32.const 12) (i32.const 2))
            (i32.const 0)))
    (core instance $guest (instantiate $guest' (with "memory" (instance $memory))))
    {EXPORTS})"#,
        memory = memory(descriptor),
        describe = describe(descriptor),
    )
}

/// A component with this descriptor whose run ends as the byte at `offset` of its params says: a
/// digit, or any byte, modulo 4. It completes with `{}`; waits until it is stopped; fails with its
/// params as details, to be tried again, after as many milliseconds as they have bytes where those
/// are odd; completes with its params. Of params that are a text,
/// what stands between the quotes is the result, whatever it is.
pub(crate) fn ending(descriptor: &str, offset: usize) -> Vec<u8> {
    let text = format!(
        r#"(component {ERROR}
    (type $context' (instance
        (alias outer 1 $error (type $outer))
        (export "error" (type $error (eq $outer)))
        (export "sleep" (func (param "ms" u64) (result (result (error $error)))))))
    (import "taskhost:task/context@1.0.0" (instance $context (type $context')))
    (type $log' (instance
        (type $level' (enum "trace" "debug" "info" "warn" "error"))
        (export "level" (type $level (eq $level')))
        (export "log" (func (param "level" $level) (param "message" string)
            (param "fields" (option string))))))
    (import "taskhost:task/log@1.0.0" (instance $log (type $log')))
    {memory}
    (core func $wait (canon lower (func $context "sleep")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core func $log (canon lower (func $log "log") (memory (core memory $memory "memory"))))
    (core module $guest'
        (import "memory" "memory" (memory 1))
        (import "host" "wait" (func $wait (param i64 i32)))
        (import "host" "log" (func $log (param i32 i32 i32 i32 i32 i32)))
        (func $ok (param $at i32) (param $length i32) (result i32)
            (i32.store8 (i32.const 0) (i32.const 0))
            (i32.store (i32.const 8) (local.get $at))
            (i32.store (i32.const 12) (local.get $length))
            (i32.const 0))
        (func $again (param $at i32) (param $length i32) (result i32)
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store (i32.const 8) (i32.const 514))
            (i32.store (i32.const 12) (i32.const 1))
            (i32.store (i32.const 16) (local.get $at))
            (i32.store (i32.const 20) (local.get $length))
            (i32.store8 (i32.const 24) (i32.const 1))
            (i32.store8 (i32.const 32) (i32.and (local.get $length) (i32.const 1)))
            (i64.store (i32.const 40) (i64.extend_i32_u (local.get $length)))
            (i32.store8 (i32.const 48) (i32.const 1))
            (i32.store (i32.const 52) (local.get $at))
            (i32.store (i32.const 56) (local.get $length))
            (i32.const 0))
        {describe}
        (func (export "run") (param $at i32) (param $length i32) (result i32)
            (local $kind i32)
            (call $log (i32.const 2) (local.get $at) (local.get $length)
                (i32.const 1) (local.get $at) (local.get $length))
            (if (i32.eq (i32.load8_u (local.get $at)) (i32.const 34)) (then
                (return (call $ok (i32.add (local.get $at) (i32.const 1))
                    (i32.sub (local.get $length) (i32.const 2))))))
            (local.set $kind (i32.and (i32.const 3)
                (i32.load8_u (i32.add (local.get $at) (i32.const {offset})))))
            (if (i32.eq (local.get $kind) (i32.const 1)) (then
                (call $wait (i64.const 100000000) (i32.const 64))))
            (if (i32.eq (local.get $kind) (i32.const 2)) (then
                (return (call $again (local.get $at) (local.get $length)))))
            (if (i32.eq (local.get $kind) (i32.const 3)) (then
                (return (call $ok (local.get $at) (local.get $length)))))
            (call $ok (i32.const 512) (i32.const 2))))
    (core instance $guest (instantiate $guest'
        (with "memory" (instance $memory))
        (with "host" (instance (export "wait" (func $wait)) (export "log" (func $log))))))
    {EXPORTS})"#,
        memory = memory(descriptor),
        describe = describe(descriptor),
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The component with its first core module replaced.
pub(crate) fn with_first_module(component: &[u8], module: &[u8]) -> Vec<u8> {
    const HEADER_BYTES: usize = 8;
    const CORE_MODULE: u8 = 1;
    let mut at = HEADER_BYTES;
    while component[at] != CORE_MODULE {
        let (length, begins) = number(component, at + 1);
        at = begins + length;
    }
    let (length, begins) = number(component, at + 1);
    let mut replaced = component[..=at].to_vec();
    push_number(&mut replaced, module.len());
    replaced.extend_from_slice(module);
    replaced.extend_from_slice(&component[begins + length..]);
    replaced
}

/// Reads LEB128; answers the number and where it has ended.
fn number(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let (mut number, mut shift) = (0, 0);
    loop {
        number |= usize::from(bytes[at] & 0x7f) << shift;
        at += 1;
        if bytes[at - 1] & 0x80 == 0 {
            return (number, at);
        }
        shift += 7;
    }
}

fn push_number(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_takes_the_place_of_the_first() {
        let component = wat::parse_str(describing("{}", "")).unwrap();
        for text in ["(module (func unreachable) (start 0))", "(module)"] {
            let module = wat::parse_str(text).unwrap();
            let replaced = with_first_module(&component, &module);
            let is_there = replaced.windows(module.len()).any(|part| part == module);
            assert!(is_there && replaced.len() < component.len() + 40);
        }
    }
}
