//! Opens a store. Here alone a backend is named.

use std::sync::Arc;

use taskhost_model::time::Clock;

use crate::components::ComponentStore;
use crate::documents::DocumentStore;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::streams::StreamStore;
use crate::tasks::TaskStore;

/// Everything that is stored, behind its traits.
#[derive(Debug, Clone)]
pub struct Stores {
    /// Task documents.
    pub tasks: Arc<dyn TaskStore>,
    /// Collections.
    pub documents: Arc<dyn DocumentStore>,
    /// Stream data.
    pub streams: Arc<dyn StreamStore>,
    /// Components.
    pub components: Arc<dyn ComponentStore>,
}

/// A store that is gone with the process, for tests.
#[must_use]
pub fn in_memory(limits: Limits, clock: Clock) -> Stores {
    let memory = Arc::new(Memory::new(limits, clock));
    Stores {
        tasks: Arc::clone(&memory) as Arc<dyn TaskStore>,
        documents: Arc::clone(&memory) as Arc<dyn DocumentStore>,
        streams: Arc::clone(&memory) as Arc<dyn StreamStore>,
        components: memory,
    }
}
