//! tests/tidy.
