//! Why a task or a client call failed, and whether trying again may help.

use std::fmt;

use serde_json::{Value, json};

use crate::bindings::taskhost::task::types;

/// A failure: of a call to the host, or of the task.
///
/// Client calls return it, and a task that returns it fails with it, so `?` is enough where there
/// is nothing to add. Codes are for programs (lower-case words with hyphens, an open set), messages
/// for people: what happened, why, what to do.
///
/// ```
/// use taskhost_sdk::Error;
///
/// let error = Error::failed("no-such-city", "there is no city `Atlantis`: check the spelling");
/// assert!(!error.is_retryable());
///
/// let error = Error::failed("busy", "the index is being rebuilt")
///     .retryable()
///     .retry_after_ms(2_000)
///     .with_details(serde_json::json!({"index": "cities"}));
/// assert!(error.is_retryable() && !error.is_canceled() && !error.is_deadline());
/// assert_eq!((error.code(), error.message()), ("busy", "the index is being rebuilt"));
/// assert_eq!(error.details().unwrap()["index"], "cities");
/// assert_eq!(error.to_string(), "busy: the index is being rebuilt");
///
/// let error = Error::invalid("`end` has to be after `start`");
/// assert_eq!(error.code(), "invalid");
/// let error = Error::invalid_field("end", "has to be after `start`");
/// assert_eq!(error.details().unwrap()["errors"][0]["field"], "end");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    code: String,
    message: String,
    retryable: bool,
    retry_after_ms: Option<u64>,
    details: Option<Value>,
}

impl Error {
    /// A failure that trying again would not help, unless [`Self::retryable`] says otherwise.
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            retryable: false,
            retry_after_ms: None,
            details: None,
        }
    }

    /// What was given does not make sense: code `invalid`.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::failed("invalid", message)
    }

    /// A field of what was given does not make sense: code `invalid`, with the field's path in the
    /// details.
    pub fn invalid_field(field: impl Into<String>, problem: impl fmt::Display) -> Self {
        let field = field.into();
        Self::invalid(format!("`{field}`: {problem}"))
            .with_details(json!({"errors": [{"field": field, "message": problem.to_string()}]}))
    }

    /// The same run may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// Not before so many milliseconds.
    #[must_use]
    pub fn retry_after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// More for programs: an object.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// What kind of failure.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What happened, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// More for programs.
    #[must_use]
    pub fn details(&self) -> Option<&Value> {
        self.details.as_ref()
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The run is asked to stop: leave things in order and return.
    #[must_use]
    pub fn is_canceled(&self) -> bool {
        self.code == "canceled"
    }

    /// The run's time is up: leave things in order and return.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        self.code == "deadline"
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        let details = error
            .details
            .and_then(|text| serde_json::from_str(&text).ok());
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
            details,
        }
    }
}

impl From<Error> for types::Error {
    fn from(error: Error) -> Self {
        Self {
            code: error.code,
            message: error.message,
            retryable: error.retryable,
            retry_after_ms: error.retry_after_ms,
            details: error.details.map(|details| details.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crosses_the_contract_unchanged() {
        let error = Error::failed("busy", "later")
            .retryable()
            .retry_after_ms(5)
            .with_details(json!({"a": [1]}));
        assert_eq!(Error::from(types::Error::from(error.clone())), error);
    }

    #[test]
    fn details_that_are_no_json_are_dropped() {
        let mut error = types::Error::from(Error::invalid("x"));
        error.details = Some("{".to_owned());
        assert_eq!(Error::from(error).details(), None);
    }

    #[test]
    fn stop_codes() {
        assert!(Error::failed("canceled", "").is_canceled());
        assert!(Error::failed("deadline", "").is_deadline());
    }
}
