//! The lines of an export: an object each, the first says that it is one, and the last how many
//! there were, so that a file that was cut is known.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use taskhost_model::ids::{DocumentId, Label, Space, StreamName};
use taskhost_model::task::Task;
use taskhost_model::time::Timestamp;
use taskhost_store::streams::StreamSettings;

/// Of the lines here.
pub(super) const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first.
    TaskhostExport {
        format: u32,
        version: String,
        at: Timestamp,
    },
    Stream {
        space: Space,
        name: StreamName,
        settings: StreamSettings,
    },
    Task {
        task: Box<Task>,
        params: Box<RawValue>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Box<RawValue>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    Document {
        space: Space,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stream: Option<StreamName>,
        label: Label,
        id: DocumentId,
        body: Box<RawValue>,
    },
    /// The last.
    End(Counts),
}

/// How many lines of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) streams: u64,
    pub(super) tasks: u64,
    pub(super) documents: u64,
}

impl Counts {
    pub(super) fn add(&mut self, line: &Line) {
        match line {
            Line::Stream { .. } => self.streams += 1,
            Line::Task { .. } => self.tasks += 1,
            Line::Document { .. } => self.documents += 1,
            Line::TaskhostExport { .. } | Line::End(_) => {}
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            streams,
            tasks,
            documents,
        } = self;
        write!(
            f,
            "{tasks} tasks, {documents} documents of collections, {streams} streams"
        )
    }
}
