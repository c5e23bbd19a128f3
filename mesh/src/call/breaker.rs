//! The breaker of a service, whose transitions are told.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::service::ServiceName;
use mesh_core::time::Instant;
use mesh_retry::breaker::{Breaker, Permit, Transition, Verdict};
use mesh_retry::call::{AttemptEnd, Gate, Pass, Shut};

/// A breaker as a gate of calls, with somebody who takes note of what it does.
#[derive(Debug)]
pub(super) struct WatchedBreaker {
    breaker: Breaker,
    service: ServiceName,
    recorder: Arc<dyn Recorder>,
}

impl WatchedBreaker {
    pub(super) fn new(breaker: Breaker, service: ServiceName, recorder: Arc<dyn Recorder>) -> Self {
        Self { breaker, service, recorder }
    }

    fn tell(&self, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let (from, to, reason) = (transition.from.name(), transition.to.name(), transition.reason.name());
        tracing::info!(service = %self.service, from, to, reason, "the circuit breaker changed");
        self.recorder.record(&Measurement::BreakerChanged { service: &self.service, from, to, reason });
    }
}

impl Gate for WatchedBreaker {
    fn admit(&self, now: Instant, _: u64) -> Result<Pass, Shut> {
        match self.breaker.permit(now) {
            Ok(permit) => {
                self.tell(permit.transition());
                Ok(Pass(permit.into_bits()))
            }
            Err(refused) => {
                self.tell(refused.transition);
                Err(Shut::from(&refused))
            }
        }
    }

    fn ended(&self, now: Instant, Pass(pass): Pass, end: AttemptEnd, took: Duration) {
        self.tell(self.breaker.record(now, Permit::from_bits(pass), Verdict::of(end, took)));
    }

    fn shut(&self, now: Instant) -> Option<Shut> {
        self.breaker.shut(now)
    }
}
