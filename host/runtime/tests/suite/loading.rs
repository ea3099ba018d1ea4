//! From the bytes of an upload to a component that says what it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taskhost_clients::run::RunClients;
use taskhost_model::error::ErrorKind;
use taskhost_model::ids::Digest;
use taskhost_runtime::{
    CompileCommand, LoadError, RunFailure, Runtime, RuntimeSettings, compile_child,
};

use crate::bench::{MIB, digest, guest, guest_bytes, load, runtime, settings};
use crate::wat;

/// Tells the test program that it is to compile, and where to.
const COMPILE_INTO: &str = "TASKHOST_TEST_COMPILE_INTO";

fn compiling_with(cache_dir: &Path, program: &str, args: &[&str]) -> Runtime {
    let args = args.iter().map(OsString::from).collect();
    let compile = Some(CompileCommand {
        program: PathBuf::from(program),
        args,
    });
    let settings = RuntimeSettings {
        compile,
        runs_max: 8,
        ..RuntimeSettings::new(cache_dir.to_owned())
    };
    Runtime::start(settings).unwrap()
}

/// The process that compiles is this test program, told to run this test alone.
#[test]
fn compiles_when_it_is_told_to() {
    if let Some(cache_dir) = std::env::var_os(COMPILE_INTO) {
        let compiled = compile_child(Path::new(&cache_dir), std::io::stdin());
        if let Err(reason) = compiled {
            eprintln!("{reason}");
            std::process::exit(1);
        }
    }
}

fn compiling_here(cache_dir: &Path) -> Runtime {
    let into = format!("{COMPILE_INTO}={}", cache_dir.display());
    let this = std::env::current_exe().unwrap();
    let test = "loading::compiles_when_it_is_told_to";
    let args = [
        &into,
        this.to_str().unwrap(),
        "--exact",
        test,
        "--nocapture",
    ];
    compiling_with(cache_dir, "/usr/bin/env", &args)
}

#[tokio::test]
async fn the_host_finds_what_its_child_has_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = compiling_here(dir.path());
    let bytes = wat::runs("", wat::COMPLETES);
    let component = runtime.load(&digest(), Arc::clone(&bytes)).await.unwrap();
    assert_eq!(runtime.describe(&component).await.unwrap(), "{}");
    assert_eq!(runtime.compiled_here(), 0, "the host has compiled it again");
    // Without a child the host has to compile, and that is seen.
    let other = wat::runs("(global i32 (i32.const 7))", wat::COMPLETES);
    let fresh = tempfile::tempdir().unwrap();
    let runtime = Runtime::start(RuntimeSettings::new(fresh.path().to_owned())).unwrap();
    runtime.load(&digest(), other).await.unwrap();
    assert_eq!(runtime.compiled_here(), 1);
}

#[tokio::test]
async fn what_was_compiled_before_needs_no_child() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = wat::runs("(global i32 (i32.const 9))", wat::COMPLETES);
    let first = compiling_here(dir.path());
    first.load(&digest(), Arc::clone(&bytes)).await.unwrap();
    drop(first);
    let second = compiling_with(dir.path(), "/nonexistent", &[]);
    let component = second.load(&digest(), Arc::clone(&bytes)).await.unwrap();
    assert_eq!(second.describe(&component).await.unwrap(), "{}");
    assert_eq!(second.compiled_here(), 0, "the host has compiled it again");
    // Nor when the cache has lost the code: then the host compiles.
    // Moved, not removed: the cache's own thread may be writing its counts into it.
    std::fs::rename(dir.path().join("modules"), dir.path().join("lost")).unwrap();
    let third = compiling_with(dir.path(), "/nonexistent", &[]);
    third.load(&digest(), Arc::clone(&bytes)).await.unwrap();
    assert_eq!(third.compiled_here(), 1);
    // Another component is not known by it.
    let other = Digest::parse(&"b".repeat(64)).unwrap();
    let error = third.load(&other, bytes).await.unwrap_err();
    assert!(matches!(error, LoadError::Internal { .. }), "{error}");
}

