//! Bindings of world `task-type` without the kit, for guests that break its promises.

#![allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    clippy::all,
    clippy::needless_pass_by_value,
    reason = "generated from wit/v1/task.wit"
)]

wit_bindgen::generate!({
    path: "../../wit/v1",
    world: "task-type",
    pub_export_macro: true,
    default_bindings_module: "taskhost_guests::raw",
});

/// A component from two functions, `fn() -> String` and `fn(String) -> Result<String, Error>`.
#[macro_export]
macro_rules! raw_guest {
    ($describe:path, $run:path) => {
        struct Guest;

        impl $crate::raw::exports::taskhost::task::task::Guest for Guest {
            fn describe() -> String {
                $describe()
            }

            fn run(params: String) -> Result<String, $crate::raw::taskhost::task::types::Error> {
                $run(params)
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::raw::export! { Guest with_types_in $crate::raw }

        #[cfg(not(target_family = "wasm"))]
        #[allow(
            dead_code,
            reason = "natively nothing is exported, and still it is not unused"
        )]
        fn natively() {
            let _: fn() -> String = $describe;
            let _ = $run;
        }
    };
}

use std::mem::ManuallyDrop;

use taskhost::task::documents::{Change, Collection, Put};

/// A second owner of the same handle, which a component must not have.
pub fn second_owner(collection: &Collection) -> Collection {
    // SAFETY: memory is not at stake, handles are indices that the host checks.
    unsafe { Collection::from_handle(collection.handle()) }
}

/// A handle that the host never gave out.
pub fn forged_collection() -> Collection {
    // SAFETY: memory is not at stake, handles are indices that the host checks.
    unsafe { Collection::from_handle(4_711) }
}

/// Changes that all have the same piece of memory for a body: the host gets it as often.
pub fn puts_of_one_body(body: &str, count: usize) -> ManuallyDrop<Vec<Change>> {
    let put = |n| {
        // SAFETY: it is only read while `body` is borrowed, and never dropped.
        let body =
            unsafe { String::from_raw_parts(body.as_ptr().cast_mut(), body.len(), body.len()) };
        Change::Put(Put {
            id: format!("d{n}"),
            body,
            if_version: None,
        })
    };
    ManuallyDrop::new((0..count).map(put).collect())
}
