//! How many tokens a process asks for, and how long it asks for none after it got fewer.

use core::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::time::{Instant, saturating_nanos};

/// How fast tokens are wanted: an average that forgets within [`FORGETS_IN`].
#[derive(Debug)]
pub(super) struct Demand {
    /// Thousandths of a token a second.
    rate_milli: u64,
    since: Instant,
    /// What was wanted since then.
    wanted: u64,
    /// How often in a row little of what was asked for came.
    denials: u32,
}

impl Demand {
    pub(super) const fn new(now: Instant) -> Self {
        Self { rate_milli: 0, since: now, wanted: 0, denials: 0 }
    }

    /// `wanted` tokens more were wanted by `now`.
    pub(super) fn observe(&mut self, now: Instant, wanted: u64) {
        self.wanted = self.wanted.saturating_add(wanted);
        let passed = now.since(self.since);
        if passed < OBSERVED_MIN {
            return;
        }
        let nanos = u128::from(saturating_nanos(passed));
        let latest = u128::from(self.wanted) * MILLIS_TIMES_SECOND / nanos;
        // The weight of the latest is what an exponential average of the first order has, to the first order.
        let forgets = u128::from(saturating_nanos(FORGETS_IN));
        let rate = (u128::from(self.rate_milli) * forgets + latest * nanos) / (forgets + nanos);
        self.rate_milli = u64::try_from(rate).unwrap_or(u64::MAX);
        (self.since, self.wanted) = (now, 0);
    }

    /// How many tokens to ask for: what is wanted in half a second, and at least for the `waiting`.
    pub(super) fn lease(&self, waiting: u64, max: u32) -> u32 {
        let lease = self.rate_milli.div_ceil(HALF_SECONDS_MILLI).max(waiting);
        u32::try_from(lease).unwrap_or(u32::MAX).clamp(1, max)
    }

    /// All that was asked for came.
    pub(super) const fn granted(&mut self) {
        self.denials = 0;
    }

    /// `granted` came of the `wanted`, and time brings the rest after `wait`. Returns for how long to ask for nothing.
    ///
    /// That is how long time takes, or longer where processes compete: each then finds that others have taken what it
    /// waited for, and so each waits for twice as long as before until half of what it asks for is there. Around a wait of
    /// its own draw, so that they do not all come back at once.
    pub(super) fn denied(&mut self, granted: u32, wanted: u32, wait: Option<Duration>, rng: &mut Rng) -> Duration {
        self.denials = if granted >= wanted.div_ceil(2) { self.denials } else { (self.denials + 1).min(DENIALS_MAX) };
        let contended = DENIED_MIN.saturating_mul(1 << self.denials);
        let wait = wait.unwrap_or(DENIED_MIN).max(contended).clamp(DENIED_MIN, DENIED_MAX);
        (wait * 3 / 4 + rng.up_to(wait / 2)).clamp(DENIED_MIN, DENIED_MAX)
    }
}

/// Half of the time for which tokens are worth something, unless configured otherwise.
const HALF_SECONDS_MILLI: u64 = 2 * 1_000;
const FORGETS_IN: Duration = Duration::from_millis(250);
const OBSERVED_MIN: Duration = Duration::from_millis(10);
const MILLIS_TIMES_SECOND: u128 = 1_000 * 1_000_000_000;

/// For how long a denial is remembered.
const DENIED_MIN: Duration = Duration::from_millis(50);
const DENIED_MAX: Duration = Duration::from_secs(1);
const DENIALS_MAX: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_lease_is_what_is_wanted_in_half_a_second() {
        let mut demand = Demand::new(at(0));
        (1..=100).for_each(|ten| demand.observe(at(ten * 10), 1));
        assert_eq!(demand.lease(0, 1_000), 50, "a hundred a second");
        assert_eq!((demand.lease(70, 1_000), demand.lease(70, 20)), (70, 20));
        demand.observe(at(4_000), 0);
        assert_eq!(demand.lease(0, 1_000), 4, "the rate of a second ago is a thirteenth");
        demand.observe(at(1_000_000), 0);
        assert_eq!(demand.lease(0, 1_000), 1);
    }

    #[test]
    fn a_denial_lasts_as_long_as_time_takes_around_a_draw_and_longer_where_processes_compete() {
        let mut rng = Rng::from_seed(1);
        let mut demand = Demand::new(at(0));
        let around = |wait: Duration, millis: u64| {
            (Duration::from_millis(millis * 3 / 4)..=Duration::from_millis(millis * 5 / 4)).contains(&wait)
        };
        let wait = Some(Duration::from_millis(400));
        assert!(around(demand.denied(5, 10, wait, &mut rng), 400), "half came");
        for doubled in [400, 400, 400, 800] {
            let denied = demand.denied(4, 10, wait, &mut rng);
            assert!(around(denied, doubled), "{denied:?} where {doubled} ms was due");
        }
        demand.granted();
        assert!(around(demand.denied(9, 10, wait, &mut rng), 400));
    }

    #[test]
    fn a_denial_is_remembered_for_a_second_at_most_and_for_a_twentieth_at_least() {
        let mut rng = Rng::from_seed(2);
        let mut demand = Demand::new(at(0));
        for (wait, granted) in [(None, 0), (Some(Duration::ZERO), 9), (Some(Duration::MAX), 9), (None, 0), (None, 0)] {
            for _ in 0..20 {
                let denied = demand.denied(granted, 10, wait, &mut rng);
                assert!((DENIED_MIN..=DENIED_MAX).contains(&denied), "{denied:?}");
            }
        }
    }
}
