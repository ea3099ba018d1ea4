//! What a run was denied, told to everybody who has to know: its author by an error, its readers in
//! its log, the operator in the host's log with the setting that would allow it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use taskhost_model::capabilities::Capabilities;
use taskhost_model::task::LogLevel;

use crate::context::RunInfo;
use crate::error::ClientError;
use crate::log::Log;

/// Denials of one attempt that the host's log has; a guest must not fill it.
const TOLD_MAX: u32 = 16;

/// Why something is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    /// What happened, why, and what to do, for the author.
    pub(crate) message: String,
    /// What the operator would add to the settings, as TOML; none where that would not help.
    pub(crate) setting: Option<String>,
}

/// Tells the denials of one attempt. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Denials(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    log: Log,
    info: Arc<RunInfo>,
    told: AtomicU32,
}

impl Denial {
    /// The descriptor does not ask for it, or it would be wrong to allow it.
    pub(crate) fn new(message: String) -> Self {
        let setting = None;
        Self { message, setting }
    }

    /// The operator has not allowed it so far.
    pub(crate) fn not_allowed(message: &str, setting: String) -> Self {
        let setting = Some(setting);
        let message = format!("{message}. The host's log has the setting that would allow it");
        Self { message, setting }
    }
}

impl Denials {
    pub(crate) fn new(log: Log, info: Arc<RunInfo>) -> Self {
        let told = AtomicU32::new(0);
        Self(Arc::new(Inner { log, info, told }))
    }

    /// What the operator would add to allow the type of this run what it lacks.
    pub(crate) fn setting(&self, lacking: &Capabilities) -> String {
        lacking.as_setting(&self.0.info.type_id)
    }

    /// Tells it, and answers with what the guest gets.
    pub(crate) fn deny(&self, denial: Denial) -> ClientError {
        let Inner { log, info, told } = &*self.0;
        let Denial { message, setting } = denial;
        log.output(LogLevel::Warn, "host", &format!("denied: {message}"));
        if told.fetch_add(1, Ordering::Relaxed) < TOLD_MAX {
            // What follows the words is this line's fields: the setting ends before they begin.
            let setting = setting.map_or_else(String::new, |setting| {
                format!("; to allow it, add to the settings:\n{setting}\n")
            });
            tracing::warn!(
                space = %info.task.space, task = %info.task.id, type_id = %info.type_id,
                run = %info.fence.run, why = ?message, "a run was denied something{setting}"
            );
        }
        ClientError::denied(message)
    }
}
