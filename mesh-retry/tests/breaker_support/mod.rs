//! What the tests of breakers share: short names, and a plain model that says what any breaker should do.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

pub(crate) mod model;

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::breaker::{Breaker, BreakerConfig, Counts, Permit, Transition, Verdict};

pub(crate) const TOOK: Duration = Duration::from_millis(10);
pub(crate) const OK: Verdict = Verdict::Succeeded(TOOK);
pub(crate) const FAILED: Verdict = Verdict::Failed(TOOK);

pub(crate) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

pub(crate) fn breaker(config: BreakerConfig) -> Breaker {
    Breaker::new(&config, 1).unwrap()
}

/// Opens after `failures` in a row, for 1 s; with one probe.
pub(crate) fn consecutive(failures: u32) -> BreakerConfig {
    let mut config = BreakerConfig::consecutive(number(failures));
    config.open.jitter = mesh_retry::breaker::OpenJitter::None;
    config
}

/// A call that is let through and ends at once.
pub(crate) fn call(breaker: &Breaker, now: Instant, verdict: Verdict) -> Option<Transition> {
    breaker.record(now, permit(breaker, now), verdict)
}

pub(crate) fn permit(breaker: &Breaker, now: Instant) -> Permit {
    breaker.permit(now).unwrap()
}

/// `calls` calls of which the first `failed` fail; no transition may come of them but with the last.
pub(crate) fn calls(breaker: &Breaker, now: Instant, calls: u32, failed: u32) -> Option<Transition> {
    let mut told = None;
    for number in 0..calls {
        assert_eq!(told, None, "after {number} calls");
        told = call(breaker, now, if number < failed { FAILED } else { OK });
    }
    told
}

/// Calls, failed ones, slow ones.
pub(crate) fn numbers(counts: Counts) -> (u32, u32, u32) {
    (counts.calls, counts.failed, counts.slow)
}
