//! A recorder that writes measurements as tracing events, for those who have no metrics system, or debug one.

use mesh_core::recorder::{Measurement, Recorder};

/// Writes every measurement as a `tracing` event of level TRACE and target `mesh::metrics`, with the metric's name
/// and its values as fields. Durations are in seconds, as OpenTelemetry has them.
///
/// Costs nothing to speak of while no subscriber wants the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TracingRecorder;

macro_rules! event {
    ($measurement:expr, $($fields:tt)*) => {
        tracing::trace!(
            target: "mesh::metrics",
            metric = $measurement.name(),
            service = $measurement.service().map(tracing::field::display),
            $($fields)*
        )
    };
}

impl Recorder for TracingRecorder {
    fn record(&self, measurement: &Measurement<'_>) {
        match *measurement {
            Measurement::CallEnded { attempts, elapsed, result, .. } => {
                event!(measurement, attempts, seconds = elapsed.as_secs_f64(), result);
            }
            Measurement::AttemptEnded { outcome, latency, .. } => {
                event!(measurement, outcome, seconds = latency.as_secs_f64());
            }
            Measurement::ExtraAttempt { kind, result, wait, budget_milli, .. } => {
                event!(measurement, kind, result, seconds = wait.as_secs_f64(), budget_milli);
            }
            Measurement::QueueTime { waited, result, .. } => {
                event!(measurement, seconds = waited.as_secs_f64(), result);
            }
            Measurement::BreakerChanged { instance, from, to, reason, .. } => {
                event!(measurement, instance = instance.map(tracing::field::display), from, to, reason);
            }
            Measurement::BudgetSettled { .. }
            | Measurement::BudgetUnsettled { .. }
            | Measurement::BudgetAnswered { .. }
            | Measurement::BudgetStateChanged { .. }
            | Measurement::RetrySlots { .. } => of_retries(measurement),
            Measurement::OperationBegan { operation, result, waited } => {
                event!(measurement, operation, result, seconds = waited.as_secs_f64());
            }
            Measurement::OperationEnded { operation, result, elapsed } => {
                event!(measurement, operation, result, seconds = elapsed.as_secs_f64());
            }
            Measurement::VoteCounted { .. }
            | Measurement::EvidenceChanged { .. }
            | Measurement::ProbeRight { .. }
            | Measurement::VoteFailed { .. } => of_votes(measurement),
            Measurement::StoreSkew { gained_micros, uncertain_by, was_set, .. } => {
                event!(measurement, gained_micros, uncertain_seconds = uncertain_by.as_secs_f64(), was_set);
            }
            Measurement::PickRefused { reason, .. } => event!(measurement, reason),
            Measurement::Endpoints { eligible, unhealthy, ejected, probing, drained, registered, .. } => {
                event!(measurement, eligible, unhealthy, ejected, probing, drained, registered);
            }
            Measurement::DiscoveryUpdated { result, .. } => event!(measurement, result),
            Measurement::HealthChecked { passed, latency, .. } => {
                event!(measurement, passed, seconds = latency.as_secs_f64());
            }
            Measurement::StatusChanged { from, to, reason, lasted, .. } => {
                event!(measurement, from, to, reason, seconds = lasted.as_secs_f64());
            }
            Measurement::OutlierFound { cause, result, .. } => event!(measurement, cause, result),
            Measurement::OutlierRestored { by, .. } => event!(measurement, by),
            Measurement::Reaped { result, .. } => event!(measurement, result),
            Measurement::Registration { event, .. } => event!(measurement, event),
            Measurement::Deregistration { confirmed, elapsed, .. } => {
                event!(measurement, confirmed, seconds = elapsed.as_secs_f64());
            }
            // A kind that this version does not know is at least named.
            _ => event!(measurement, unknown = true),
        }
    }
}

/// What is measured of the budgets and slots of a fleet.
fn of_retries(measurement: &Measurement<'_>) {
    if let Measurement::BudgetSettled {
        latency, wanted, granted, returned, left_milli, processes, denied_for, ..
    } = *measurement
    {
        let (seconds, denied_seconds) = (latency.as_secs_f64(), denied_for.as_secs_f64());
        event!(measurement, seconds, wanted, granted, returned, left_milli, processes, denied_seconds);
    } else if let Measurement::BudgetUnsettled { failure, after, failures, .. } = *measurement {
        event!(measurement, failure, seconds = after.as_secs_f64(), failures);
    } else if let Measurement::BudgetAnswered { by_lease, by_share, deferred, denied, .. } = *measurement {
        event!(measurement, by_lease, by_share, deferred, denied);
    } else if let Measurement::BudgetStateChanged { from, to, reason, .. } = *measurement {
        event!(measurement, from, to, reason);
    } else if let Measurement::RetrySlots { result, count, latency, .. } = *measurement {
        event!(measurement, result, count, seconds = latency.as_secs_f64());
    }
}

/// What is measured of the votes of a fleet.
fn of_votes(measurement: &Measurement<'_>) {
    let shown = tracing::field::display;
    if let Measurement::VoteCounted { instance, live, open, latency, .. } = *measurement {
        event!(measurement, instance = instance.map(shown), live, open, seconds = latency.as_secs_f64());
    } else if let Measurement::EvidenceChanged { instance, quorum, by, .. } = *measurement {
        event!(measurement, instance = instance.map(shown), quorum, by);
    } else if let Measurement::ProbeRight { instance, right, .. } = *measurement {
        event!(measurement, instance = instance.map(shown), right);
    } else if let Measurement::VoteFailed { instance, failure, .. } = *measurement {
        event!(measurement, instance = instance.map(shown), failure);
    }
}
