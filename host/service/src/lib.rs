//! taskhost service.
