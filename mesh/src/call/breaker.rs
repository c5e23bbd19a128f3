//! The breaker of a service, whose transitions are told.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::service::{InstanceId, ServiceName};
use mesh_core::time::Instant;
use mesh_retry::breaker::{Breaker, Permit, Transition, Verdict};
use mesh_retry::call::{AttemptEnd, Gate, Pass, Shut};

/// Takes note of what the breakers of a service do.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    service: ServiceName,
    recorder: Arc<dyn Recorder>,
}

impl Watch {
    pub(super) fn new(service: ServiceName, recorder: Arc<dyn Recorder>) -> Self {
        Self { service, recorder }
    }

    /// What the breaker of `instance` did, or that of the service as a whole.
    pub(super) fn tell(&self, instance: Option<&InstanceId>, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let (service, shown) = (&self.service, instance.map(tracing::field::display));
        let (from, to, reason) = (transition.from.name(), transition.to.name(), transition.reason.name());
        tracing::info!(%service, instance = shown, from, to, reason, "the circuit breaker changed");
        self.recorder.record(&Measurement::BreakerChanged { service, instance, from, to, reason });
    }
}

/// A breaker as a gate of calls, with somebody who takes note of what it does.
#[derive(Debug)]
pub(super) struct WatchedBreaker {
    breaker: Breaker,
    watch: Watch,
}

impl WatchedBreaker {
    pub(super) const fn new(breaker: Breaker, watch: Watch) -> Self {
        Self { breaker, watch }
    }
}

impl Gate for WatchedBreaker {
    fn admit(&self, now: Instant, _: u64) -> Result<Pass, Shut> {
        match self.breaker.permit(now) {
            Ok(permit) => {
                self.watch.tell(None, permit.transition());
                Ok(Pass(permit.into_bits()))
            }
            Err(refused) => {
                self.watch.tell(None, refused.transition);
                Err(Shut::from(&refused))
            }
        }
    }

    fn ended(&self, now: Instant, Pass(pass): Pass, end: AttemptEnd, took: Duration) {
        self.watch.tell(None, self.breaker.record(now, Permit::from_bits(pass), Verdict::of(end, took)));
    }

    fn shut(&self, now: Instant) -> Option<Shut> {
        self.breaker.shut(now)
    }
}
