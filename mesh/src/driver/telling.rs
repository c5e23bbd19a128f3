//! What a service's machine reports, as log lines and as measurements.

use mesh_core::health::Status;
use mesh_core::health::outlier::OutlierEvent;
use mesh_core::machine::{Deregistration, ServiceEvent};
use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::service::ServiceName;

/// Logs `event` of `service`.
pub(super) fn log(service: &ServiceName, event: &ServiceEvent) {
    match event {
        ServiceEvent::Freshness { from, to } => tracing::info!(%service, ?from, ?to, "discovery changed"),
        ServiceEvent::Health { key, from, to, verdict } => {
            tracing::debug!(%service, instance = %key.id(), from = from.name(), to = to.name(), ?verdict, "checks changed");
        }
        ServiceEvent::Status { key, change, lasted } => {
            let (from, to) = (change.from.name(), change.to.name());
            tracing::info!(%service, instance = %key.id(), from, to, reason = ?change.reason, ?lasted, "health changed");
        }
        ServiceEvent::Outlier(event) => log_outlier(service, event),
        ServiceEvent::Deregistering { key, .. } => {
            tracing::warn!(%service, instance = %key.id(), "critical for too long, taking it out of the registry");
        }
        ServiceEvent::Deregistered { key, answer: Deregistration::Never } => {
            tracing::warn!(%service, instance = %key.id(), "stays in the registry: not the mesh's to take out");
        }
        ServiceEvent::Deregistered { key, answer } => {
            tracing::info!(%service, instance = %key.id(), ?answer, "deregistration answered");
        }
        other => tracing::info!(%service, ?other, "service event"),
    }
}

fn log_outlier(service: &ServiceName, event: &OutlierEvent) {
    match event {
        OutlierEvent::Ejected { key, cause, .. } => {
            tracing::warn!(%service, instance = %key.id(), ?cause, "requests end unlike elsewhere, taking it out");
        }
        OutlierEvent::Spared { key, cause, because } => {
            let because = because.name();
            tracing::warn!(%service, instance = %key.id(), ?cause, because, "requests end unlike elsewhere, it stays in");
        }
        OutlierEvent::Released { key } => tracing::info!(%service, instance = %key.id(), "is tried with one request"),
        OutlierEvent::Restored { key, by } => {
            tracing::info!(%service, instance = %key.id(), by = by.name(), "gets requests again");
        }
        other => tracing::info!(%service, ?other, "outlier detection"),
    }
}

/// Has `recorder` take note of `event` of `service`, if it is one that is counted.
pub(super) fn measure(recorder: &dyn Recorder, service: &ServiceName, event: &ServiceEvent) {
    let measurement = match event {
        ServiceEvent::Status { change, lasted, .. } => Measurement::StatusChanged {
            service,
            from: Status::name(change.from),
            to: change.to.name(),
            reason: change.reason.name(),
            lasted: *lasted,
        },
        ServiceEvent::Outlier(OutlierEvent::Ejected { cause, .. }) => {
            Measurement::OutlierFound { service, cause: cause.name(), result: "ejected" }
        }
        ServiceEvent::Outlier(OutlierEvent::Spared { cause, because, .. }) => {
            Measurement::OutlierFound { service, cause: cause.name(), result: because.name() }
        }
        ServiceEvent::Outlier(OutlierEvent::Restored { by, .. }) => {
            Measurement::OutlierRestored { service, by: by.name() }
        }
        ServiceEvent::Deregistered { answer, .. } => Measurement::Reaped { service, result: answer.name() },
        // The rest is logged only.
        ServiceEvent::Freshness { .. }
        | ServiceEvent::Health { .. }
        | ServiceEvent::Outlier(_)
        | ServiceEvent::Deregistering { .. }
        | _ => return,
    };
    recorder.record(&measurement);
}
