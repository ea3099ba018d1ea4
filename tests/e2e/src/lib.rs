//! tests/e2e.
