//! taskhost clients.
