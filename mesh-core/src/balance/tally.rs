//! How the attempts on one endpoint ended, counted by kind since it joined, for whoever compares it with others.

use core::time::Duration;

use super::outcome::Outcome;
use crate::sync::{AtomicU64, Ordering};

/// How attempts ended so far. Every count only ever grows, and wraps; what happened between two readings is their
/// difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Those that succeeded.
    pub successes: u64,
    /// Those that were answered with an error.
    pub failures: u64,
    /// Those that were answered with too much to do.
    pub overloaded: u64,
    /// Those without an answer in time.
    pub timed_out: u64,
    /// Those for which there was no connection, or one that broke.
    pub unreachable: u64,
    /// The sum of the logarithms to the base 2 of the nanoseconds that successes took, in 1/256: its mean over
    /// `successes` is the logarithm of their geometric mean, which a few slow ones hardly move.
    pub latency_log2_sum: u64,
}

impl Tally {
    /// What `latency` adds to [`Tally::latency_log2_sum`]: between two powers of 2 a straight line, which is at most 0.086
    /// below the logarithm's curve and the same on every machine.
    #[must_use]
    pub fn log2_of(latency: Duration) -> u64 {
        let nanos = crate::time::saturating_nanos(latency).max(1);
        let whole = nanos.ilog2();
        let rest = (nanos << (63 - whole)) << 1;
        u64::from(whole) << FRACTION_BITS | rest >> (64 - FRACTION_BITS)
    }

    /// The latency whose logarithm, as [`Tally::log2_of`] has it, is `log2`.
    #[must_use]
    pub fn latency_of(log2: f64) -> Duration {
        let scaled = log2.clamp(0.0, MOST) / f64::from(1u32 << FRACTION_BITS);
        let whole = libm::floor(scaled);
        Duration::from_nanos((libm::exp2(whole) * (1.0 + scaled - whole)) as u64)
    }
}

/// The counts as leases write them: a cache line of their own.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct TallyCell {
    successes: AtomicU64,
    latency_log2_sum: AtomicU64,
    failures: AtomicU64,
    overloaded: AtomicU64,
    timed_out: AtomicU64,
    unreachable: AtomicU64,
}

impl TallyCell {
    pub(super) fn new() -> Self {
        let [successes, latency_log2_sum, failures, overloaded, timed_out, unreachable] =
            core::array::from_fn(|_| AtomicU64::new(0));
        Self { successes, latency_log2_sum, failures, overloaded, timed_out, unreachable }
    }

    /// Counts an attempt that took `latency`.
    pub(super) fn count(&self, outcome: Outcome, latency: Duration) {
        let kind = match outcome {
            Outcome::Success => {
                // Before the count, so that no mean is too low by a latency that is missing for long.
                self.latency_log2_sum.fetch_add(Tally::log2_of(latency), Ordering::Relaxed);
                &self.successes
            }
            Outcome::Failure => &self.failures,
            Outcome::Overloaded { .. } => &self.overloaded,
            Outcome::TimedOut => &self.timed_out,
            Outcome::Unreachable => &self.unreachable,
            Outcome::Cancelled => return,
        };
        kind.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Tally {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Tally {
            successes: read(&self.successes),
            failures: read(&self.failures),
            overloaded: read(&self.overloaded),
            timed_out: read(&self.timed_out),
            unreachable: read(&self.unreachable),
            latency_log2_sum: read(&self.latency_log2_sum),
        }
    }
}

const FRACTION_BITS: u32 = 8;
/// Of the longest latency there is.
const MOST: f64 = (64 << FRACTION_BITS) as f64;
