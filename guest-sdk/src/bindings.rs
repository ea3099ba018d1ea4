//! The generated bindings of world `task-type`, and the one place that says no natively.
//!
//! Task types do not need them. They are public because [`export!`](crate::export) expands to
//! them in the task's crate, and for the rare task that has to say something that the typed words
//! do not.

#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    clippy::needless_pass_by_value,
    clippy::panic,
    reason = "generated from wit/v1/task.wit; the panic is what is said natively"
)]

wit_bindgen::generate!({
    path: "../wit/v1",
    world: "task-type",
    pub_export_macro: true,
    default_bindings_module: "taskhost_sdk::bindings",
});

/// Panics where there is no host: the generated stubs would end without a reason.
#[inline]
pub(crate) fn ask_host(_call: &str) {
    #[cfg(not(target_family = "wasm"))]
    panic!(
        "`{_call}` asks the host, and there is none here: this runs natively. Test what needs no \
         host, and the rest with the component in a host"
    );
}
