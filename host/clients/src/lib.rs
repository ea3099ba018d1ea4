//! What a run may reach: its context, progress, log, stream and collections, bound to the
//! rights of whoever asked for it.
//!
//! # Guarantees
//! 1. Grants are checked before anything is touched; what was not granted answers `denied`.
//! 2. A hostile argument costs its caller an error and the host a bounded amount of work: JSON,
//!    rows and bytes have limits ([`caps`]).
//! 3. Once a run is asked to stop, whatever reads or waits answers `canceled` or `deadline`;
//!    what leaves things in order goes on working.
//! 4. Every call is counted.
//! 5. A run's writes carry its fence, so a run that lost its lease changes nothing.
//!
//! # Why this way
//! Arguments and answers are texts, as they come from a guest, and nothing here knows of
//! WebAssembly: each client is tested by calling it. What lies above (progress, log, the wish
//! to stop) is handed down as a value when the run is built.

pub mod error;
pub mod json;
pub mod encoded;
pub mod schema;
pub mod beside;
mod sync;
pub mod stop;
pub mod sink;
pub mod caps;
mod stillness;
pub mod virtual_time;
pub mod calls;
pub mod room;
mod scope;
pub mod context;
pub mod progress;
pub mod log;
mod request;
pub mod turns;
pub mod streams;
mod denied;
pub mod documents;
pub mod state;
mod tls;
mod lookups;
mod answer_head;
pub mod secrets;
pub mod http;
pub mod inference;
pub mod children;
pub mod run;
