//! What a component says of itself, and what its schemas say of values.
//!
//! The first line of an input is the answer of `describe`; the others are params and results.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use taskhost_clients::json;
use taskhost_clients::schema::Schema;
use taskhost_model::descriptor::{Bounds, Descriptor, JSON_DEPTH_MAX};
use taskhost_service::error::FieldError;

use crate::contract;
use crate::exactness::depth;

/// What `describe` may answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The stack of the threads that serve: what is not slow is done there.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// The stack of a thread for what is.
const SLOW_STACK_BYTES: usize = 8 * 1024 * 1024;
/// CPU time of any one step. A fuzzer's inputs are small, and its programs are slow.
const STEP_CPU_MAX: Duration = Duration::from_secs(3);
const VALUES_MAX: usize = 16;
const MISTAKES_MAX: usize = 20;
/// A mistake's place, or its problem.
const WORDS_BYTES_MAX: usize = 2_000;

/// Reads the descriptor; then checks the values where there are schemas.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let answer = lines.next().unwrap_or_default();
    if answer.len() > ANSWER_BYTES_MAX || json::check(answer).is_err() {
        return;
    }
    let bounds = Bounds::default();
    match Descriptor::parse(answer, &bounds) {
        Err(mistakes) => assert!(!mistakes.is_empty() && mistakes.len() < 100),
        Ok(descriptor) => {
            is_within(&descriptor, &bounds);
            let written = serde_json::to_string(&descriptor).unwrap();
            let read = Descriptor::parse(&written, &bounds);
            assert_eq!(read.as_ref(), Ok(&descriptor), "{written}");
            let schemas = [&descriptor.params_schema, &descriptor.result_schema];
            let compiled = schemas.into_iter().flatten().map(compiled);
            let compiled: Vec<Option<Schema>> = compiled.collect();
            if compiled.iter().all(Option::is_some) {
                contract::check("descriptor.json", &without_nulls(answer));
            }
            for value in lines.take(VALUES_MAX).filter_map(value) {
                for schema in compiled.iter().flatten() {
                    checked(schema, &value);
                }
            }
        }
    }
}

/// The descriptor as it was written; a key without a value counts as left out.
fn without_nulls(answer: &str) -> Value {
    let mut written: Value = serde_json::from_str(answer).unwrap();
    if let Some(keys) = written.as_object_mut() {
        keys.retain(|_, value| !value.is_null());
        for part in keys.values_mut().filter_map(Value::as_object_mut) {
            part.retain(|key, value| key != "no_progress_s" || !value.is_null());
        }
    }
    written
}

fn is_within(descriptor: &Descriptor, bounds: &Bounds) {
    let limits = &descriptor.limits;
    for (asked, most) in [
        (limits.memory_mib, bounds.memory_mib),
        (limits.cpu_ms, bounds.cpu_ms),
        (limits.wall_s, bounds.wall_s),
        (limits.output_kib, bounds.output_kib),
        (descriptor.retry.attempts.into(), bounds.attempts.into()),
    ] {
        assert!((1..=most).contains(&asked), "{descriptor:?}");
    }
    assert!(descriptor.grace_ms <= bounds.grace_ms);
}

/// A value as a request or a run brings it: what is deeper is refused before.
fn value(line: &str) -> Option<Value> {
    json::check(line).ok()?;
    let value: Value = serde_json::from_str(line).unwrap();
    assert!(depth(&value) <= JSON_DEPTH_MAX, "{line}");
    Some(value)
}

fn compiled(schema: &Value) -> Option<Schema> {
    match on_stack(STACK_BYTES, || Schema::compile(schema)) {
        Ok(schema) => Some(schema),
        Err(why) => {
            assert!(!why.is_empty() && why.len() <= WORDS_BYTES_MAX, "{why}");
            None
        }
    }
}

fn checked(schema: &Schema, value: &Value) {
    let stack_bytes = match schema.is_slow_for(value) {
        true => SLOW_STACK_BYTES,
        false => STACK_BYTES,
    };
    let mistakes = on_stack(stack_bytes, || schema.mistakes("params", value));
    assert!(mistakes.len() <= MISTAKES_MAX);
    for FieldError { field, problem } in &mistakes {
        assert!(field.starts_with("params"), "{field}");
        assert!(field.len() <= WORDS_BYTES_MAX && problem.len() <= WORDS_BYTES_MAX);
        assert!(!problem.is_empty());
    }
}

/// Does `work` where the host does it, and sees to what it takes.
fn on_stack<T: Send>(stack_bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|threads| {
        let timed = || {
            let done = work();
            let took = clock_gettime(ClockId::ThreadCPUTime);
            let nanoseconds = u32::try_from(took.tv_nsec).unwrap_or_default();
            let took = Duration::new(took.tv_sec.unsigned_abs(), nanoseconds);
            assert!(took <= STEP_CPU_MAX, "it took {took:?}");
            done
        };
        let thread = std::thread::Builder::new().stack_size(stack_bytes);
        let thread = thread.spawn_scoped(threads, timed).unwrap();
        thread.join().unwrap()
    })
}
