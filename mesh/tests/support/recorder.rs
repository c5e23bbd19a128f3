//! A recorder that keeps what it is told.

use std::sync::{Arc, Mutex};

use mesh::InstanceId;
use mesh::mesh_core::recorder::{Measurement, Recorder};

/// The notes of what was measured; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    notes: Arc<Mutex<Vec<Note>>>,
}

/// One measurement: the metric, the service, if it is about one, and the word that tells what came of it.
pub(crate) type Note = (&'static str, String, String);

impl Notes {
    /// The words that were noted for the metric `name`, in order.
    pub(crate) fn of(&self, name: &str) -> Vec<String> {
        let notes = self.notes.lock().unwrap();
        notes.iter().filter(|(metric, ..)| *metric == name).map(|(.., word)| word.clone()).collect()
    }

    /// All notes, in order.
    pub(crate) fn all(&self) -> Vec<Note> {
        self.notes.lock().unwrap().clone()
    }
}

impl Recorder for Notes {
    fn record(&self, measurement: &Measurement<'_>) {
        let word = match measurement {
            Measurement::CallEnded { attempts, result, .. } => format!("{result} after {attempts}"),
            Measurement::AttemptEnded { outcome, .. } => (*outcome).to_owned(),
            Measurement::ExtraAttempt { kind, result, .. } => format!("{kind}: {result}"),
            Measurement::QueueTime { waited, result, .. } => format!("{result} after {waited:?}"),
            Measurement::BreakerChanged { instance, from, to, reason, .. } => {
                format!("{}{from} to {to} by {reason}", of(*instance))
            }
            Measurement::BudgetSettled { wanted, granted, returned, left_milli, processes, .. } => {
                format!("{granted} of {wanted}, {returned} back, {left_milli} left for {processes}")
            }
            Measurement::BudgetUnsettled { failure, failures, .. } => format!("{failure}: {failures} in a row"),
            Measurement::BudgetStateChanged { from, to, reason, .. } => format!("{from} to {to} by {reason}"),
            Measurement::BudgetAnswered { by_lease, by_share, deferred, denied, .. } => {
                format!("{by_lease} by lease, {by_share} by share, {deferred} deferred, {denied} denied")
            }
            Measurement::RetrySlots { result, count, .. } => format!("{result}: {count}"),
            Measurement::OperationBegan { operation, result, .. }
            | Measurement::OperationEnded { operation, result, .. } => format!("{operation}: {result}"),
            Measurement::VoteCounted { instance, live, open, .. } => format!("{}{open} of {live}", of(*instance)),
            Measurement::EvidenceChanged { instance, quorum, by, .. } => {
                format!("{}{} by {by}", of(*instance), if *quorum { "quorum" } else { "no quorum" })
            }
            Measurement::ProbeRight { instance, right, .. } => format!("{}{right}", of(*instance)),
            Measurement::VoteFailed { instance, failure, .. } => format!("{}{failure}", of(*instance)),
            Measurement::StoreSkew { gained_micros, was_set, .. } => format!("{gained_micros} us, set: {was_set}"),
            Measurement::PickRefused { reason, .. } => (*reason).to_owned(),
            Measurement::Endpoints { eligible, unhealthy, drained, registered, .. } => {
                format!("{eligible} of {registered}, {unhealthy} unhealthy, {drained} drained")
            }
            Measurement::DiscoveryUpdated { result, .. } => (*result).to_owned(),
            Measurement::HealthChecked { passed, .. } => if *passed { "passed" } else { "failed" }.to_owned(),
            Measurement::Registration { event, .. } => (*event).to_owned(),
            Measurement::Deregistration { confirmed, .. } => {
                if *confirmed { "confirmed" } else { "unconfirmed" }.to_owned()
            }
            Measurement::StatusChanged { from, to, reason, .. } => format!("{from} to {to} by {reason}"),
            Measurement::OutlierFound { cause, result, .. } => format!("{cause}: {result}"),
            Measurement::OutlierRestored { by, .. } => (*by).to_owned(),
            Measurement::Reaped { result, .. } => (*result).to_owned(),
            other => format!("{other:?}"),
        };
        let service = measurement.service().map_or(String::new(), ToString::to_string);
        self.notes.lock().unwrap().push((measurement.name(), service, word));
    }
}

/// The instance that a measurement is of, before its word.
fn of(instance: Option<&InstanceId>) -> String {
    instance.map_or_else(String::new, |instance| format!("{instance}: "))
}
