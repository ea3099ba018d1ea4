//! How a command ends, and how it says that something went wrong.

use std::process::ExitCode;

use serde_json::Value;
use taskhost_store::error::StoreError;

use super::text;

/// What to do where the host wants to know who asks.
const COME_AS: &str = "\nSet TASKHOST_API_KEY, or TASKHOST_USERNAME and TASKHOST_PASSWORD, or \
    TASKHOST_TOKEN: the ones with which you use Elasticsearch.";
/// What to do where a right is missing.
const GIVEN_WHERE: &str = "\nRights are privileges in Elasticsearch, of the application \
    `taskhost`: ask whoever gives them there.";

/// Exit codes; scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command was used wrongly.
    WrongUse = 2,
    /// The task was canceled.
    Canceled = 3,
    /// The host cannot be reached.
    Unreachable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
#[error("{}", text::shown_lines(message))]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// For people; may have several lines.
    pub message: String,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(error.to_string())
    }
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn wrong_use(message: impl Into<String>) -> Self {
        Self::new(Exit::WrongUse, message)
    }

    pub(crate) fn unreachable(url: &str, why: impl std::fmt::Display) -> Self {
        let message = format!(
            "cannot reach the host at {url}: {why}\n\
             Is it running? Start it with `taskhost serve`, or name another one with --url."
        );
        Self::new(Exit::Unreachable, message)
    }

    /// What a problem document says, each mistake on a line of its own.
    pub(crate) fn of_problem(problem: &Value) -> Self {
        let text_of = |value: &Value| value.as_str().map(text::shown).unwrap_or_default();
        let mut message = match problem["detail"].as_str() {
            Some(detail) => text::shown(detail),
            None => "the host refused".to_owned(),
        };
        let errors = problem["errors"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if !errors.is_empty() {
            // The detail lists the same mistakes in one sentence.
            message = format!("{}:", text_of(&problem["title"]));
        }
        for error in errors {
            let (field, problem) = (text_of(&error["field"]), text_of(&error["problem"]));
            message.push_str(&format!("\n  {field}: {problem}"));
        }
        message.push_str(match problem["code"].as_str() {
            Some("unauthorized") => COME_AS,
            Some("forbidden") => GIVEN_WHERE,
            _ => "",
        });
        Self::failed(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_mistake_has_its_line() {
        let problem = json!({"title": "The request is not valid", "detail": "…", "errors": [
            {"field": "params.name", "problem": "is missing"},
            {"field": "priority", "problem": "\u{1b}"},
        ]});
        assert_eq!(
            Failure::of_problem(&problem).message,
            "The request is not valid:\n  params.name: is missing\n  priority: \\u{1b}"
        );
        assert_eq!(
            Failure::failed("no \u{1b}[1m\nx").to_string(),
            "no \\u{1b}[1m\nx"
        );
        for (code, next) in [("unauthorized", COME_AS), ("forbidden", GIVEN_WHERE)] {
            let said = Failure::of_problem(&json!({"detail": "no", "code": code})).message;
            assert_eq!(said, format!("no{next}"));
        }
        let problem = json!({"detail": "no such thing"});
        assert_eq!(Failure::of_problem(&problem).message, "no such thing");
    }
}
