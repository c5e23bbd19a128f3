//! When the driver of a service has its list remembered.

use std::sync::Arc;

use mesh_core::rng::Rng;
use mesh_core::snapshot::Snapshot;
use mesh_core::time::Instant;
use tokio::sync::Notify;

use crate::memory::Memory;

/// What a driver does for the memory of its mesh.
#[derive(Debug)]
pub(super) struct Remembering {
    pub(super) memory: Arc<Memory>,
    /// Told when the registry cannot be reached.
    pub(super) missed: Arc<Notify>,
    /// What was kept last, and when it is to be kept again.
    kept: Option<(Arc<Snapshot>, Instant)>,
    pub(super) is_keeping: bool,
    rng: Rng,
}

impl Remembering {
    pub(super) fn new(memory: Arc<Memory>, missed: Arc<Notify>, seed: u64) -> Self {
        Self { memory, missed, kept: None, is_keeping: false, rng: Rng::from_seed(seed) }
    }

    /// When the list is to be kept though it did not change.
    pub(super) fn due(&self) -> Option<Instant> {
        self.kept.as_ref().map(|(_, due)| *due).filter(|_| !self.is_keeping)
    }

    /// The memory that is to keep `snapshot` now, if it is time.
    pub(super) fn begin(&mut self, now: Instant, snapshot: &Arc<Snapshot>) -> Option<Arc<Memory>> {
        let is_kept = self.kept.as_ref().is_some_and(|(kept, due)| Arc::ptr_eq(kept, snapshot) && *due > now);
        if is_kept || self.is_keeping {
            return None;
        }
        let interval = self.memory.config().keep_interval;
        self.kept = Some((Arc::clone(snapshot), now + interval - self.rng.up_to(interval / 10)));
        self.is_keeping = true;
        Some(Arc::clone(&self.memory))
    }
}
