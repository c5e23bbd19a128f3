//! What the machine of a budget reports, and the clock of its store, as log lines and as measurements.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::service::ServiceName;
use mesh_core::time::Instant;
use mesh_retry::coordinator::budget::{FleetAnswers, FleetChange, FleetEvent, FleetState};
use mesh_retry::coordinator::skew::Skew;
use mesh_retry::coordinator::store::StoreTime;

/// Tells what becomes of the budget of one service.
#[derive(Debug)]
pub(super) struct Telling {
    service: ServiceName,
    recorder: Arc<dyn Recorder>,
    skew: SkewTelling,
}

/// Tells how the clock of the store runs that the calls to one service are coordinated by.
#[derive(Debug)]
pub(super) struct SkewTelling {
    service: ServiceName,
    recorder: Arc<dyn Recorder>,
    skew: Skew,
}

impl Telling {
    pub(super) fn new(service: ServiceName, recorder: Arc<dyn Recorder>) -> Self {
        let skew = SkewTelling::new(service.clone(), Arc::clone(&recorder));
        Self { service, recorder, skew }
    }

    pub(super) const fn service(&self) -> &ServiceName {
        &self.service
    }

    pub(super) fn tell(&mut self, now: Instant, event: &FleetEvent) {
        let service = &self.service;
        match *event {
            FleetEvent::StateChanged { from, to, why } => self.changed(from, to, why),
            FleetEvent::Settled { latency, at, wanted, granted, returned, left_milli, processes, denied_for } => {
                self.recorder.record(&Measurement::BudgetSettled {
                    service,
                    latency,
                    wanted,
                    granted,
                    returned,
                    left_milli,
                    processes,
                    denied_for,
                });
                self.skew.measure(now, latency, at);
            }
            FleetEvent::Answered(FleetAnswers { by_lease, by_share, deferred, denied, .. }) => {
                self.recorder.record(&Measurement::BudgetAnswered { service, by_lease, by_share, deferred, denied });
            }
            FleetEvent::Unsettled { failure, after, failures } => {
                tracing::debug!(%service, %failure, ?after, failures, "the fleet's budget was not settled with");
                let failure = failure.name();
                self.recorder.record(&Measurement::BudgetUnsettled { service, failure, after, failures });
            }
            ref other => tracing::info!(%service, ?other, "fleet budget event"),
        }
    }

    fn changed(&self, from: FleetState, to: FleetState, why: FleetChange) {
        let service = &self.service;
        let is_lost = to == FleetState::LocalFallback && why != FleetChange::Shutdown;
        let (from, to, reason) = (from.name(), to.name(), why.name());
        if is_lost {
            tracing::warn!(%service, from, to, reason, "the store of the fleet's retries is lost, going by the share");
        } else {
            tracing::info!(%service, from, to, reason, "who grants retries changed");
        }
        self.recorder.record(&Measurement::BudgetStateChanged { service, from, to, reason });
    }
}

impl SkewTelling {
    pub(super) const fn new(service: ServiceName, recorder: Arc<dyn Recorder>) -> Self {
        Self { service, recorder, skew: Skew::new() }
    }

    /// Takes note of how the store's clock runs, by an answer that it gave `at` its time, and that took `latency`.
    pub(super) fn measure(&mut self, now: Instant, latency: Duration, at: StoreTime) {
        let Some(reading) = self.skew.observe(now.before(latency), now, at) else { return };
        let (service, gained_micros, was_set) = (&self.service, reading.gained_micros, reading.was_set);
        if was_set {
            tracing::warn!(%service, gained_micros, "the clock of the store, or of this process, was set");
        }
        let uncertain_by = reading.uncertain_by;
        self.recorder.record(&Measurement::StoreSkew { service, gained_micros, uncertain_by, was_set });
    }
}
