//! What the runtime answers when it does not do what it was asked. The texts are for people.

use taskhost_model::error::TaskError;

/// Why the runtime does not start.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The folder for compiled components cannot be used.
    #[error(
        "the folder for compiled components cannot be used: {reason}; name another one as \
         `component_cache` in the settings"
    )]
    Cache {
        /// What the system said.
        reason: String,
    },
    /// The engine does not start.
    #[error("the WebAssembly engine does not start: {reason}")]
    Engine {
        /// What the engine said.
        reason: String,
    },
    /// A thread cannot be started.
    #[error("the threads for guests cannot be started: {reason}")]
    Threads {
        /// What the system said.
        reason: String,
    },
}

/// Why a component is refused, in words that its author can use. Complete sentences without
/// their full stop, one a mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .mistakes.join("; "))]
pub struct InvalidComponent {
    /// Every mistake that was found.
    pub mistakes: Vec<String>,
}

/// Why a component was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot run here.
    #[error("{reason}")]
    Refused {
        /// For its author.
        reason: String,
    },
    /// Compiling it took more than it may.
    #[error("compiling the component took more than {limit}: make it smaller")]
    CompileLimit {
        /// Which limit, with its number.
        limit: &'static str,
    },
    /// The host's own fault.
    #[error("the component could not be compiled: {reason}")]
    Internal {
        /// What happened.
        reason: String,
    },
}

/// Why `describe` gave no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct RunFailure(pub TaskError);

impl InvalidComponent {
    pub(crate) fn one(mistake: impl Into<String>) -> Self {
        Self {
            mistakes: vec![mistake.into()],
        }
    }
}
