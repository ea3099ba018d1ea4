//! What threads share is made of these. `tests/threads` has the files that use them a second
//! time, with shuttle's behind the same names.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize};
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};
