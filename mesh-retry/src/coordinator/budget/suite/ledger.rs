//! The bound, for every window at once.

use std::collections::VecDeque;

use mesh_core::time::Instant;

use super::network::DELAY_MAX;
use crate::budget::TokenBucketConfig;
use crate::coordinator::budget::told::REPORT_WITHIN;

/// What has come in and gone out since the start, in millionths of a retry.
///
/// The bound says of each window that what went out is no more than what came in, and what was there when it began. So the
/// difference of the two sums must never be more than it was at any earlier time, and what was there then: the least of
/// these is all that has to be remembered.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: TokenBucketConfig,
    /// What they were paid with, less what came back.
    retries: i128,
    requests: i128,
    /// What the store's clock has moved ahead, in microseconds.
    store_micros: i128,
    losses: i128,
    /// What shares of processes that began held, and what time brought to all shares.
    shares: i128,
    /// How many requests there had been before each time at which there were some, for as long as those may be told.
    recent: VecDeque<(Instant, i128)>,
    least: i128,
}

/// What is there at a time, in millionths of a retry.
#[derive(Clone, Copy, Debug)]
pub(super) struct There {
    /// Tokens that processes hold, or that are on their way to them or back.
    pub(super) leases: i128,
    /// What the shares hold, with what time has brought since they were last looked at.
    pub(super) shares: i128,
}

impl Ledger {
    pub(super) fn new(limits: TokenBucketConfig) -> Self {
        Self {
            limits,
            retries: 0,
            requests: 0,
            store_micros: 0,
            losses: 0,
            shares: 0,
            recent: VecDeque::new(),
            least: i128::MAX,
        }
    }

    pub(super) fn retried(&mut self) {
        self.retries += RETRY;
    }

    /// So much of what retries were paid with came back, since they were not made.
    pub(super) fn given_back(&mut self, micros: i128) {
        self.retries -= micros;
    }

    pub(super) fn requested(&mut self, now: Instant) {
        if self.recent.back().is_none_or(|(at, _)| *at != now) {
            self.recent.push_back((now, self.requests));
        }
        self.requests += 1;
    }

    pub(super) fn store_clock_moved(&mut self, micros: i128) {
        self.store_micros += micros.max(0);
    }

    pub(super) fn state_lost(&mut self) {
        self.losses += 1;
    }

    pub(super) fn shares_gained(&mut self, gained: i128) {
        self.shares += gained;
    }

    /// Checks every window that ends now, and remembers those that begin now.
    pub(super) fn check(&mut self, now: Instant, there: There) {
        let ratio = i128::from(self.limits.ratio_milli) * 1_000;
        let burst = i128::from(self.limits.burst_milli) * 1_000;
        let time = self.store_micros * i128::from(self.limits.per_second_milli) / 1_000;
        let came_in = self.requests * ratio + time + self.losses * burst + self.shares;
        let excess = self.retries - came_in;
        // What is rounded down in between is less than a millionth each time.
        assert!(
            excess <= self.least.saturating_add(ROUNDED),
            "at {now:?} the fleet has made {} more retries than its bound: {self:?}",
            (excess - self.least) as f64 / RETRY as f64
        );
        let young = now.before(REPORT_WITHIN + DELAY_MAX);
        while self.recent.front().is_some_and(|(at, _)| *at < young) {
            self.recent.pop_front();
        }
        let told = self.recent.front().map_or(self.requests, |(_, before)| *before);
        let untold = (self.requests - told) * ratio;
        self.least = self.least.min(excess + burst + there.leases + there.shares + untold);
    }
}

const RETRY: i128 = 1_000_000;
const ROUNDED: i128 = 1_000;
