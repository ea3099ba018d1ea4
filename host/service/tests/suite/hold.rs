//! A store that holds up the answers to calls of one name until the test lets them go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use taskhost_store::faulty::{Call, Fate, Policy};
use tokio::sync::Semaphore;

use crate::bench::a_moment;

/// Far more than anything that is waited for takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Hold {
    name: &'static str,
    first: usize,
    come: AtomicUsize,
    may_go: Semaphore,
}

impl Hold {
    /// Holds up the first so many calls.
    pub(crate) fn of(name: &'static str, first: usize) -> Arc<Self> {
        Arc::new(Self {
            name,
            first,
            come: AtomicUsize::new(0),
            may_go: Semaphore::new(0),
        })
    }

    /// How many calls have been done.
    pub(crate) fn come(&self) -> usize {
        self.come.load(Ordering::SeqCst)
    }

    pub(crate) async fn until_come(&self, calls: usize) {
        until(|| self.come() >= calls).await;
    }

    /// Lets so many go, also such as come later.
    pub(crate) fn let_go(&self, calls: usize) {
        self.may_go.add_permits(calls);
    }

    pub(crate) fn let_all_go(&self) {
        self.let_go(Semaphore::MAX_PERMITS / 2);
    }
}

#[async_trait]
impl Policy for Hold {
    async fn before(&self, _: Call<'_>) -> Fate {
        Fate::Done
    }

    async fn after(&self, call: Call<'_>) {
        if call.name == self.name && self.come.fetch_add(1, Ordering::SeqCst) < self.first {
            self.may_go.acquire().await.unwrap().forget();
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            a_moment().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}