/// The child of the component that is compiled never ends by itself.
#[tokio::test]
async fn what_was_compiled_before_does_not_wait_behind_a_compilation() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = wat::runs("(global i32 (i32.const 11))", wat::COMPLETES);
    let first = compiling_here(dir.path());
    first.load(&digest(), Arc::clone(&bytes)).await.unwrap();
    let started = dir.path().join("started");
    let script = format!("echo > {}; kill -STOP $$", started.display());
    let second = Arc::new(compiling_with(dir.path(), "/bin/sh", &["-c", &script]));
    let other = Digest::parse(&"b".repeat(64)).unwrap();
    let (compiling, its_bytes) = (Arc::clone(&second), Arc::clone(&bytes));
    let waiting = tokio::spawn(async move { compiling.load(&other, its_bytes).await });
    while !started.exists() {
        tokio::task::yield_now().await;
    }
    second.load(&digest(), bytes).await.unwrap();
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn code_that_cannot_be_kept_is_no_fault_of_the_component() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = compiling_here(dir.path());
    // Where the cache wants a folder there is a file.
    std::fs::write(dir.path().join("modules"), "").unwrap();
    let bytes = wat::runs("(global i32 (i32.const 13))", wat::COMPLETES);
    let component = runtime.load(&digest(), bytes).await.unwrap();
    assert_eq!(runtime.describe(&component).await.unwrap(), "{}");
}

#[tokio::test]
async fn a_child_that_dies_is_a_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = wat::runs("", wat::COMPLETES);
    let cases = [
        ("kill -XCPU $$", "120 s of CPU time"),
        ("kill -KILL $$", "120 s of CPU time, or what memory"),
        ("kill -SEGV $$", "brings the compiler down (signal 11)"),
        (
            "echo memory allocation of 99 bytes failed >&2; kill -ABRT $$",
            "2 GiB of memory",
        ),
        ("echo Cannot allocate memory >&2; exit 1", "2 GiB of memory"),
        (
            "echo function 7 is too large >&2; exit 1",
            "function 7 is too large",
        ),
    ];
    for (script, words) in cases {
        let runtime = compiling_with(dir.path(), "/bin/sh", &["-c", script]);
        let error = runtime
            .load(&digest(), Arc::clone(&bytes))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(words), "{script}: {error}");
    }
    let runtime = compiling_with(dir.path(), "/nonexistent", &[]);
    let error = runtime.load(&digest(), bytes).await.unwrap_err();
    assert!(matches!(error, LoadError::Internal { .. }), "{error}");
}

#[tokio::test]
async fn functions_of_other_types_are_refused() {
    let text = r#"(component
        (import "taskhost:task/context@1.0.0" (instance
            (export "attempt" (func (result string)))))
        (core module $m (func (export "f") (result i32) unreachable) (memory (export "m") 1))
        (core instance $i (instantiate $m))
        (func $describe (result string)
            (canon lift (core func $i "f") (memory (core memory $i "m"))))
        (instance $task (export "describe" (func $describe)))
        (export "taskhost:task/task@1.0.0" (instance $task)))"#;
    let bytes: Arc<[u8]> = Arc::from(::wat::parse_str(text).unwrap());
    let runtime = runtime();
    runtime.check(&bytes).unwrap();
    let error = runtime.load(&digest(), bytes).await.unwrap_err();
    assert!(matches!(error, LoadError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("attempt"), "{error}");
}

