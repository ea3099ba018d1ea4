//! A component in WAT that ends as its params say: one digit.

use std::sync::Arc;
use std::time::Duration;

/// Without a living host for so long, a run of it is stale.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(60);
/// Completes.
pub(crate) const COMPLETES: u8 = 1;
/// Says something, then waits until it is stopped.
pub(crate) const WAITS: u8 = 2;
/// Fails, and asks to be tried again.
pub(crate) const FAILS: u8 = 3;
/// Traps.
pub(crate) const TRAPS: u8 = 4;
/// All of them.
pub(crate) const KINDS: [u8; 4] = [COMPLETES, WAITS, FAILS, TRAPS];
/// Counts the documents of [`STREAM`]; not among those, since it needs a stream.
pub(crate) const COUNTS: u8 = 5;
/// Counts them, and traps unless it is answered.
pub(crate) const READS: u8 = 6;
/// Counts them again and again until it may not, and completes when it is told that it is denied.
pub(crate) const READS_ON: u8 = 7;
/// Spawns a child that does [`READS`], then waits until it is stopped; traps if it may not.
pub(crate) const SPAWNS: u8 = 8;

/// Its type.
pub(crate) const TYPE: &str = "worker";
/// The stream that it can count.
pub(crate) const STREAM: &str = "logs.test";

/// A version of it. What its runs may take is far more than a test has.
pub(crate) fn component(version: u32) -> Arc<[u8]> {
    of_type(TYPE, version, "")
}

/// The same of another type; `more` are further keys of its descriptor, with a comma after each.
pub(crate) fn of_type(type_id: &str, version: u32, more: &str) -> Arc<[u8]> {
    let descriptor = format!(
        r#"{{"id":"{type_id}","version":"1.0.{version}","title":"Works","grace_ms":200,{more}
        "stale_after_s":60,"limits":{{"memory_mib":2,"wall_s":80000}},"retry":{{"attempts":3}}}}"#
    );
    described(&descriptor, "")
}

/// One that computes for ever when it is asked what it is.
pub(crate) fn never_described() -> Arc<[u8]> {
    described("{}", "(loop $for_ever (br $for_ever))")
}

