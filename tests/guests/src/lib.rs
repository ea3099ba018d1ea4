//! tests/guests.