#[tokio::test]
async fn a_task_of_other_types_is_refused() {
    let runtime = runtime();
    for (describe, run, name) in [
        (
            "(result u32)",
            r#"(param "params" string) (result (result string))"#,
            "describe",
        ),
        (
            "(result string)",
            r#"(param "params" string) (result string)"#,
            "run",
        ),
    ] {
        let text = format!(
            r#"(component
            (core module $m
                (memory (export "m") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
                (func (export "describe") (result i32) unreachable)
                (func (export "run") (param i32 i32) (result i32) unreachable))
            (core instance $i (instantiate $m))
            (func $describe {describe}
                (canon lift (core func $i "describe") (memory (core memory $i "m"))))
            (func $run {run} (canon lift (core func $i "run") (memory (core memory $i "m"))
                (realloc (core func $i "realloc"))))
            (instance $task (export "describe" (func $describe)) (export "run" (func $run)))
            (export "taskhost:task/task@1.0.0" (instance $task)))"#
        );
        let bytes: Arc<[u8]> = Arc::from(::wat::parse_str(text).unwrap());
        runtime.check(&bytes).unwrap();
        let error = runtime.load(&digest(), bytes).await.unwrap_err();
        assert!(matches!(error, LoadError::Refused { .. }), "{error}");
        assert!(
            error.to_string().contains(&format!("another `{name}`")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn what_does_not_fit_a_slot_is_refused() {
    let runtime = runtime();
    for fields in [
        "(memory 1)".repeat(9),
        "(table 1 funcref)".repeat(40),
        "(table 200000 funcref)".to_owned(),
    ] {
        let bytes = wat::runs(&fields, wat::COMPLETES);
        runtime.check(&bytes).unwrap();
        let error = runtime.load(&digest(), bytes).await.unwrap_err();
        assert!(matches!(error, LoadError::Refused { .. }), "{error}");
    }
}

#[tokio::test]
async fn every_guest_passes_the_check() {
    let runtime = runtime();
    for name in ["spin", "hostile-calls", "opens-things", "streams-reader"] {
        runtime.check(&guest_bytes(name)).unwrap();
    }
}

#[tokio::test]
async fn a_guest_says_what_it_is() {
    let runtime = runtime();
    let component = guest(&runtime, "spin").await;
    let descriptor = runtime.describe(&component).await.unwrap();
    let descriptor: serde_json::Value = serde_json::from_str(&descriptor).unwrap();
    assert_eq!(descriptor["id"], "spin");
}

#[tokio::test]
async fn describe_is_limited() {
    let runtime = runtime();
    let cases = [
        ("loops-in-describe", ErrorKind::OutOfCpu, "2000 ms"),
        ("panics-in-describe", ErrorKind::Trap, "panicked: "),
        ("huge-descriptor", ErrorKind::InvalidResult, "262144"),
    ];
    for (name, kind, words) in cases {
        let component = guest(&runtime, name).await;
        let failure = runtime.describe(&component).await.unwrap_err();
        assert_eq!(failure.0.kind, kind, "{name}: {failure}");
        assert!(failure.to_string().contains(words), "{name}: {failure}");
        assert!(
            !failure.to_string().contains("descriptor"),
            "{name}: {failure}"
        );
    }
}

/// The upload can do nothing for it, and may go well later.
#[tokio::test]
async fn what_describes_itself_shares_the_memory_of_all() {
    let describe = format!(
        "(if (i32.eq (memory.grow (i32.const 2000)) (i32.const -1)) (then unreachable)) {}",
        wat::DESCRIBES_NOTHING
    );
    let bytes = wat::component("", &describe, "unreachable");
    for (memory_bytes_max, has_room) in [(64 * MIB, false), (256 * MIB, true)] {
        let settings = RuntimeSettings {
            memory_bytes_max,
            ..settings()
        };
        let runtime = Runtime::start(settings).unwrap();
        let component = load(&runtime, Arc::clone(&bytes)).await;
        match runtime.describe(&component).await {
            Ok(_) => assert!(has_room),
            Err(RunFailure(error)) => {
                assert_eq!((error.kind, has_room), (ErrorKind::Internal, false));
                assert!(error.message.contains("64 MiB"), "{}", error.message);
            }
        }
    }
}

#[tokio::test]
async fn describe_is_granted_nothing() {
    let runtime = runtime();
    // Answers `{}` when its sleep was refused, and traps otherwise.
    let describe = "(call $sleep (i64.const 1) (i32.const 16))
        (if (i32.eqz (i32.load8_u (i32.const 16))) (then unreachable))
        (if (call $cancel_requested) (then unreachable))
        (i32.store (i32.const 0) (i32.const 512)) (i32.store (i32.const 4) (i32.const 2))
        (i32.const 0)";
    let component = load(&runtime, wat::component("", describe, "unreachable")).await;
    assert_eq!(runtime.describe(&component).await.unwrap(), "{}");

    let clients = RunClients::describing();
    assert!(clients.progress.report(1, None, "nobody hears it").is_ok());
    assert_eq!(clients.context.task_id(), "");
    let denied = clients.streams.count("logs", "{}").await.unwrap_err();
    assert_eq!(denied.code.as_str(), "denied");
    assert_eq!(
        clients
            .documents
            .open("features", None)
            .unwrap_err()
            .code
            .as_str(),
        "denied"
    );
}
