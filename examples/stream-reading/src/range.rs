//! Which part of a stream is looked at, as the params say it.

use taskhost_sdk::{Condition, Error, Query};

/// A part of a stream by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// In milliseconds since 1970.
    pub start: i64,
    /// Itself not included.
    pub end: i64,
}

impl Range {
    /// From the params `start` and `end`.
    ///
    /// # Errors
    /// `invalid` with the field where it ends before it begins.
    pub fn new(start: i64, end: i64) -> Result<Self, Error> {
        if start >= end {
            return Err(Error::invalid_field("end", "has to be after `start`"));
        }
        Ok(Self { start, end })
    }

    /// The documents in it.
    #[must_use]
    pub fn query(&self) -> Query {
        Query::new(self.start, self.end)
    }

    /// Those of them that satisfy a condition.
    #[must_use]
    pub fn matching(&self, condition: &Condition) -> Query {
        self.query().matching(condition.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_ends_before_it_begins_names_its_field() {
        assert!(Range::new(1, 2).is_ok());
        for (start, end) in [(2, 2), (3, 2)] {
            let error = Range::new(start, end).unwrap_err();
            assert_eq!(error.code(), "invalid");
            assert_eq!(error.details().unwrap()["errors"][0]["field"], "end");
        }
    }
}
