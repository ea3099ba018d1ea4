//! tests/benches.
