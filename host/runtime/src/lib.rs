//! taskhost runtime.
