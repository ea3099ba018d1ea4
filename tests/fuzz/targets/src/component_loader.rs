//! What an upload passes: checked, compiled, asked what it is, kept. A component is either the
//! active version of its type after that, or has changed nothing and is explained.
//!
//! An input that begins with `S` is taken apart: a random core module, which may run when it is
//! instantiated, a descriptor, imports, and bytes that are flipped in what comes of it. Any other
//! is the component itself.

use std::sync::Arc;

use arbitrary::Unstructured;
use taskhost_model::descriptor::Bounds;
use taskhost_model::requester::Requester;
use taskhost_service::error::ServiceError;
use taskhost_service::types::{Pushed, TaskTypes};
use taskhost_store::components::VersionState;
use wasm_smith::{Config, Module};

use crate::host::{self, Host};
use crate::{explained, guest, pick};

/// A larger one takes too long to compile for a fuzzer.
const COMPONENT_BYTES_MAX: usize = 64 * 1024;
/// Loops and calls of the random code, all together.
const FUEL: u32 = 1_000;
/// As many mistakes as an author can do something with at once, and one of the host's own.
const MISTAKES_MAX: usize = 40;

/// Uploads the component, twice.
pub fn run(data: &[u8]) {
    let component = match data.split_first() {
        Some((b'S', rest)) => made(&mut Unstructured::new(rest)),
        _ => Some(data.to_vec()),
    };
    let Some(component) = component.filter(|bytes| bytes.len() <= COMPONENT_BYTES_MAX) else {
        return;
    };
    host::block_on(uploaded(Arc::from(component)));
}

async fn uploaded(component: Arc<[u8]>) {
    let (stores, clock) = host::empty();
    let host = Host::start(stores, clock).await;
    let types = &host.service.types;
    let by = Requester::single_user();
    match types.push(&by, Arc::clone(&component), None).await {
        Ok(pushed) => accepted(types, &pushed, component).await,
        Err(ServiceError::InvalidComponent { mistakes }) => {
            assert!((1..=MISTAKES_MAX).contains(&mistakes.len()), "{mistakes:?}");
            mistakes
                .iter()
                .for_each(|mistake| explained::check(mistake));
            assert_eq!(
                types.list(&by).await.unwrap().len(),
                0,
                "it changed something"
            );
            assert!(host.stores.components.list().await.unwrap().is_empty());
        }
        Err(error) => panic!("the host's own fault: {error}"),
    }
    host.end().await;
}

async fn accepted(types: &TaskTypes, pushed: &Pushed, component: Arc<[u8]>) {
    let by = Requester::single_user();
    assert!(pushed.created && pushed.state == VersionState::Active);
    let sentences = pushed.changes.iter().chain(&pushed.warnings);
    sentences.for_each(|sentence| explained::check(sentence));
    let view = types.get(&by, &pushed.type_id).await.unwrap();
    assert_eq!(view.active.as_ref(), Some(&pushed.digest));
    let bounds = Bounds::default();
    assert!((1..=bounds.memory_mib).contains(&view.limits.memory_mib));
    let again = types.push(&by, component, None).await.unwrap();
    assert_eq!((again.created, &again.digest), (false, &pushed.digest));
}

const TYPES: [&str; 6] = [
    r#"{"id":"a","version":"1","title":"A"}"#,
    r#"{"id":"a","version":"1","title":"A","params_schema":{"type":"object"}}"#,
    r#"{"id":"a","version":"1","title":"A","collections":["b"],"limits":{"cpu_ms":5}}"#,
    r#"{"id":"a","version":"1","title":"A","stream":"often"}"#,
    r#"{"id":"a","version":"1"}"#,
    r#"{"id":"a","version":"1","title":"A","params_schema":{"type":"x"}}"#,
];

const IMPORTS: [&str; 10] = [
    "",
    r#"(import "wasi:cli/environment@0.2.3" (instance))"#,
    r#"(import "taskhost:task/streams@1.0.4" (instance
        (export "count" (func (param "name" string)))))"#,
    r#"(import "taskhost:task/streams@1.0.0" (instance
        (export "watch" (func (param "name" string)))))"#,
    r#"(import "taskhost:task/siblings@1.0.0" (instance))"#,
    r#"(import "taskhost:task/log@9.0.0" (instance))"#,
    r#"(import "taskhost:task/progress@1.0.0" (instance (export "heartbeat" (func))))"#,
    r#"(import "acme:db/sql" (instance))"#,
    r#"(import "name" (func (param "a" u32)))"#,
    r#"(import "m" (core module (import "a" "b" (func))))"#,
];

/// A component of random parts; none where they do not fit.
fn made(u: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let imports = pick::one(u, &IMPORTS);
    let descriptor = if pick::sometimes(u, 3) {
        pick::text(u, 200)
    } else {
        descriptor(u)
    };
    let flips = flips(u);
    let component = wat::parse_str(guest::describing(&descriptor, imports)).ok()?;
    let mut component = guest::with_first_module(&component, &random_module(u)?);
    for (at, bits) in flips {
        let length = component.len();
        component[at % length] ^= bits;
    }
    Some(component)
}

/// One that is well, or has some of its bytes replaced.
fn descriptor(u: &mut Unstructured<'_>) -> String {
    let mut text = pick::one(u, &TYPES).as_bytes().to_vec();
    for _ in 0..pick::below(u, 3) {
        let at = pick::below(u, text.len());
        text[at] = u.arbitrary().unwrap_or_default();
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn flips(u: &mut Unstructured<'_>) -> Vec<(usize, u8)> {
    let count = pick::below(u, 4);
    let flip = |_| {
        let at = u.arbitrary::<u16>().unwrap_or_default();
        (usize::from(at), u.arbitrary().unwrap_or_default())
    };
    (0..count).map(flip).collect()
}

/// A core module without imports, of whatever WebAssembly has.
fn random_module(u: &mut Unstructured<'_>) -> Option<Vec<u8>> {
    let config = Config {
        max_imports: 0,
        max_memories: pick::below(u, 12),
        max_tables: pick::below(u, 40),
        max_funcs: 20,
        max_instructions: 200,
        memory64_enabled: pick::sometimes(u, 16),
        gc_enabled: pick::sometimes(u, 8),
        exceptions_enabled: pick::sometimes(u, 8),
        threads_enabled: pick::sometimes(u, 8),
        custom_page_sizes_enabled: pick::sometimes(u, 16),
        ..Config::default()
    };
    let mut module = Module::new(config, u).ok()?;
    // What cannot be limited so is ended by the host.
    module.ensure_termination(FUEL).ok();
    Some(module.to_bytes())
}
