//! taskhost store.
