//! The calls of one attempt: counted, limited, and for tests of a task type disturbed.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use taskhost_model::ids::TypeId;

use crate::error::{ClientError, ErrorCode};

/// What a test of a task type puts between a guest and its clients. On a serving host there is
/// none.
pub trait CallScript: Debug + Send + Sync {
    /// Whether it has to do with runs of that type.
    fn follows(&self, type_id: &TypeId) -> bool;

    /// Called before each call that can fail does anything. `call`: as people write it,
    /// `streams.sample`. May block for a while.
    ///
    /// # Errors
    /// What the guest is answered in place of what the call would do.
    fn before(&self, call: &'static str) -> Result<(), ClientError>;

    /// How long a sleep really takes, in milliseconds.
    fn sleep_ms(&self, ms: u64) -> u64;
}

/// Counts calls and remembers the last one.
#[derive(Debug)]
pub(crate) struct Calls {
    count: AtomicU64,
    count_max: Option<u64>,
    /// For the report of a guest that ends without a word.
    last: Mutex<Option<&'static str>>,
    script: Option<Arc<dyn CallScript>>,
}

impl Calls {
    /// `count`: what the attempt has made before, if it begins again.
    pub(crate) fn new(
        count: u64,
        count_max: Option<u64>,
        script: Option<Arc<dyn CallScript>>,
    ) -> Self {
        Self {
            count: AtomicU64::new(count),
            count_max,
            last: Mutex::new(None),
            script,
        }
    }

    /// A call that cannot fail.
    pub(crate) fn note(&self, call: &'static str) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn enter(&self, call: &'static str) -> Result<(), ClientError> {
        let nth = self.note(call);
        if let Some(most) = self.count_max.filter(|most| nth > *most) {
            let message = format!(
                "the attempt has made {most} host calls, which is its limit: ask for several \
                 things in one call, or raise `limits.host_calls` in the type's descriptor"
            );
            return Err(ClientError::new(ErrorCode::QuotaExceeded, message));
        }
        match &self.script {
            Some(script) => script.before(call),
            None => Ok(()),
        }
    }

    /// How long a sleep really takes.
    pub(crate) fn sleep_ms(&self, ms: u64) -> u64 {
        self.script
            .as_ref()
            .map_or(ms, |script| script.sleep_ms(ms))
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn last(&self) -> Option<&'static str> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_above_the_limit_are_refused_and_counted() {
        let calls = Calls::new(7, Some(9), None);
        assert_eq!(calls.note("log.log"), 8);
        assert!(calls.enter("state.load").is_ok());
        let error = calls.enter("streams.sample").unwrap_err();
        assert_eq!(error.code, ErrorCode::QuotaExceeded);
        assert!(error.message.contains("limits.host_calls"), "{error}");
        assert_eq!((calls.count(), calls.last()), (10, Some("streams.sample")));
    }
}
