//! The breakers of a service's instances, one each: which of them may be asked, and how what was asked of them ended.
//!
//! A breaker lies beside the counters of its instance ([`Endpoint::companion`]): it is found without a look-up, made with the
//! first attempt, and forgotten with the instance. One that comes back begins with another.
//!
//! What lies beside the counters is freed with those of its neighbours, which may be long after the instance has left: so
//! whoever publishes a view without it says that it is to be forgotten, and nobody votes on it any more.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::{Bars, Endpoint, Outcome, View};
use mesh_core::rng::mix;
use mesh_core::route::RouteId;
use mesh_core::time::Instant;
use mesh_retry::breaker::{BreakerConfig, Permit, State, Verdict};
use mesh_retry::call::Shut;

use super::breaker::{VotedBreaker, Watch};
use crate::coordinator::Votes;
use crate::lease::Lease;

/// The breakers of the instances of one service.
#[derive(Debug)]
pub(super) struct InstanceBreakers {
    config: BreakerConfig,
    seed: u64,
    watch: Watch,
    votes: Option<Arc<Votes>>,
}

/// What lies beside the counters; nothing where the configuration makes no breaker, or the instance has left.
#[derive(Debug)]
struct Own(Option<VotedBreaker>);

impl InstanceBreakers {
    /// Breakers of `config`, which has been found valid, and who votes for them. `seed` differs from process to process.
    pub(super) const fn new(config: BreakerConfig, seed: u64, watch: Watch, votes: Option<Arc<Votes>>) -> Self {
        Self { config, seed, watch, votes }
    }

    /// Lets the attempt pass that was placed, or gives the place up: then nothing was counted.
    pub(super) fn admit(&self, now: Instant, lease: Lease) -> Option<Placed> {
        let endpoint = lease.endpoint();
        let make = || {
            let votes = self.votes.as_ref().and_then(|votes| votes.on_instance(lease.instance()));
            Own(VotedBreaker::new(&self.config, mix(self.seed ^ endpoint.id().number()), votes))
        };
        let Some(breaker) = endpoint.companion(make).and_then(|own| own.0.as_ref()) else {
            return Some(Placed::unguarded(lease));
        };
        match breaker.permit(now) {
            Ok(permit) => {
                breaker.tell(&self.watch, Some(lease.instance().id()), permit.transition());
                Some(Placed { lease, permit: Some(permit) })
            }
            Err(refused) => {
                breaker.tell(&self.watch, Some(lease.instance().id()), refused.transition);
                None
            }
        }
    }

    /// Takes note of how the attempt ended. It is done once: the permit is gone then.
    pub(super) fn record(&self, now: Instant, placed: &mut Placed, outcome: Outcome, took: Duration) {
        if let (Some(permit), Some(breaker)) = (placed.permit.take(), own(placed.lease.endpoint())) {
            let transition = breaker.record(now, permit, Verdict::of_outcome(outcome, took));
            breaker.tell(&self.watch, Some(placed.instance().id()), transition);
        }
    }

    /// The instance that has this `endpoint` has left: nobody votes on it any more, nor begins to for a call that is late.
    pub(super) fn forget(&self, endpoint: &Endpoint) {
        if self.votes.is_some()
            && let Some(Own(Some(breaker))) = endpoint.companion(|| Own(None))
        {
            breaker.leave_fleet();
        }
    }

    /// That no instance of `route` may be asked, and when the first may.
    pub(super) fn shut(&self, now: Instant, view: &View, route: RouteId) -> Shut {
        let (mut refusing, mut usable, mut opens_at) = (0, 0, None::<Instant>);
        for (endpoint, _) in view.usable(route) {
            let refused = own(endpoint).and_then(|breaker| breaker.refusal(now));
            let at = match &refused {
                Some(refused) if refused.state != State::HalfOpen => refused.retry_at,
                // A probe may end at any moment, and whoever lets calls through again need not be waited for.
                Some(_) | None => Some(now),
            };
            (usable, refusing) = (usable + 1, refusing + u64::from(refused.is_some()));
            opens_at = [opens_at, at].into_iter().flatten().min();
        }
        Shut::new("instance-breaker", "open", refusing, usable).opening_at(opens_at)
    }
}

impl Bars for InstanceBreakers {
    fn bars(&self, now: Instant, endpoint: &Endpoint) -> bool {
        own(endpoint).is_some_and(|breaker| breaker.refusal(now).is_some())
    }
}

/// An instance that was picked for an attempt and whose breaker lets it pass. Dropped, the place of a probe is free again.
#[derive(Debug)]
pub(super) struct Placed {
    lease: Lease,
    permit: Option<Permit>,
}

impl Placed {
    /// Where instances have no breakers.
    pub(super) const fn unguarded(lease: Lease) -> Self {
        Self { lease, permit: None }
    }

    /// Ends the request at the balancer.
    pub(super) fn end(&mut self, now: Instant, outcome: Outcome) {
        self.lease.end(now, outcome);
    }
}

impl Deref for Placed {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let (Some(permit), Some(breaker)) = (self.permit.take(), own(self.lease.endpoint())) {
            breaker.give_back(permit);
        }
    }
}

/// The breaker of an instance, if it was asked before.
fn own(endpoint: &Endpoint) -> Option<&VotedBreaker> {
    endpoint.companion_if_made::<Own>()?.0.as_ref()
}
