//! Ends a validation that takes too many steps.
//!
//! A keyword of our own stands in every subschema and counts; at the end of the fuel it unwinds
//! out of the library, because nothing else stops a walk that is under way. A quiet unwind: no
//! panic hook is run. The library looks at it last, so a subschema that a cheaper keyword
//! refuses is not counted: those are bounded by [`super::bounds`] beforehand.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

/// The keyword's name. A component's schema may hold it: [`super::bounds`] writes over it.
pub(super) const KEYWORD: &str = "taskhost:fuel";

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The fuel is used up.
#[derive(Debug)]
pub(super) struct OutOfFuel;

/// Runs `validation` with so much fuel, and until then at most.
pub(super) fn limited<T>(
    fuel: u64,
    until: Option<Instant>,
    validation: impl FnOnce() -> T,
) -> Result<T, OutOfFuel> {
    LEFT.set(fuel);
    UNTIL.set(until);
    // What unwinds is dropped; nothing of it is looked at again.
    catch_unwind(AssertUnwindSafe(validation)).map_err(|panic| {
        if !panic.is::<OutOfFuel>() {
            tracing::error!("the library for JSON Schema panicked; the value counts as unchecked");
        }
        OutOfFuel
    })
}

/// One visit of a subschema costs so much.
#[derive(Debug)]
pub(super) struct Fuel {
    cost: u64,
}

impl Fuel {
    pub(super) fn of(value: &Value) -> Self {
        Self {
            cost: value.as_u64().unwrap_or(1),
        }
    }

    fn burn(&self) {
        let left = LEFT.get();
        let is_late = UNTIL.get().is_some_and(|until| Instant::now() >= until);
        if is_late || left < self.cost {
            resume_unwind(Box::new(OutOfFuel));
        }
        LEFT.set(left - self.cost);
    }
}

impl<'i> Keyword<'i> for Fuel {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        self.burn();
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.burn();
        true
    }
}
