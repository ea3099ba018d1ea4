//! taskhost model.
