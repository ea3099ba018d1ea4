//! End-to-end tests: one module for each thing that the host promises.

mod straight_line;
