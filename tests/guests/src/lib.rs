//! What the guests in `examples/` share: a macro for those that are tasks like any other, and one
//! for those that say things which the kit would never say.

pub mod raw;

pub use taskhost_sdk;

/// A task type from an id, a type of params and a function that runs on them and answers any JSON.
/// A last argument changes the descriptor.
///
/// ```
/// use serde_json::{Value, json};
/// use taskhost_sdk::{Clients, Error};
///
/// fn run(_: (), _: &Clients) -> Result<Value, Error> {
///     Ok(json!({}))
/// }
///
/// taskhost_guests::guest!("nothing", (), run, |descriptor| descriptor.grace_ms(100));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! guest {
    ($id:literal, $params:ty, $run:path) => {
        $crate::guest!($id, $params, $run, |descriptor| descriptor);
    };
    ($id:literal, $params:ty, $run:path, |$descriptor:ident| $change:expr) => {
        struct Guest;

        impl $crate::taskhost_sdk::Task for Guest {
            type Params = $params;
            type Result = ::serde_json::Value;

            fn descriptor() -> $crate::taskhost_sdk::Descriptor {
                let $descriptor = $crate::taskhost_sdk::Descriptor::new($id, "1.0.0");
                $change
            }

            fn run(
                params: $params,
                clients: &$crate::taskhost_sdk::Clients,
            ) -> Result<::serde_json::Value, $crate::taskhost_sdk::Error> {
                $run(params, clients)
            }
        }

        $crate::taskhost_sdk::export!(Guest);
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Each guest is a file, is built as a component, and the README says how it must end.
    #[test]
    fn every_guest_is_built_and_described() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let stems = |within: &str| -> BTreeSet<String> {
            let entries = fs::read_dir(folder.join(within)).unwrap();
            let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
            entries.map(|entry| stem(entry.unwrap().path())).collect()
        };
        let mut files = stems("examples");
        let named = |file: &str, before: &str, after: char| -> BTreeSet<String> {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            let lines = text.lines().filter_map(|line| line.strip_prefix(before));
            lines
                .map(|rest| rest.split(after).next().unwrap().to_owned())
                .collect()
        };
        let mut built = named("Cargo.toml", "name = \"", '"');
        assert!(built.remove("taskhost-guests"));
        assert_eq!(built, files);
        files.append(&mut stems("wat"));
        assert_eq!(named("README.md", "| `", '`'), files);
    }
}
