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
    /// What a second brings: 0 to 1,000,000,000. Default 100.
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
        in_range("burst_milli", self.burst_milli, RETRY_MILLI, BURST_MAX)
    }
}

impl Default for TokenBucketConfig {
    fn default() -> Self {
        Self { ratio_milli: 200, per_second_milli: 100, burst_milli: 10_000 }
    }
}

/// A bucket that starts full, gains with every first attempt and with time, and pays one for every retry or hedge.
///
/// In any stretch of time it grants at most what it holds, what first attempts brought in that stretch, what was given
/// back in it for attempts that were not made, and what time brought in it, under any interleaving of threads, and however their clocks differ. A time that goes back brings nothing.
///
/// # How it counts
///
/// There is one word, and no fraction is lost in it. Time is a number of ticks since the owner's epoch, each of which brings
/// the same part of a thousandth of a retry: the part is chosen so that a tick is a nanosecond where that can be, and less
/// than two otherwise. The word is the tick at which the bucket will be full. A retry moves it ahead by as many ticks as
/// bring one, but not from a past tick, and a first attempt moves it back by what it brings. What is missing in the bucket
/// is what is left until then (virtual scheduling, as in the GCRA of ATM Forum TM 4.0).
///
/// Where a time falls between two ticks, what is left is counted from the earlier and what is spent from the later, so that
/// nobody can gain from asking at the right moment. What is held back so is there with the next tick.
///
/// A first attempt reads the word, and writes it where the bucket is not full. A denial writes nothing.
#[derive(Debug)]
#[repr(align(128))]
pub struct TokenBucket {
    /// The tick at which it will be full, plus [`BEFORE_ZERO`].
    full_at: AtomicU64,
    ticks: Accrual,
    /// How many ticks bring a thousandth of a retry.
    milli: u64,
    /// How many bring a retry, as many as a first attempt does, and all that the bucket holds.
    retry: u64,
    ratio: u64,
    burst: u64,
}

impl TokenBucket {
    /// A full bucket. A configuration that breaks its rules is followed as far as it goes: see
    /// [`TokenBucketConfig::validate`].
    #[must_use]
    pub fn new(config: &TokenBucketConfig) -> Self {
        let per_second = u64::from(config.per_second_milli.min(PER_SECOND_MAX));
        let milli = ticks_of_a_thousandth(per_second);
        Self {
            full_at: AtomicU64::new(BEFORE_ZERO),
            ticks: Accrual::new(per_second * milli, SECOND),
            milli,
            retry: u64::from(RETRY_MILLI) * milli,
            ratio: u64::from(config.ratio_milli.min(RATIO_MAX)) * milli,
            burst: u64::from(config.burst_milli.min(BURST_MAX)) * milli,
        }
    }

    #[inline]
    fn tick(&self, now: Instant) -> Brought {
        let Brought { floor, ceil } = self.ticks.brought(now);
        Brought { floor: floor.min(LAST) + BEFORE_ZERO, ceil: ceil.min(LAST) + BEFORE_ZERO }
    }

    /// Moves the word back by `ticks`. What does not fit is lost; a bucket that other threads fill meanwhile is full for longer
    /// than it says, which is what [`BEFORE_ZERO`] leaves room for.
    #[inline]
    fn put(&self, now: Instant, ticks: u64) {
        if ticks > 0 && self.full_at.load(Ordering::Relaxed) > self.tick(now).floor {
            self.full_at.fetch_sub(ticks, Ordering::Relaxed);
        }
    }

    #[cold]
    fn denial(&self, full_at: u64, missing: u64) -> Denial {
        // At this tick what is missing has fallen to all but a retry.
        let enough_at = (full_at + self.retry).saturating_sub(self.burst + BEFORE_ZERO);
        let retry_at = if self.burst < self.retry { None } else { self.ticks.reaches(enough_at) };
        Denial::new(BudgetKind::TokenBucket, self.left(missing), RETRY_MILLI, retry_at)
    }

    /// What is left where so many ticks are missing, in whole thousandths of a retry.
    fn left(&self, missing: u64) -> u32 {
        u32::try_from(self.burst.saturating_sub(missing) / self.milli).unwrap_or(u32::MAX)
    }
}

impl Budget for TokenBucket {
    #[inline]
    fn deposit(&self, now: Instant) {
        self.put(now, self.ratio);
    }

    #[inline]
    fn withdraw(&self, now: Instant, _: Extra) -> Answer {
        let tick = self.tick(now);
        // The word is all there is, and nothing else is published with it.
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let missing = full_at.saturating_sub(tick.floor);
            if missing + self.retry > self.burst {
                return Answer::Denied(self.denial(full_at, missing));
            }
            let paid = full_at.max(tick.ceil) + self.retry;
            match self.full_at.compare_exchange_weak(full_at, paid, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Answer::Granted(Paid::new(RETRY_MILLI)),
                Err(changed) => full_at = changed,
            }
        }
    }

    /// Gives back what was paid for an attempt that was not made, as far as the bucket is not full again, and nothing else.
    #[inline]
    fn ended(&self, now: Instant, end: End, paid: Option<Paid>) {
        match end {
            End::NotMade if paid.is_some() => self.put(now, self.retry),
            End::Succeeded | End::Failed | End::Permanent | End::Cancelled | End::NotMade => {}
        }
    }

    fn level(&self, now: Instant) -> Level {
        let missing = self.full_at.load(Ordering::Relaxed).saturating_sub(self.tick(now).floor);
        Level::new(self.left(missing), Some(self.left(0)))
    }
}

/// How many ticks bring a thousandth of a retry, where a second brings `per_second` thousandths: as many as there can be
/// without more than one tick a nanosecond, and so that a thousandth is a whole number of them. Of the divisors of a
/// thousand million the next is at most twice as great, so that a tick is shorter than two nanoseconds.
fn ticks_of_a_thousandth(per_second: u64) -> u64 {
    let divisors = (0..10).flat_map(|twos| (0..10).map(move |fives| (1 << twos) * 5_u64.pow(fives)));
    let most = SECOND.checked_div(per_second).unwrap_or(1);
    divisors.filter(|ticks| *ticks <= most).max().unwrap_or(1)
}

/// What a retry costs.
const RETRY_MILLI: u32 = 1_000;
const RATIO_MAX: u32 = 1_000_000;
const PER_SECOND_MAX: u32 = 1_000_000_000;
const BURST_MAX: u32 = 1_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// By how many ticks the word is ahead, so that it does not fall below zero where threads fill the bucket at once: each
/// takes it down by no more than a deposit, which is 10^15 ticks at the very most, after it has seen it above.
const BEFORE_ZERO: u64 = 1 << 60;

/// Time ends at this tick, after 475 years at least, so that what is promised beyond it fits into the word.
const LAST: u64 = u64::MAX - BEFORE_ZERO - (1 << 61);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_a_nanosecond_or_less_than_two_and_a_thousandth_a_whole_number_of_them() {
        for per_second in (1..50_000).chain([123_457, 99_999_989, 499_999_993, 500_000_001, SECOND - 1, SECOND]) {
            let ticks = ticks_of_a_thousandth(per_second);
            let in_a_second = ticks * per_second;
            assert_eq!(SECOND % ticks, 0, "{per_second}");
            assert!(in_a_second <= SECOND && 2 * in_a_second > SECOND, "{in_a_second} ticks a second at {per_second}");
            if SECOND.is_multiple_of(per_second) {
                assert_eq!(in_a_second, SECOND, "{per_second}");
            }
        }
        assert_eq!(ticks_of_a_thousandth(0), 1);
    }
}
