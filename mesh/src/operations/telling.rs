//! What becomes of an operation, as log lines and as measurements: by the name of its kind and the hash of its key.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::time::Instant;
use mesh_retry::coordinator::store::StateKey;

/// Tells what becomes of one operation.
#[derive(Debug)]
pub(super) struct Telling {
    name: Arc<str>,
    key: StateKey,
    recorder: Arc<dyn Recorder>,
    /// Since when it is being begun, or carried out.
    since: Instant,
}

impl Telling {
    pub(super) const fn new(name: Arc<str>, key: StateKey, recorder: Arc<dyn Recorder>, now: Instant) -> Self {
        Self { name, key, recorder, since: now }
    }

    /// It may be carried out, or not.
    pub(super) fn began(&mut self, now: Instant, result: &'static str) {
        let (operation, waited) = (&*self.name, now.since(self.since));
        tracing::debug!(operation, key = %self.key, result, ?waited, "an operation was begun");
        self.record(&Measurement::OperationBegan { operation, result, waited });
        self.since = now;
    }

    /// Whoever was to carry it out has come to an end.
    pub(super) fn ended(&self, now: Instant, result: &'static str) {
        let (operation, elapsed) = (&*self.name, now.since(self.since));
        tracing::debug!(operation, key = %self.key, result, ?elapsed, "an operation has ended");
        self.record(&Measurement::OperationEnded { operation, result, elapsed });
    }

    /// A recorder that panics must not end the task that renews the lease.
    fn record(&self, measurement: &Measurement<'_>) {
        if catch_unwind(AssertUnwindSafe(|| self.recorder.record(measurement))).is_err() {
            tracing::error!(operation = &*self.name, measurement = measurement.name(), "the recorder panicked");
        }
    }

    /// It goes on, as is said.
    pub(super) fn note(&self, what: &'static str) {
        tracing::debug!(operation = &*self.name, key = %self.key, "{what}");
    }

    /// Something that whoever runs the service should know of.
    pub(super) fn warn(&self, what: &'static str) {
        tracing::warn!(operation = &*self.name, key = %self.key, "{what}");
    }
}
