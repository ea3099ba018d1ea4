//! Small components in WAT: one core module behind the contract's two functions.

use std::sync::Arc;

/// A component whose `describe` and `run` have these bodies. Each returns the address of its
/// answer. `run` is handed the address and length of its params.
///
/// There are `$memory` (one page), `$ok` (answers a text as `run`'s result), `$sleep`,
/// `$cancel_requested`, `$log`, and of WASI `$subscribe` (a pollable after so many nanoseconds)
/// and `$poll`.
pub(crate) fn component(fields: &str, describe: &str, run: &str) -> Arc<[u8]> {
    let text = format!(
        r#"(component
    {IMPORTS}
    (core module $memory'
        (memory (export "memory") 1)
        (global $free (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 15))
                (i32.const -16)))
            (global.get $free)
            (global.set $free (i32.add (global.get $free) (local.get 3)))))
    (core instance $memory (instantiate $memory'))
    (core func $sleep (canon lower (func $context "sleep")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core func $cancel_requested (canon lower (func $context "cancel-requested")))
    (core func $log (canon lower (func $log "log")
        (memory (core memory $memory "memory"))))
    (core func $subscribe (canon lower (func $clock "subscribe-duration")))
    (core func $poll (canon lower (func $poll "poll")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core module $guest'
        (import "memory" "memory" (memory 1))
        (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
        (import "host" "poll" (func $poll (param i32 i32 i32)))
        (import "host" "sleep" (func $sleep (param i64 i32)))
        (import "host" "cancel-requested" (func $cancel_requested (result i32)))
        (import "host" "log" (func $log (param i32 i32 i32 i32 i32 i32)))
        (func $ok (param $at i32) (param $length i32) (result i32)
            (i32.store (i32.const 0) (i32.const 0))
            (i32.store (i32.const 8) (local.get $at))
            (i32.store (i32.const 12) (local.get $length))
            (i32.const 0))
        (data (i32.const 512) "{{}}")
        {fields}
        (func (export "describe") (result i32) {describe})
        (func $its_run (export "run") (param $params i32) (param $length i32) (result i32) {run}))
    (core instance $guest (instantiate $guest'
        (with "memory" (instance $memory))
        (with "host" (instance
            (export "subscribe" (func $subscribe))
            (export "poll" (func $poll))
            (export "sleep" (func $sleep))
            (export "cancel-requested" (func $cancel_requested))
            (export "log" (func $log))))))
    (func $describe (result string)
        (canon lift (core func $guest "describe") (memory (core memory $memory "memory"))))
    (func $run (param "params" string) (result (result string (error $error)))
        (canon lift (core func $guest "run")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (instance $task (export "describe" (func $describe)) (export "run" (func $run)))
    (export "taskhost:task/task@1.0.0" (instance $task)))"#
    );
    Arc::from(wat::parse_str(text).unwrap())
}

/// What every component here imports.
const IMPORTS: &str = r#"
    (type $types' (instance
        (type $error' (record
            (field "code" string) (field "message" string) (field "retryable" bool)
            (field "retry-after-ms" (option u64)) (field "details" (option string))))
        (export "error" (type (eq $error')))))
    (import "taskhost:task/types@1.0.0" (instance $types (type $types')))
    (alias export $types "error" (type $error))
    (type $context' (instance
        (alias outer 1 $error (type $outer))
        (export "error" (type $error (eq $outer)))
        (export "cancel-requested" (func (result bool)))
        (export "sleep" (func (param "ms" u64) (result (result (error $error)))))))
    (import "taskhost:task/context@1.0.0" (instance $context (type $context')))

    (type $log' (instance
        (type $level' (enum "trace" "debug" "info" "warn" "error"))
        (export "level" (type $level (eq $level')))
        (export "log" (func (param "level" $level) (param "message" string)
            (param "fields" (option string))))))
    (import "taskhost:task/log@1.0.0" (instance $log (type $log')))

    (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $pollable' (sub resource)))
        (export "poll" (func (param "in" (list (borrow $pollable'))) (result (list u32))))))
    (alias export $poll "pollable" (type $pollable))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $pollable (eq $outer)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
"#;

/// A component that only runs.
pub(crate) fn runs(fields: &str, run: &str) -> Arc<[u8]> {
    component(fields, DESCRIBES_NOTHING, run)
}

/// Answers `{}`.
pub(crate) const COMPLETES: &str = "(call $ok (i32.const 512) (i32.const 2))";

/// Says `{}` of itself.
pub(crate) const DESCRIBES_NOTHING: &str = "(i32.store (i32.const 0) (i32.const 512)) \
     (i32.store (i32.const 4) (i32.const 2)) (i32.const 0)";
