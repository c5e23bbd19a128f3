//! The crate's own breakers, limits and throttles as gates of calls. Decides what an attempt's end means to each.

use core::time::Duration;

use mesh_core::balance::Outcome;
use mesh_core::time::Instant;

use super::gate::{AttemptEnd, Gate, Pass, Shut};
use crate::breaker::{Breaker, Permit, Refused, State, Verdict};
use crate::classify::{Class, Failure};
use crate::limit::throttle::{AdaptiveThrottle, Throttled};
use crate::limit::{self, ConcurrencyLimit, Limited};

/// A failure of the callee counts, an overload as well; a failure of the request does not, nor does a call that nobody
/// waits for.
impl Gate for Breaker {
    fn admit(&self, now: Instant, _: u64) -> Result<Pass, Shut> {
        self.permit(now).map(|permit| Pass(permit.into_bits())).map_err(|refused| Shut::from(&refused))
    }

    fn ended(&self, now: Instant, Pass(pass): Pass, end: AttemptEnd, took: Duration) {
        self.record(now, Permit::from_bits(pass), Verdict::of(end, took));
    }

    fn shut(&self, now: Instant) -> Option<Shut> {
        // While it is half-open a probe may end at any moment.
        let refused = self.refusal(now).filter(|refused| refused.state != State::HalfOpen);
        refused.map(|refused| Shut::from(&refused))
    }
}

impl Verdict {
    /// What the end of an attempt that took so long says of its callee. A failure of the request is none of the callee's.
    #[must_use]
    pub const fn of(end: AttemptEnd, took: Duration) -> Self {
        let outcome = match end {
            AttemptEnd::Ended(class) => class.outcome(),
            AttemptEnd::TimedOut => Outcome::TimedOut,
            AttemptEnd::Cancelled | AttemptEnd::NotMade => Outcome::Cancelled,
        };
        Self::of_outcome(outcome, took)
    }

    /// As [`Verdict::of`], from what the balancer learns.
    #[must_use]
    pub const fn of_outcome(outcome: Outcome, took: Duration) -> Self {
        match outcome {
            Outcome::Success => Self::Succeeded(took),
            Outcome::Failure | Outcome::Overloaded { .. } | Outcome::TimedOut | Outcome::Unreachable => {
                Self::Failed(took)
            }
            Outcome::Cancelled => Self::Ignored,
        }
    }
}

impl From<&Refused> for Shut {
    fn from(refused: &Refused) -> Self {
        let (failed, calls) = (u64::from(refused.counts.failed), u64::from(refused.counts.calls));
        Self::new("breaker", refused.state.name(), failed, calls).opening_at(refused.retry_at)
    }
}

/// An answer is a sample of the round trip whatever it says, but for an overload: that is a drop, as a timeout is.
impl Gate for ConcurrencyLimit {
    fn admit(&self, now: Instant, _: u64) -> Result<Pass, Shut> {
        match self.acquire(now) {
            Ok(permit) => Ok(Pass(permit.into_bits())),
            Err(Limited::AtLimit { limit, in_flight, retry_at }) => {
                Err(Shut::new("concurrency-limit", "full", u64::from(in_flight), u64::from(limit)).opening_at(retry_at))
            }
        }
    }

    fn ended(&self, now: Instant, Pass(pass): Pass, end: AttemptEnd, took: Duration) {
        self.release(now, limit::Permit::from_bits(pass), end_of(end), took);
    }

    fn shut(&self, _: Instant) -> Option<Shut> {
        None
    }
}

impl Gate for AdaptiveThrottle {
    fn admit(&self, now: Instant, entropy: u64) -> Result<Pass, Shut> {
        match Self::admit(self, now, entropy) {
            Ok(()) => Ok(Pass::default()),
            Err(Throttled::FewAccepted { level, .. }) => {
                Err(Shut::new("throttle", "throttled", u64::from(level.accepts), u64::from(level.requests)))
            }
        }
    }

    fn ended(&self, now: Instant, _: Pass, end: AttemptEnd, _: Duration) {
        Self::ended(self, now, end_of(end));
    }

    fn shut(&self, _: Instant) -> Option<Shut> {
        None
    }
}

/// What the end of an attempt says of the room that its callee has.
const fn end_of(end: AttemptEnd) -> limit::End {
    match end {
        AttemptEnd::Ended(Class::Throttled { .. } | Class::Final { failure: Failure::Throttled { .. }, .. })
        | AttemptEnd::TimedOut => limit::End::Dropped,
        AttemptEnd::Ended(Class::Success | Class::Permanent | Class::Transient | Class::Final { .. }) => {
            limit::End::Success
        }
        // Nobody answered: how long that took says nothing of how busy anybody is.
        AttemptEnd::Ended(Class::Unreachable) | AttemptEnd::Cancelled | AttemptEnd::NotMade => limit::End::Ignored,
    }
}
