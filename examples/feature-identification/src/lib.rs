//! examples/feature-identification.
