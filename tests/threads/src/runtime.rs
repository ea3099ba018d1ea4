//! Executors, of which there is one: shuttle's.

#[derive(Debug)]
pub(crate) struct Handle;