/// `first` is what it does before it says what it is.
fn described(descriptor: &str, first: &str) -> Arc<[u8]> {
    let length = descriptor.len();
    let descriptor = descriptor.replace('"', "\\22").replace('\n', " ");
    let code = code(&descriptor, length, first);
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
    (type $streams' (instance
        (alias outer 1 $error (type $outer))
        (export "error" (type $error (eq $outer)))
        (export "count" (func (param "name" string) (param "query" string)
            (result (result string (error $error)))))))
    (import "taskhost:task/streams@1.0.0" (instance $streams (type $streams')))
    (type $children' (instance
        (alias outer 1 $error (type $outer))
        (export "error" (type $error (eq $outer)))
        (export "spawn" (func (param "key" string) (param "task-type" string)
            (param "params" string) (param "options" (option string))
            (result (result string (error $error)))))))
    (import "taskhost:task/children@1.0.0" (instance $children (type $children')))
"#;

/// What a component of a test gives the host.
pub(crate) const EXPORTS: &str = r#"
    (func $describe (result string)
        (canon lift (core func $guest "describe") (memory (core memory $memory "memory"))))
    (func $run (param "params" string) (result (result string (error $error)))
        (canon lift (core func $guest "run")
            (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (instance $task (export "describe" (func $describe)) (export "run" (func $run)))
    (export "taskhost:task/task@1.0.0" (instance $task))
"#;

/// Its memory, and the host's functions over it.
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
    (core func $sleep (canon lower (func $context "sleep")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core func $log (canon lower (func $log "log") (memory (core memory $memory "memory"))))
    (core func $count (canon lower (func $streams "count")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
    (core func $spawn (canon lower (func $children "spawn")
        (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))
"#;

/// How `run` ends well, and with an error that is worth another try.
const ENDS: &str = "
        (func $ok (result i32)
            (i32.store8 (i32.const 0) (i32.const 0))
            (i32.store (i32.const 8) (i32.const 512))
            (i32.store (i32.const 12) (i32.const 2))
            (i32.const 0))
        (func $again (result i32)
            (i32.store8 (i32.const 0) (i32.const 1))
            (i32.store (i32.const 8) (i32.const 512))
            (i32.store (i32.const 12) (i32.const 2))
            (i32.store (i32.const 16) (i32.const 512))
            (i32.store (i32.const 20) (i32.const 2))
            (i32.store8 (i32.const 24) (i32.const 1))
            (i32.store8 (i32.const 32) (i32.const 0))
            (i32.store8 (i32.const 48) (i32.const 0))
            (i32.const 0))
";

/// Its two functions. Answers lie at 0, the empty object at 512, what is counted at 600, the
/// descriptor at 1024.
fn code(descriptor: &str, length: usize, first: &str) -> String {
    let (name_length, query_length) = (STREAM.len(), r#"{"from":0,"to":9}"#.len());
    let (type_length, params_at) = (TYPE.len(), 800 + TYPE.len());
    format!(
        r#"
    (core module $guest'
        (import "memory" "memory" (memory 1))
        (import "host" "sleep" (func $sleep (param i64 i32)))
        (import "host" "log" (func $log (param i32 i32 i32 i32 i32 i32)))
        (import "host" "count" (func $count (param i32 i32 i32 i32 i32)))
        (import "host" "spawn"
            (func $spawn (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
        (data (i32.const 512) "{{}}")
        (data (i32.const 600) "{STREAM}")
        (data (i32.const 700) "{{\22from\22:0,\22to\22:9}}")
        (data (i32.const 800) "{TYPE}{READS}")
        (data (i32.const 1024) "{descriptor}")
        {ENDS}
        (func (export "describe") (result i32)
            {first}
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const {length}))
            (i32.const 0))
        (func (export "run") (param $params i32) (param $length i32) (result i32)
            (local $kind i32)
            (local.set $kind (i32.sub (i32.load8_u (local.get $params)) (i32.const 48)))
            (if (i32.eq (local.get $kind) (i32.const {WAITS})) (then
                (call $log (i32.const 2) (i32.const 512) (i32.const 2)
                    (i32.const 0) (i32.const 0) (i32.const 0))
                (call $sleep (i64.const 100000000) (i32.const 64))))
            (if (i32.eq (local.get $kind) (i32.const {COUNTS})) (then
                (call $count (i32.const 600) (i32.const {name_length})
                    (i32.const 700) (i32.const {query_length}) (i32.const 64))))
            (if (i32.eq (local.get $kind) (i32.const {READS})) (then
                (call $count (i32.const 600) (i32.const {name_length})
                    (i32.const 700) (i32.const {query_length}) (i32.const 64))
                (if (i32.load8_u (i32.const 64)) (then (unreachable)))))
            (if (i32.eq (local.get $kind) (i32.const {SPAWNS})) (then
                (call $spawn (i32.const 800) (i32.const 1) (i32.const 800) (i32.const {type_length})
                    (i32.const {params_at}) (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
                (if (i32.load8_u (i32.const 64)) (then (unreachable)))
                (call $sleep (i64.const 100000000) (i32.const 64))))
            (if (i32.eq (local.get $kind) (i32.const {READS_ON})) (then
                (loop $on
                    (call $sleep (i64.const 5) (i32.const 64))
                    (call $count (i32.const 600) (i32.const {name_length})
                        (i32.const 700) (i32.const {query_length}) (i32.const 64))
                    (br_if $on (i32.eqz (i32.load8_u (i32.const 64)))))
                (if (i32.ne (i32.load8_u (i32.load (i32.const 72))) (i32.const 100))
                    (then (unreachable)))))
            (if (i32.eq (local.get $kind) (i32.const {FAILS})) (then (return (call $again))))
            (if (i32.eq (local.get $kind) (i32.const {TRAPS})) (then (unreachable)))
            (call $ok)))
    (core instance $guest (instantiate $guest'
        (with "memory" (instance $memory))
        (with "host" (instance
            (export "sleep" (func $sleep))
            (export "log" (func $log))
            (export "count" (func $count))
            (export "spawn" (func $spawn))))))
"#
    )
}
