//! What measurements are called, and what they are about.

use super::Measurement;
use crate::service::ServiceName;

impl<'a> Measurement<'a> {
    /// The name of the metric.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CallEnded { .. } => "mesh.client.call.duration",
            Self::AttemptEnded { .. } => "mesh.client.attempt.duration",
            Self::ExtraAttempt { .. } => "mesh.client.extra_attempts",
            Self::QueueTime { .. } => "mesh.client.queue.duration",
            Self::BreakerChanged { .. } => "mesh.client.breaker.transitions",
            Self::BudgetSettled { .. } => "mesh.client.budget.settlement.duration",
            Self::BudgetUnsettled { .. } => "mesh.client.budget.failures",
            Self::BudgetAnswered { .. } => "mesh.client.budget.answers",
            Self::BudgetStateChanged { .. } => "mesh.client.budget.transitions",
            Self::RetrySlots { .. } => "mesh.client.slots",
            Self::OperationBegan { .. } => "mesh.operation.begin.duration",
            Self::OperationEnded { .. } => "mesh.operation.duration",
            Self::VoteCounted { .. } => "mesh.client.votes.duration",
            Self::EvidenceChanged { .. } => "mesh.client.evidence.transitions",
            Self::ProbeRight { .. } => "mesh.client.probe.rights",
            Self::VoteFailed { .. } => "mesh.client.votes.failures",
            Self::StoreSkew { .. } => "mesh.coordinator.skew",
            Self::PickRefused { .. } => "mesh.lb.refusals",
            Self::Endpoints { .. } => "mesh.lb.endpoints",
            Self::DiscoveryUpdated { .. } => "mesh.discovery.updates",
            Self::HealthChecked { .. } => "mesh.health.checks",
            Self::StatusChanged { .. } => "mesh.health.transitions",
            Self::OutlierFound { .. } => "mesh.health.outliers",
            Self::OutlierRestored { .. } => "mesh.health.restorations",
            Self::Reaped { .. } => "mesh.health.deregistrations",
            Self::Registration { .. } => "mesh.registration.events",
            Self::Deregistration { .. } => "mesh.registration.deregistration.duration",
        }
    }

    /// The service that the measurement is about; none where it is about an operation.
    #[must_use]
    pub const fn service(&self) -> Option<&'a ServiceName> {
        match self {
            Self::OperationBegan { .. } | Self::OperationEnded { .. } => None,
            Self::CallEnded { service, .. }
            | Self::AttemptEnded { service, .. }
            | Self::ExtraAttempt { service, .. }
            | Self::QueueTime { service, .. }
            | Self::BreakerChanged { service, .. }
            | Self::BudgetSettled { service, .. }
            | Self::BudgetUnsettled { service, .. }
            | Self::BudgetAnswered { service, .. }
            | Self::BudgetStateChanged { service, .. }
            | Self::RetrySlots { service, .. }
            | Self::VoteCounted { service, .. }
            | Self::EvidenceChanged { service, .. }
            | Self::ProbeRight { service, .. }
            | Self::VoteFailed { service, .. }
            | Self::StoreSkew { service, .. }
            | Self::PickRefused { service, .. }
            | Self::Endpoints { service, .. }
            | Self::DiscoveryUpdated { service, .. }
            | Self::HealthChecked { service, .. }
            | Self::StatusChanged { service, .. }
            | Self::OutlierFound { service, .. }
            | Self::OutlierRestored { service, .. }
            | Self::Reaped { service, .. }
            | Self::Registration { service, .. }
            | Self::Deregistration { service, .. } => Some(service),
        }
    }
}
