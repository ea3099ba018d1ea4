//! Where targets keep what they need between two inputs.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Compiled components, kept for the next time as the tests of the host do.
pub(crate) fn compiled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/tmp/compiled-for-fuzzing")
}

/// A folder of this thread's own, in memory where the system has one: each input writes to it.
pub(crate) fn own() -> TempDir {
    // Whoever runs a target for long says where, and clears it up.
    if std::env::var_os("TMPDIR").is_some() {
        return tempfile::tempdir().unwrap();
    }
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}
