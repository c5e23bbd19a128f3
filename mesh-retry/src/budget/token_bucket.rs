//! The token bucket: extra attempts as a share of the first ones, and a trickle that comes with time.

use mesh_core::time::Instant;

use super::accrual::{Accrual, Brought};
use super::config::{BudgetError, in_range};
use super::{Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid};
use crate::sync::{AtomicU64, Ordering};

/// What a [`TokenBucket`] holds and gains, in thousandths of a retry: 200 is 0.2.
///
/// The default allows a fifth more attempts, as Finagle, Linkerd, Envoy and reqwest do, so that every failure can be retried
/// as long as no more than a sixth of the attempts fail. It differs in what does not depend on the traffic, because every
/// process of a fleet has that: a retry every ten seconds where Finagle has ten a second, and ten at the start of an outage
/// where Finagle and AWS have a hundred. A thousand processes that make one call a second each then bring 1.3 times their
/// calls to a service that is down, and not 11.2 times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct TokenBucketConfig {
    /// What a first attempt brings: 0 to 1,000,000, which is a thousand retries. Default 200.
    pub ratio_milli: u32,
    /// What a second brings: 0 to 500,000,000. Default 100.
    pub per_second_milli: u32,
    /// What the bucket holds at the start and at most: 1000, which is one retry, to 1,000,000,000. Default 10,000.
    pub burst_milli: u32,
}

impl TokenBucketConfig {
    /// The bucket of Marc Brooker's published retry simulator: a tenth of the first attempts, five at most, nothing with
    /// time ("What is Backoff For?", 2022). His grants a retry to who has more than one; this one to who has one.
    #[must_use]
    pub const fn brooker() -> Self {
        Self { ratio_milli: 100, per_second_milli: 0, burst_milli: 5_000 }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub const fn validate(&self) -> Result<(), BudgetError> {
        if let Err(error) = in_range("ratio_milli", self.ratio_milli, 0, RATIO_MAX) {
            return Err(error);
        }
        if let Err(error) = in_range("per_second_milli", self.per_second_milli, 0, PER_SECOND_MAX) {
            return Err(error);
        }
        in_range("burst_milli", self.burst_milli, RETRY as u32, BURST_MAX)
    }
}

impl Default for TokenBucketConfig {
    fn default() -> Self {
        Self { ratio_milli: 200, per_second_milli: 100, burst_milli: 10_000 }
    }
}

/// A bucket that starts full, gains with every first attempt and with time, and pays one for every retry or hedge.
///
/// In any stretch of time it grants at most what it holds, what first attempts brought in that stretch and what time
/// brought in it, under any interleaving of threads, and however their clocks differ. A time that goes back brings nothing.
///
/// # How it counts
///
/// There is one word, and no fraction is lost in it. Time is a number of ticks since the owner's epoch, of which one is as
/// long as time takes to bring a thousandth of a retry. The word is the tick at which the bucket will be full: a retry
/// moves it a thousand ticks ahead, but not from a past tick, and a first attempt moves it `ratio_milli` back. What is
/// missing in the bucket is what is left until then (virtual scheduling, as in the GCRA of ATM Forum TM 4.0).
///
/// Where time falls between two ticks, what is left is counted from the earlier and what is spent from the later, so that
/// no thread can gain from asking at the right moment: at most two thousandths of a retry are held back in the meantime.
///
/// A first attempt reads the word, and writes it where the bucket is not full. A denial writes nothing.
#[derive(Debug)]
#[repr(align(128))]
pub struct TokenBucket {
    /// The tick at which it will be full, plus [`BEFORE_ZERO`].
    full_at: AtomicU64,
    ticks: Accrual,
    ratio: u64,
    burst: u64,
}

impl TokenBucket {
    /// A full bucket. A configuration that breaks its rules is followed as far as it goes: see
    /// [`TokenBucketConfig::validate`].
    #[must_use]
    pub fn new(config: &TokenBucketConfig) -> Self {
        Self {
            full_at: AtomicU64::new(BEFORE_ZERO),
            ticks: Accrual::new(u64::from(config.per_second_milli.min(PER_SECOND_MAX)), SECOND),
            ratio: u64::from(config.ratio_milli),
            burst: u64::from(config.burst_milli),
        }
    }

    #[inline]
    fn tick(&self, now: Instant) -> Brought {
        let Brought { floor, ceil } = self.ticks.brought(now);
        // Half a tick a nanosecond at most: the sums are far from the end of the word.
        Brought { floor: floor + BEFORE_ZERO, ceil: ceil + BEFORE_ZERO }
    }

    #[cold]
    fn denial(&self, full_at: u64, missing: u64) -> Denial {
        // What is missing falls to `burst - RETRY` at this tick.
        let enough_at = (full_at + RETRY).saturating_sub(self.burst + BEFORE_ZERO);
        let retry_at = if self.burst < RETRY { None } else { self.ticks.reaches(enough_at) };
        Denial::new(BudgetKind::TokenBucket, milli(self.burst.saturating_sub(missing)), milli(RETRY), retry_at)
    }
}

impl Budget for TokenBucket {
    #[inline]
    fn deposit(&self, now: Instant) {
        // What does not fit is lost; a bucket that another thread fills meanwhile is full a little longer than it says,
        // which is what [`BEFORE_ZERO`] leaves room for.
        if self.ratio > 0 && self.full_at.load(Ordering::Relaxed) > self.tick(now).floor {
            self.full_at.fetch_sub(self.ratio, Ordering::Relaxed);
        }
    }

    #[inline]
    fn withdraw(&self, now: Instant, _: Extra) -> Answer {
        let tick = self.tick(now);
        // The word is all there is, and nothing else is published with it.
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let missing = full_at.saturating_sub(tick.floor);
            if missing + RETRY > self.burst {
                return Answer::Denied(self.denial(full_at, missing));
            }
            let paid = full_at.max(tick.ceil) + RETRY;
            match self.full_at.compare_exchange_weak(full_at, paid, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Answer::Granted(Paid::new(RETRY as u32)),
                Err(changed) => full_at = changed,
            }
        }
    }

    /// Gives nothing back: an attempt was paid for when it was granted.
    #[inline]
    fn ended(&self, _: Instant, _: End, _: Option<Paid>) {}

    fn level(&self, now: Instant) -> Level {
        let missing = self.full_at.load(Ordering::Relaxed).saturating_sub(self.tick(now).floor);
        Level::new(milli(self.burst.saturating_sub(missing)), Some(milli(self.burst)))
    }
}

fn milli(ticks: u64) -> u32 {
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// What a retry costs, in ticks.
const RETRY: u64 = 1_000;
const RATIO_MAX: u32 = 1_000_000;
const PER_SECOND_MAX: u32 = 500_000_000;
const BURST_MAX: u32 = 1_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// By how many ticks the word is ahead, so that it does not fall below zero where threads fill the bucket at once: each
/// falls short of what it saw by less than its own deposit, and no process has a million threads.
const BEFORE_ZERO: u64 = 1 << 48;
