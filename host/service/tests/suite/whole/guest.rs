//! A component in WAT that does what it is told: it asks again and again, by a checkpoint that the
//! test's own store of checkpoints answers.

use std::sync::Arc;

use crate::guest::EXPORTS;

/// Its type.
pub(crate) const TYPE: &str = "scripted";
/// Under this key it asks: it saves, and when that is answered it loads its [`Word`].
pub(crate) const ASKS: &str = "next";
/// For so long it waits when it asks for a pause.
pub(crate) const PAUSE_MS: i64 = 40;
/// How often a run of it is tried.
pub(crate) const ATTEMPTS: u32 = 3;
/// A run that is canceled has so long to end.
pub(crate) const GRACE_MS: i64 = 2_000;

/// What it is told, as the number of a checkpoint's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Word {
    /// Say how often it was told so, and ask again.
    Beat = 1,
    /// End with a result.
    Complete = 2,
    /// End with an error that is worth another try.
    FailAgain = 3,
    /// End with one that is not.
    FailForGood = 4,
    /// Do what WebAssembly forbids.
    Trap = 5,
    /// End because somebody wants a pause.
    Pause = 6,
}

/// The component.
pub(crate) fn component() -> Arc<[u8]> {
    let grace_ms = GRACE_MS;
    let descriptor = format!(
        r#"{{"id":"{TYPE}","version":"1.0.0","title":"Does what it is told","grace_ms":{grace_ms},
        "limits":{{"memory_mib":2,"wall_s":86400}},"retry":{{"attempts":{ATTEMPTS}}}}}"#
    );
    let length = descriptor.len();
    let descriptor = descriptor.replace('"', "\\22").replace('\n', " ");
    let code = code(&descriptor, length);
    let text = format!("(component {IMPORTS} {MEMORY} {code} {EXPORTS})");
    Arc::from(wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// What it takes of the host.
const IMPORTS: &str = r#"
    (type $types' (instance
        (type $error' (record
            (field "code" string) (field "message" string) (field "retryable" bool)
            (field "retry-after-ms" (option u64)) (field "details" (option string))))
        (export "error" (type (eq $error')))))
    (import "taskhost:task/types@1.0.0" (instance $types (type $types')))
    (alias export $types "error" (type $error))
    (type $progress' (instance
        (alias outer 1 $error (type $outer))
        (export "error" (type $error (eq $outer)))
        (export "report" (func (param "done" u64) (param "total" (option u64))
            (param "message" string) (result (result (error $error)))))))
    (import "taskhost:task/progress@1.0.0" (instance $progress (type $progress')))
    (type $state' (instance
        (alias outer 1 $error (type $outer))
        (export "error" (type $error (eq $outer)))
        (type $checkpoint' (record (field "value" (list u8)) (field "schema-version" u32)))
        (export "checkpoint" (type $checkpoint (eq $checkpoint')))
        (export "save" (func (param "key" string) (param "value" (list u8))
            (param "schema-version" u32) (result (result (error $error)))))
        (export "load" (func (param "key" string)
            (result (result (option $checkpoint) (error $error)))))))
    (import "taskhost:task/state@1.0.0" (instance $state (type $state')))
"#;

/// Its memory, and the host's functions over it. Nothing is freed: it asks some dozen times.
const MEMORY: &str = r#"
    (core module $memory'
        (memory (export "memory") 1)
        (global $free (mut i32) (i32.const 4096))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 15))
                (i32.const -16)))
            (global.get $free)
            (global.set $free (i32.add (global.get $free) (local.get 3)))))
    (core instance $memory (instantiate $memory'))
    (core func $report (canon lower (func $progress "report")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core func $save (canon lower (func $state "save")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core func $load (canon lower (func $state "load")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
"#;

/// What it may be told.
const WORDS: [Word; 5] = [
    Word::Beat,
    Word::Complete,
    Word::FailAgain,
    Word::FailForGood,
    Word::Pause,
];

/// Its two functions. Answers lie at 0 and those of the host at 64, the empty object at 512, the
/// key at 600, the code of a pause at 620, the descriptor at 1024.
fn code(descriptor: &str, length: usize) -> String {
    let key_length = ASKS.len();
    let [beat, complete, again, for_good, pause] = WORDS.map(|word| word as u32);
    format!(
        r#"
    (core module $guest'
        (import "memory" "memory" (memory 1))
        (import "host" "report" (func $report (param i64 i32 i64 i32 i32 i32)))
        (import "host" "save" (func $save (param i32 i32 i32 i32 i32 i32)))
        (import "host" "load" (func $load (param i32 i32 i32)))
        (data (i32.const 512) "{{}}")
        (data (i32.const 600) "{ASKS}")
        (data (i32.const 620) "rate-limited")
        (data (i32.const 1024) "{descriptor}")
        (func $ok (result i32)
            (i32.store8 (i32.const 0) (i32.const 0))
            (i32.store (i32.const 8) (i32.const 512))
            (i32.store (i32.const 12) (i32.const 2))
            (i32.const 0))
        (func $fail (param $code i32) (param $length i32) (param $again i32) (param $pause i32)
            (result i32)
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store (i32.const 8) (local.get $code))
            (i32.store (i32.const 12) (local.get $length))
            (i32.store (i32.const 16) (i32.const 512))
            (i32.store (i32.const 20) (i32.const 2))
            (i32.store8 (i32.const 24) (local.get $again))
            (i32.store8 (i32.const 32) (local.get $pause))
            (i64.store (i32.const 40) (i64.const {PAUSE_MS}))
            (i32.store8 (i32.const 48) (i32.const 0))
            (i32.const 0))
        (func (export "describe") (result i32)
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const {length}))
            (i32.const 0))
        (func (export "run") (param i32 i32) (result i32)
            (local $word i32) (local $said i64)
            (loop $on
                (call $save (i32.const 600) (i32.const {key_length})
                    (i32.const 512) (i32.const 2) (i32.const 0) (i32.const 64))
                (call $load (i32.const 600) (i32.const {key_length}) (i32.const 64))
                (if (i32.load8_u (i32.const 64)) (then (unreachable)))
                (local.set $word (i32.load (i32.const 84)))
                (if (i32.eq (local.get $word) (i32.const {beat})) (then
                    (local.set $said (i64.add (local.get $said) (i64.const 1)))
                    (call $report (local.get $said) (i32.const 0) (i64.const 0)
                        (i32.const 512) (i32.const 0) (i32.const 64))
                    (br $on))))
            (if (i32.eq (local.get $word) (i32.const {complete})) (then (return (call $ok))))
            (if (i32.eq (local.get $word) (i32.const {again})) (then
                (return (call $fail
                    (i32.const 512) (i32.const 2) (i32.const 1) (i32.const 0)))))
            (if (i32.eq (local.get $word) (i32.const {for_good})) (then
                (return (call $fail
                    (i32.const 512) (i32.const 2) (i32.const 0) (i32.const 0)))))
            (if (i32.eq (local.get $word) (i32.const {pause})) (then
                (return (call $fail
                    (i32.const 620) (i32.const 12) (i32.const 1) (i32.const 1)))))
            (unreachable)))
    (core instance $guest (instantiate $guest'
        (with "memory" (instance $memory))
        (with "host" (instance
            (export "report" (func $report))
            (export "save" (func $save))
            (export "load" (func $load))))))
"#
    )
}
