//! When a watch may ask again.

use std::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::time::Instant;

use super::config::WatchConfig;
use crate::error::{ConsulError, ErrorClass};

/// A token bucket of [`BURST`] queries, and what failures add to it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the bucket is full again.
    full_at: Instant,
    failures: u32,
    idle_returns: u32,
}

impl Pace {
    /// A query is sent.
    pub(super) fn asked(&mut self, now: Instant, config: &WatchConfig) {
        self.full_at = self.full_at.max(now) + self.interval(config);
    }

    /// An answer came.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether a query told of a change, or lasted as long as it was asked to.
    pub(super) const fn told_of_change(&mut self, did: bool) {
        self.idle_returns = if did { 0 } else { self.idle_returns.saturating_add(1) };
    }

    /// When the next query may be sent.
    pub(super) fn next(&self, now: Instant, config: &WatchConfig) -> Instant {
        let spare = self.interval(config).saturating_mul(BURST - 1);
        let earliest = self.full_at - spare;
        earliest.max(now)
    }

    /// How long to wait after `error`.
    pub(super) fn after_failure(&mut self, error: &ConsulError, config: &WatchConfig, rng: &mut Rng) -> Duration {
        let longest = config.retry.saturating_mul(1_u32 << self.failures.min(DOUBLINGS_MAX)).min(config.retry_max);
        self.failures = self.failures.saturating_add(1);
        let wait = match error.class() {
            ErrorClass::Transient | ErrorClass::NoLeader | ErrorClass::LostRegistration => {
                rng.up_to(longest).max(WAIT_MIN)
            }
            // Connections that were dropped count at the agent until their wait is over.
            ErrorClass::ConnectionLimit => config.retry_max / 2 + rng.up_to(config.retry_max / 2),
            ErrorClass::AclDenied => config.denied_retry.saturating_add(rng.up_to(config.denied_retry)),
            ErrorClass::BadRequest | ErrorClass::Decode | ErrorClass::Unsupported => config.refused_retry,
        };
        wait.max(error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX))
    }

    const fn interval(&self, config: &WatchConfig) -> Duration {
        if self.idle_returns >= IDLE_RETURNS_MAX { config.idle_interval } else { config.interval }
    }
}

/// How many queries may follow each other at once.
const BURST: u32 = 2;
/// How many returns without a change are taken for chance.
const IDLE_RETURNS_MAX: u32 = 8;
const DOUBLINGS_MAX: u32 = 16;
/// Full jitter may draw nothing; a leader that went away refuses within microseconds.
const WAIT_MIN: Duration = Duration::from_millis(10);
/// A server that asks for more is asked again all the same.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
