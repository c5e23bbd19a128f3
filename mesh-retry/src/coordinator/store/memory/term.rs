//! For how long what a store holds is held. Decides nothing.

use core::time::Duration;

use crate::coordinator::store::StoreTime;

/// A stretch of the store's time that ends.
///
/// A store's clock may go back, as it does where a replica with a slower one takes over. No more is ever left than the
/// whole length, so that what was held for a second is not held for an hour then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term {
    ends: StoreTime,
    length: Duration,
}

impl Term {
    /// `length` from `now` on.
    pub(super) fn new(now: StoreTime, length: Duration) -> Self {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Self { ends: StoreTime::from_micros(now.as_micros().saturating_add(micros)), length }
    }

    /// How much is left of it.
    pub(super) fn left(&mut self, now: StoreTime) -> Duration {
        if self.ends.since(now) > self.length {
            *self = Self::new(now, self.length);
        }
        self.ends.since(now)
    }

    /// Whether it is not over and has begun, or nearly so: one that is yet to begin is from before the clock went back.
    pub(super) fn is_running(&self, now: StoreTime) -> bool {
        let left = self.ends.since(now);
        !left.is_zero() && left <= self.length.saturating_add(AHEAD_MAX)
    }

    pub(super) const fn ends(&self) -> StoreTime {
        self.ends
    }
}

/// How far a clock goes back that is only set right.
const AHEAD_MAX: Duration = Duration::from_secs(1);
