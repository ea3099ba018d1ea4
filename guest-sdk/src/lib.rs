//! For authors of task types: a task is a Rust type with typed params and a typed result, and
//! this crate makes it a component that a taskhost loads while it runs.
//!
//! # Five minutes
//!
//! **1. A crate.** A task type is a library of the kind `cdylib`. `cargo new --lib count-text`
//! anywhere, then its whole `Cargo.toml`, with the path of your clone:
//!
//! ```toml
//! [package]
//! name = "count-text"
//! version = "0.1.0"
//! edition = "2024"
//!
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! taskhost-sdk = { path = "/path/to/taskhost/guest-sdk" }
//! schemars = "1.2.3"
//! serde = { version = "1.0.229", features = ["derive"] }
//!
//! # As small as the examples: components are sent around and compiled by the host.
//! [profile.release]
//! opt-level = 2
//! lto = "fat"
//! codegen-units = 1
//! panic = "abort"
//! strip = "debuginfo"         # names of functions stay, for the report of a trap
//! ```
//!
//! **2. A task.** Params and result are types of yours; the host checks every schedule and every
//! result against the schemas that are derived from them. The comments on their fields become
//! descriptions that people see.
//!
//! ```no_run
//! use taskhost_sdk::{Clients, Condition, Descriptor, Error, Moment, Query, Task};
//!
//! /// What to count.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Params {
//!     /// Start of the range.
//!     from: Moment,
//!     /// End of the range, itself not included.
//!     to: Moment,
//!     /// Text to look for.
//!     text: String,
//! }
//!
//! #[derive(serde::Serialize, schemars::JsonSchema)]
//! struct Found {
//!     documents: u64,
//! }
//!
//! struct CountText;
//!
//! impl Task for CountText {
//!     type Params = Params;
//!     type Result = Found;
//!
//!     fn descriptor() -> Descriptor {
//!         Descriptor::new("count-text", "1.0.0")
//!             .title("Count documents with a text")
//!             .stream_required()
//!             .cpu_ms(1_000)
//!     }
//!
//!     fn run(params: Params, clients: &Clients) -> Result<Found, Error> {
//!         let stream = clients.streams.own()?;
//!         let query = Query::new(params.from, params.to)
//!             .matching(Condition::contains("message", params.text));
//!         clients.progress.phase("counting")?;
//!         Ok(Found { documents: stream.count(&query)?.value })
//!     }
//! }
//!
//! taskhost_sdk::export!(CountText);
//! # fn main() {}
//! ```
//!
//! **3. A component.** `rustup target add wasm32-wasip2`, then
//! `cargo build --release --target wasm32-wasip2`. The task type is
//! `target/wasm32-wasip2/release/count_text.wasm`: the crate's name with `_` for `-`. Put it into
//! the host's folder of task types, or `taskhost types push` it.
//!
//! **4. A run.** `taskhost schedule count-text --stream logs --params '{…}' --watch`.
//!
//! # What a task can do
//!
//! Everything is reached through [`Clients`]: [`Context`] (who asked, how long there is),
//! [`Progress`], [`Log`], [`Streams`] (read the stream that the task was scheduled on) and
//! [`Documents`] (keep documents in collections that the descriptor declares) and [`State`] (keep
//! a place to go on from, should this attempt not come to its end), [`Inference`] (ask language
//! models), [`Http`] (send requests), [`Secrets`] (use a key without seeing it) and [`Children`]
//! (have other task types do parts of the work). Files, environment and sockets are not there: the
//! standard library answers with errors or with nothing.
//!
//! # How a task ends
//!
//! - `Ok` completes it with the result.
//! - `Err` fails it. [`Error::failed`] names a code and a message; with [`Error::retryable`] the
//!   host may try again, as often as the descriptor says.
//! - A panic fails it too, and its message reaches whoever scheduled the task.
//! - **Cancel** arrives as an error from progress, streams, [`Context::sleep`] and
//!   [`Collection::query`], so `?` ends the run. Call [`Progress::heartbeat`] in long
//!   computations. To leave things in order, the log, the rest of the context, checkpoints, and
//!   opening, getting and saving documents go on working until the descriptor's grace is over.
//!
//! # Tests
//!
//! A task crate also compiles for your own machine, so its functions can be tested with
//! `cargo test`. Only what asks the host panics there; log lines go to standard error. With the
//! feature `testing` the same `cargo test` runs the component in the real sandbox: `testing`.

pub mod bindings;
mod error;
mod json;
mod descriptor;
mod context;
mod progress;
mod log;
mod query;
mod streams;
mod documents;
mod state;
mod secrets;
mod http;
mod inference;
mod children;
mod clients;
mod task;
#[doc(hidden)]
pub mod component;
#[cfg(all(feature = "testing", not(target_family = "wasm")))]
pub mod testing;

pub use children::{Child, ChildError, ChildOptions, Children};
pub use clients::Clients;
pub use context::Context;
pub use descriptor::{Descriptor, StreamUse};
pub use documents::{Change, Collection, Documents, Page, Stored};
pub use error::Error;
pub use http::{Http, HttpRequest, HttpResponse};
pub use inference::{Chat, Completion, Inference, TokenUsage, Tool, ToolCall};
pub use log::{Level, Log, line};
pub use progress::Progress;
pub use query::{Moment, Query, Sort};
pub use secrets::Secrets;
pub use state::State;
pub use streams::{
    Batch, Count, FieldStats, FieldSummary, Relation, Stream, StreamDescription, Streams,
    ValueCount,
};
pub use task::Task;
pub use taskhost_model::condition::{Condition, Range, Test};
