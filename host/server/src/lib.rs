//! The outside of the host: settings, the HTTP interface, the watched folder, the command line.
//!
//! # Guarantees
//! 1. A handler decides nothing: it parses, makes one call of the service, and converts.
//! 2. Every answer that is no success is a problem document (RFC 9457).
//! 3. [`app`] alone builds things from every layer below.
//!
//! The modules are listed in reading order; each uses only those above it.

mod memory;
mod plain_file;
mod host_key;
mod host_name;
mod post;
mod metrics;
mod traces;
pub mod settings;
mod store_of;
pub mod http;
pub mod folder;
mod by_owner;
mod first_token;
pub mod app;
mod kit;
pub mod cli;
