//! What an author writes, and the macro that makes it a component.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clients::Clients;
use crate::descriptor::Descriptor;
use crate::error::Error;

/// A task type. [`export!`](crate::export) makes it a component.
///
/// ```
/// use taskhost_sdk::{Clients, Descriptor, Error, Task};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Numbers {
///     numbers: Vec<i64>,
/// }
///
/// #[derive(serde::Serialize, schemars::JsonSchema)]
/// struct Sum {
///     sum: i64,
/// }
///
/// struct Add;
///
/// impl Task for Add {
///     type Params = Numbers;
///     type Result = Sum;
///
///     fn descriptor() -> Descriptor {
///         Descriptor::new("add", "1.0.0").title("Add numbers")
///     }
///
///     fn run(params: Numbers, _: &Clients) -> Result<Sum, Error> {
///         Ok(Sum { sum: params.numbers.iter().sum() })
///     }
/// }
///
/// let sum = Add::run(Numbers { numbers: vec![1, 2] }, &Clients::new()).unwrap();
/// assert_eq!(sum.sum, 3);
/// ```
pub trait Task {
    /// What a task is scheduled with. Its schema is published, and checked before the task is
    /// accepted. Params that nevertheless do not fit fail the run with code `invalid`, and a
    /// message that names the field.
    type Params: DeserializeOwned + JsonSchema;

    /// What it results in. Its schema is published, and checked by the host.
    type Result: Serialize + JsonSchema;

    /// What the type says about itself. Called once, when the component is uploaded, in an
    /// instance of its own: clients answer `denied` there.
    fn descriptor() -> Descriptor;

    /// Does the work.
    ///
    /// # Errors
    /// What the run fails with: errors of clients, or the task's own.
    fn run(params: Self::Params, clients: &Clients) -> Result<Self::Result, Error>;
}

/// Makes a [`Task`] the one that this crate's component exports. Once in a crate of the kind
/// `cdylib`; built for another target than WebAssembly it exports nothing.
///
/// ```
/// use taskhost_sdk::{Clients, Descriptor, Error, Task};
///
/// struct Nothing;
///
/// impl Task for Nothing {
///     type Params = ();
///     type Result = ();
///
///     fn descriptor() -> Descriptor {
///         Descriptor::new("nothing", "1.0.0")
///     }
///
///     fn run(_: (), _: &Clients) -> Result<(), Error> {
///         Ok(())
///     }
/// }
///
/// taskhost_sdk::export!(Nothing);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    ($task:ty) => {
        // Full paths and an odd name: the author's own names must not be shadowed.
        const _: () = {
            struct TaskhostComponent;

            impl $crate::bindings::exports::taskhost::task::task::Guest for TaskhostComponent {
                fn describe() -> ::std::string::String {
                    $crate::component::describe::<$task>()
                }

                fn run(
                    params: ::std::string::String,
                ) -> ::std::result::Result<
                    ::std::string::String,
                    $crate::bindings::taskhost::task::types::Error,
                > {
                    $crate::component::run::<$task>(&params)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::bindings::export! { TaskhostComponent with_types_in $crate::bindings }

            #[cfg(not(target_family = "wasm"))]
            #[allow(
                dead_code,
                reason = "natively nothing is exported, and still it is not unused"
            )]
            fn natively() {
                let _ = $crate::component::describe::<$task>;
                let _ = $crate::component::run::<$task>;
            }
        };
    };
}
