//! The contract with guests, one module per released major version.

pub(crate) mod v1;
