//! Time as the decisions see it: a number of nanoseconds that somebody else read.
//!
//! Nothing in this crate reads a clock. Whoever drives a decision passes [`Instant`], counted from an
//! epoch of its own choosing, so that a simulator may pass virtual time.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

/// A point in time: nanoseconds since the owner's epoch.
///
/// Arithmetic saturates at [`Instant::ZERO`] and [`Instant::MAX`] (584 years), so no sequence of inputs
/// can panic or wrap. Instants of two owners must not be mixed: their epochs differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The owner's epoch.
    pub const ZERO: Self = Self(0);
    /// The far future: no deadline is later.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The instant `millis` milliseconds after the epoch, saturating.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, or zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The instant `duration` later, at most [`Instant::MAX`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(duration)))
    }

    /// The instant `duration` earlier, at least [`Instant::ZERO`].
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(duration)))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.after(duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = self.after(duration);
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        self.before(duration)
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// The whole nanoseconds of `duration`, at most `u64::MAX`.
#[must_use]
pub fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A clock that never goes back, whatever it is told.
///
/// Machines keep one: an input stamped earlier than the one before it is taken to happen at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Monotonic(Instant);

impl Monotonic {
    /// Takes note of `now` and returns the latest time seen.
    pub fn observe(&mut self, now: Instant) -> Instant {
        self.0 = self.0.max(now);
        self.0
    }

    /// The latest time seen.
    #[must_use]
    pub const fn latest(&self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::MAX + Duration::from_secs(1), Instant::MAX);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::MAX);
        assert_eq!(Instant::ZERO - Instant::MAX, Duration::ZERO);
    }

    #[test]
    fn a_monotonic_clock_ignores_time_that_goes_back() {
        let mut clock = Monotonic::default();
        assert_eq!(clock.observe(Instant::from_millis(5)), Instant::from_millis(5));
        assert_eq!(clock.observe(Instant::from_millis(3)), Instant::from_millis(5));
        assert_eq!(clock.latest(), Instant::from_millis(5));
    }
}
