//! The skeleton of background loops: a signal down, a proof of completion up.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A loop that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Background {
    stop: CancellationToken,
    done: JoinHandle<()>,
}

impl Background {
    /// Starts `body`, which has to end soon after its token is canceled.
    pub(crate) fn start<F, B>(body: B) -> Self
    where
        B: FnOnce(CancellationToken) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let done = tokio::spawn(body(stop.clone()));
        Self { stop, done }
    }

    /// Asks the loop to stop and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.done.await {
            tracing::error!(%error, "a background loop ended by a panic");
        }
    }

    /// Whether the loop still runs.
    pub(crate) fn is_alive(&self) -> bool {
        !self.done.is_finished()
    }
}
