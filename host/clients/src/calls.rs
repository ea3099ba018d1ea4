//! The calls of one attempt: counted, limited, and for tests of a task type disturbed.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use taskhost_model::ids::TypeId;

use crate::error::{ClientError, ErrorCode};
use crate::virtual_time::Time;

/// Every call that can fail, as people write it.
pub const NAMES: &[&str] = &[
    "children.cancel",
    "children.spawn",
    "children.status",
    "children.wait-any",
    "collection.apply",
    "collection.get",
    "collection.open",
    "collection.query",
    "context.sleep",
    "http.send",
    "http.send-many",
    "inference.complete",
    "inference.complete-many",
    "inference.embed",
    "progress.heartbeat",
    "progress.phase",
    "progress.report",
    "secrets.placeholder",
    "state.delete",
    "state.load",
    "state.save",
    "streams.count",
    "streams.describe",
    "streams.field-stats",
    "streams.sample",
    "streams.sample-many",
    "streams.search",
];

/// What a test of a task type puts between a guest and its clients. On a serving host there is
/// none.
pub trait CallScript: Debug + Send + Sync {
    /// Whether it has to do with runs of that type.
    fn follows(&self, type_id: &TypeId) -> bool;

    /// The time of all runs, also of those that it has nothing to do with.
    fn time(&self) -> Time;

    /// The type whose runs stand for children of a type: itself, or one that the test has made.
    fn child_type(&self, wanted: TypeId) -> TypeId;

    /// Called before each call that can fail does anything. `call`: one of [`NAMES`]. May block for
    /// a while. Answers the call's number, and what the guest is answered in place of what the call
    /// would do, if that is to be.
    fn before(&self, call: &'static str) -> (u64, Result<(), ClientError>);

    /// Called when such a call is answered: with the answer in words.
    fn after(&self, number: u64, answer: &str);
}

/// Hears of the calls of an attempt, for whoever collects traces.
pub trait CallTrace: Debug + Send + Sync {
    /// A call was answered, so long after it was made. `call`: as people write it.
    fn called(&self, call: &'static str, took: Duration);
}

/// Counts calls and remembers the last one.
#[derive(Debug)]
pub(crate) struct Calls {
    count: AtomicU64,
    count_max: Option<u64>,
    /// For the report of a guest that ends without a word.
    last: Mutex<Option<&'static str>>,
    script: Option<Arc<dyn CallScript>>,
    /// The number of the call on its way; a guest makes one at a time.
    on_its_way: Mutex<Option<u64>>,
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
            on_its_way: Mutex::new(None),
        }
    }

    /// A call that cannot fail.
    pub(crate) fn note(&self, call: &'static str) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
        self.count.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn enter(&self, call: &'static str) -> Result<(), ClientError> {
        debug_assert!(NAMES.contains(&call), "{call} is missing in NAMES");
        let nth = self.note(call);
        if let Some(most) = self.count_max.filter(|most| nth > *most) {
            let message = format!(
                "the attempt has made {most} host calls, which is its limit: ask for several \
                 things in one call, or raise `limits.host_calls` in the type's descriptor"
            );
            return Err(ClientError::new(ErrorCode::QuotaExceeded, message));
        }
        let Some(script) = &self.script else {
            return Ok(());
        };
        let (number, done) = script.before(call);
        *self.lock_number() = Some(number);
        done
    }

    /// Whether somebody wants to hear of [`Self::answered`].
    pub(crate) fn is_followed(&self) -> bool {
        self.script.is_some()
    }

    /// The type of a child that a guest wants.
    pub(crate) fn child_type(&self, wanted: TypeId) -> TypeId {
        match &self.script {
            Some(script) => script.child_type(wanted),
            None => wanted,
        }
    }

    /// The call on its way is answered, if one is that can fail.
    pub(crate) fn answered(&self, answer: impl FnOnce() -> String) {
        let number = self.lock_number().take();
        if let (Some(script), Some(number)) = (&self.script, number) {
            script.after(number, &answer());
        }
    }

    fn lock_number(&self) -> MutexGuard<'_, Option<u64>> {
        self.on_its_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
