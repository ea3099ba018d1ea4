//! examples/hello-task.
