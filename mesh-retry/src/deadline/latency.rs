//! Remembers how long attempts took, roughly and not for long.
//!
//! A histogram with exponential decay. Its buckets are logarithmic, each power of two in 16 equal parts (as in Gil Tene's
//! HdrHistogram, with four significant bits), so that 432 of them reach from a microsecond to eighteen minutes. Threads
//! share it without a lock: to record a latency is one addition to one bucket, and nothing is ever allocated.
//!
//! It never learns of a latency by itself, and decides nothing.

use core::time::Duration;

use mesh_core::time::{Instant, saturating_nanos};
use thiserror::Error;

use crate::sync::{AtomicU64, Ordering};

/// The latencies of the attempts of late.
///
/// **Error.** A quantile is that of the weighted latencies recorded, plus at most one part in 16 and 1.024 µs; it is
/// never less. Latencies of 2^40 ns (18.3 minutes) and more count as just that.
///
/// **Decay.** A latency weighs half as much after each half-life, in eight steps, and nothing after sixteen.
///
/// **Threads.** A quantile that is read while others record is one of before, after or between.
#[derive(Debug)]
pub struct Latencies {
    /// Weights, in parts of [`ONE`].
    buckets: Box<[AtomicU64]>,
    step_nanos: u64,
    /// When the weights are next to be reduced.
    due: AtomicU64,
}

/// What is wrong with a half-life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("half_life: {half_life:?} is not allowed: must be 10ms to 1h")]
#[non_exhaustive]
pub struct LatencyError {
    /// The half-life.
    pub half_life: Duration,
}

impl Latencies {
    /// No latencies yet, to be forgotten by half every `half_life`: 10 ms to 1 h.
    ///
    /// # Errors
    /// The half-life is out of its range.
    pub fn new(half_life: Duration) -> Result<Self, LatencyError> {
        if (HALF_LIFE_MIN..=HALF_LIFE_MAX).contains(&half_life) {
            Ok(Self::of(BUCKETS, half_life))
        } else {
            Err(LatencyError { half_life })
        }
    }

    pub(super) fn of(buckets: usize, half_life: Duration) -> Self {
        let buckets = (0..buckets).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, step_nanos: saturating_nanos(half_life) / STEPS, due: AtomicU64::new(0) }
    }

    /// Takes note of an attempt that took `latency` and ended at `now`.
    ///
    /// Attempts that timed out belong here as well, with the time that they were given: of those left out the quantiles
    /// would know nothing, and a timeout that follows them would never grow. Attempts that failed sooner do not: they
    /// would let it shrink.
    #[inline]
    pub fn record(&self, now: Instant, latency: Duration) {
        self.decay(now);
        let bucket = bucket_of(saturating_nanos(latency)).min(self.buckets.len() - 1);
        // Relaxed, here and below: each bucket stands by itself, and no reader draws conclusions from two.
        self.buckets[bucket].fetch_add(ONE, Ordering::Relaxed);
    }

    /// How many latencies the weights amount to, rounded down.
    #[must_use]
    pub fn samples(&self, now: Instant) -> u64 {
        self.decay(now);
        self.weight() / ONE
    }

    /// The latency that `quantile_milli` thousandths of the weights do not exceed (990 is p99), rounded up to the end of its
    /// bucket; `None` without latencies. Beyond 1000 it counts as 1000.
    ///
    /// It reads all the buckets, twice: some hundred nanoseconds. For each request there is
    /// [`QuantileTime`](super::QuantileTime).
    #[must_use]
    pub fn quantile(&self, now: Instant, quantile_milli: u32) -> Option<Duration> {
        self.decay(now);
        let weight = self.weight();
        let wanted = (u128::from(weight) * u128::from(quantile_milli.min(1000))).div_ceil(1000).max(1);
        let (mut below, mut last) = (0, None);
        for (bucket, weight) in self.buckets.iter().enumerate() {
            let weight = weight.load(Ordering::Relaxed);
            below += u128::from(weight);
            if weight > 0 {
                last = Some(bucket);
            }
            if below >= wanted {
                break;
            }
        }
        // Where others have forgotten meanwhile, there may be less than was counted: the last there is will do.
        last.map(|bucket| Duration::from_nanos(end_of(bucket)))
    }

    pub(super) fn weight(&self) -> u64 {
        let weights = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        weights.fold(0, u64::saturating_add)
    }

    /// Reduces all weights, when that is due.
    #[inline]
    fn decay(&self, now: Instant) {
        let (now, due) = (now.as_nanos(), self.due.load(Ordering::Relaxed));
        if now >= due {
            self.reduce(now, due);
        }
    }

    #[cold]
    fn reduce(&self, now: u64, due: u64) {
        let steps = (now - due) / self.step_nanos + 1;
        let next = due.saturating_add(steps.saturating_mul(self.step_nanos));
        // One thread reduces; those that lose go on with the weights as they find them.
        if self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let kept = kept_after(steps);
        for bucket in &self.buckets {
            if bucket.load(Ordering::Relaxed) > 0 {
                // In one step, so that what others add meanwhile is neither lost nor taken twice.
                let reduced = |weight: u64| Some(((u128::from(weight) * kept) >> KEPT_BITS) as u64);
                let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reduced);
            }
        }
    }
}

/// What is left of a weight after `steps`, in parts of 2^32.
pub(super) fn kept_after(steps: u64) -> u128 {
    let mut kept = 1_u128 << KEPT_BITS;
    for _ in 0..steps {
        kept = (kept * KEPT_A_STEP) >> KEPT_BITS;
        if kept == 0 {
            break;
        }
    }
    kept
}

/// The bucket of a latency.
fn bucket_of(nanos: u64) -> usize {
    let ticks = (nanos >> TICK_BITS).min(TICKS_MAX);
    let shift = (u64::BITS - ticks.leading_zeros()).saturating_sub(PART_BITS + 1);
    ((u64::from(shift) << PART_BITS) + (ticks >> shift)) as usize
}

/// The nanoseconds at which a bucket ends: the first that are not in it.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket >> PART_BITS).saturating_sub(1);
    let part = bucket - (shift << PART_BITS);
    ((part + 1) << shift) << TICK_BITS
}

/// The weight of a latency just recorded. It is gone when it has been halved so often that nothing is left.
pub(super) const ONE: u64 = 1 << 16;
/// Latencies are told apart by 1.024 µs at best.
const TICK_BITS: u32 = 10;
/// Each power of two has 16 parts.
const PART_BITS: u32 = 4;
const TICKS_MAX: u64 = (1 << 30) - 1;
/// One more than the bucket of [`TICKS_MAX`]: 16 below the first power that is divided, and 16 for each of 26.
const BUCKETS: usize = 432;
/// The steps of a half-life.
const STEPS: u64 = 8;
const KEPT_BITS: u32 = 32;
/// 2^(-1/8) in parts of 2^32, rounded down.
const KEPT_A_STEP: u128 = 3_938_502_375;
const HALF_LIFE_MIN: Duration = Duration::from_millis(10);
const HALF_LIFE_MAX: Duration = Duration::from_secs(3600);
