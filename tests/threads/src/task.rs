//! Keeps count of what was spawned, as the host's files do it.

use std::future::Future;

use crate::runtime::Handle;
use crate::sync::step;

pub(crate) mod task_tracker {
    pub(crate) use real_tokio_util::task::task_tracker::TaskTrackerToken;
}

/// Tokio's. What is spawned is shuttle's, and others may go before each use.
#[derive(Debug, Default, Clone)]
pub(crate) struct TaskTracker(real_tokio_util::task::TaskTracker);

impl TaskTracker {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn token(&self) -> task_tracker::TaskTrackerToken {
        step();
        self.0.token()
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }

    pub(crate) async fn wait(&self) {
        self.0.wait().await;
    }

    pub(crate) fn spawn_on(&self, run: impl Future<Output = ()> + Send + 'static, _: &Handle) {
        shuttle::future::spawn(self.0.track_future(run));
    }
}
