//! taskhost server.
