//! The breaker of a service, whose transitions are told, and what it has of the fleet's votes.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::service::{InstanceId, ServiceName};
use mesh_core::time::Instant;
use mesh_retry::breaker::{Breaker, BreakerConfig, Permit, Transition, Verdict};
use mesh_retry::call::{AttemptEnd, Gate, Pass, Shut};

use crate::coordinator::{Shared, VoterSeat};

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
    #[cold]
    fn tell(&self, instance: Option<&InstanceId>, transition: Transition) {
        let (service, shown) = (&self.service, instance.map(tracing::field::display));
        let (from, to, reason) = (transition.from.name(), transition.to.name(), transition.reason.name());
        tracing::info!(%service, instance = shown, from, to, reason, "the circuit breaker changed");
        self.recorder.record(&Measurement::BreakerChanged { service, instance, from, to, reason });
    }
}

/// A breaker, and its way to whoever votes for it where the fleet shares what its breakers find. A closed one pays for that
/// with its failures alone.
#[derive(Debug)]
pub(super) struct VotedBreaker {
    breaker: Breaker,
    seat: Option<VoterSeat>,
}

impl VotedBreaker {
    /// A breaker of `config`; none where that is not valid.
    pub(super) fn new(config: &BreakerConfig, seed: u64, votes: Option<Shared>) -> Option<Self> {
        let (evidence, seat) = votes.unzip();
        let breaker = match evidence {
            Some(evidence) => Breaker::with_evidence(config, seed, evidence),
            None => Breaker::new(config, seed),
        };
        Some(Self { breaker: breaker.ok()?, seat })
    }

    /// Passes on what the breaker did, that of `instance` or of the service as a whole.
    #[inline]
    pub(super) fn tell(&self, watch: &Watch, instance: Option<&InstanceId>, transition: Option<Transition>) {
        if let Some(transition) = transition {
            if let Some(seat) = &self.seat {
                seat.changed(&self.breaker);
            }
            watch.tell(instance, transition);
        }
    }

    /// Goes by itself from now on.
    pub(super) fn leave_fleet(&self) {
        if let Some(seat) = &self.seat {
            seat.leave();
        }
    }
}

impl Deref for VotedBreaker {
    type Target = Breaker;

    fn deref(&self) -> &Breaker {
        &self.breaker
    }
}

/// A breaker as a gate of calls, with somebody who takes note of what it does.
#[derive(Debug)]
pub(super) struct WatchedBreaker {
    breaker: VotedBreaker,
    watch: Watch,
}

impl WatchedBreaker {
    pub(super) const fn new(breaker: VotedBreaker, watch: Watch) -> Self {
        Self { breaker, watch }
    }

    fn tell(&self, transition: Option<Transition>) {
        self.breaker.tell(&self.watch, None, transition);
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
