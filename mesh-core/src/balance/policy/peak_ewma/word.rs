//! The estimate of one instance in one word: a latency, and when it was last changed.
//!
//! All that is learnt is a function from word to word, applied by compare-and-swap: whatever threads do at the same
//! time, the result is that of some order of their samples.

use core::time::Duration;

use super::decay::{Age, Decay, Tick};
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Instant, saturating_nanos};

/// A latency in nanoseconds, from 1 to 2^64; never 0, infinite or not a number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct Nanos(f32);

impl Nanos {
    /// `latency`, 1 ns at least.
    pub(super) fn of(latency: Duration) -> Self {
        Self::rounded(saturating_nanos(latency) as f64)
    }

    fn max(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }

    #[inline]
    pub(super) fn value(self) -> f64 {
        f64::from(self.0)
    }

    pub(super) const fn to_duration(self) -> Duration {
        Duration::from_nanos(self.0 as u64)
    }

    #[inline]
    fn rounded(nanos: f64) -> Self {
        Self(nanos.max(SHORTEST) as f32)
    }
}

/// What an instance is taken to answer in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Estimate {
    /// It has not answered yet.
    Unmeasured,
    /// It has answered, but so long ago that nothing is left of it but the floor of 1 ns.
    Faded,
    /// What it was seen to take, less what time has taken off.
    Measured(Nanos),
}

impl Estimate {
    /// What `word` says at `now`. A word is never changed by being read.
    #[inline]
    pub(super) fn read(word: u64, now: Instant, decay: &Decay) -> Self {
        let Some((latency, stamp)) = unpack(word) else { return Self::Unmeasured };
        let left = latency.value() * decay.left(stamp.age(Tick::of(now)));
        if left > SHORTEST { Self::Measured(Nanos::rounded(left)) } else { Self::Faded }
    }
}

/// Folds `sample` into `cell` at `now`. One compare-and-swap where it changes anything.
#[inline]
pub(super) fn learn(cell: &AtomicU64, sample: Nanos, now: Instant, decay: &Decay) {
    let now = Tick::of(now);
    // The word is independent of all else that the endpoint counts, so no order is needed. An error says only that the
    // sample changed nothing.
    let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| folded(word, sample, now, decay));
}

/// Takes note in `cell` that there was no answer within `waited` by `now`. One compare-and-swap where it changes anything.
pub(super) fn learn_no_answer(cell: &AtomicU64, waited: Duration, initial: Nanos, now: Instant, decay: &Decay) {
    let now = Tick::of(now);
    let waited = Nanos::of(waited);
    let raised = |word| {
        let left = unpack(word).map_or(0.0, |(latency, stamp)| latency.value() * decay.left(stamp.age(now)));
        let is_known = left > SHORTEST;
        if is_known && waited.value() <= left {
            return None;
        }
        folded(
            if is_known { word } else { UNMEASURED },
            if is_known { waited } else { waited.max(initial) },
            now,
            decay,
        )
    };
    let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised);
}

/// `word` with `sample` in it; none when it teaches nothing.
///
/// Finagle's rule: `ema = rtt × (1 - w) + ema × w` with w = e^(-age / decay), and the sample itself where that is
/// higher, which is when it exceeds the estimate as it was stamped. So an estimate is never below the last sample, never
/// falls faster than time lets it, and a slower answer never leaves a lower one. (linkerd replaces what exceeds the
/// estimate as decayed, so that an answer slightly faster than that leaves up to twice as much.)
///
/// A sample that comes within 1/1024 of the decay after the one before, and does not exceed what is left, would move the
/// estimate by less than that share of itself: it is passed over, and the next one weighs for the time of both.
/// Summed up one by one such steps could be too small for the 24 bits of the latency.
fn folded(word: u64, sample: Nanos, now: Tick, decay: &Decay) -> Option<u64> {
    let Some((estimate, stamp)) = unpack(word) else { return Some(pack(sample, now)) };
    let age = stamp.age(now);
    let kept = decay.left(age);
    let (sample, left) = (sample.value(), estimate.value() * kept);
    if sample <= left && !decay.is_settled(age) {
        return None;
    }
    let blend = sample * (1.0 - kept) + left;
    // The clock went back, or another thread's later completion came first: the stamp stays.
    let stamp = if age == Age::Ticks(0) { stamp } else { now };
    Some(pack(Nanos::rounded(blend.max(sample)), stamp))
}

/// The word of an instance that was not measured.
pub(in crate::balance) const UNMEASURED: u64 = 0;

const fn pack(latency: Nanos, stamp: Tick) -> u64 {
    (stamp.0 as u64) << 32 | latency.0.to_bits() as u64
}

#[inline]
const fn unpack(word: u64) -> Option<(Nanos, Tick)> {
    // A latency is 1 ns at least, and the bits of 1.0 are not 0.
    if word == UNMEASURED {
        return None;
    }
    Some((Nanos(f32::from_bits(word as u32)), Tick((word >> 32) as u32)))
}

/// The floor of every estimate, in nanoseconds.
pub(super) const SHORTEST: f64 = 1.0;

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicBool;
    use std::sync::Barrier;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn neither_the_shortest_nor_the_longest_latency_decay_or_age_leaves_the_range() {
        let nanos = [0, 1, 2, 1 << 20, 30_000_000, u64::MAX / 2, u64::MAX];
        for decay in nanos.map(|nanos| Decay::over(Duration::from_nanos(nanos))) {
            for (first, second) in nanos.into_iter().flat_map(|first| nanos.map(|second| (first, second))) {
                for (then, now) in nanos.into_iter().flat_map(|then| nanos.map(|now| (then, now))) {
                    let word = taught(UNMEASURED, first, then, &decay);
                    let word = taught(word, second, now, &decay);
                    let (latency, _) = unpack(word).unwrap();
                    assert!((1.0..=1.9e19).contains(&latency.value()), "{first} at {then}, {second} at {now}");
                    assert_ne!(Estimate::read(word, Instant::from_nanos(then), &decay), Estimate::Unmeasured);
                }
            }
        }
    }

    #[test]
    fn a_sample_that_changes_nothing_is_not_written() {
        let decay = Decay::over(Duration::from_secs(10));
        let word = taught(UNMEASURED, 1_000_000, 0, &decay);
        let fold = |nanos: u64, at: Instant| folded(word, latency(nanos), Tick::of(at), &decay);
        assert_eq!(fold(1_000_000, Instant::from_millis(1)), None, "the same tick");
        assert_eq!(fold(900_000, Instant::from_millis(9)), None, "nothing in a thousand of the decay");
        assert!(fold(1_000_000, Instant::from_millis(9)).is_some(), "above what is left of it");
        assert!(fold(900_000, Instant::from_millis(10)).is_some());
        assert!(fold(1_000_001, Instant::from_millis(1)).is_some(), "a peak");
    }

    #[test]
    fn an_estimate_still_falls_where_the_decay_is_so_long_that_one_step_is_too_small_for_the_word() {
        // Over an hour a millisecond weighs 3e-7, close to the last bit of 24: summed up one by one they would stall.
        let decay = Decay::over(Duration::from_secs(3600));
        let mut word = taught(UNMEASURED, 2_000_000_000, 0, &decay);
        for millis in 1..3_600_000_u64 {
            word = taught(word, 1_000_000_000, millis * 1_000_000, &decay);
        }
        // 1 s + 1 s / e.
        let (latency, _) = unpack(word).unwrap();
        assert!((latency.value() / 1_367_879_441.0 - 1.0).abs() < 1e-3, "{latency:?}");
    }

    #[test]
    fn a_peak_that_was_written_is_there_whatever_other_threads_write_at_the_same_time() {
        // Every quick answer comes 1/1024 of the decay after the last, so that all of them are written.
        let (decay, step) = (Decay::over(Duration::from_nanos(1 << 40)), 1 << 30);
        let (cell, clock, done) = (AtomicU64::new(UNMEASURED), AtomicU64::new(0), AtomicBool::new(false));
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                while !done.load(Ordering::SeqCst) {
                    let now = clock.fetch_add(step, Ordering::SeqCst) + step;
                    learn(&cell, latency(1), Instant::from_nanos(now), &decay);
                }
            });
            scope.spawn(|| {
                start.wait();
                let lost = (1..500_000_u64).find(|round| {
                    let (then, peak) = (clock.load(Ordering::SeqCst), round * 1_000_000);
                    learn(&cell, latency(peak), Instant::from_nanos(then), &decay);
                    (0..20).for_each(|_| core::hint::spin_loop());
                    let word = cell.load(Ordering::SeqCst);
                    let now = clock.load(Ordering::SeqCst);
                    let faded = decay.left(Age::Ticks(((now - then) >> 20) as u32));
                    left(word, now, &decay) < peak as f64 * faded * SLACK
                });
                done.store(true, Ordering::SeqCst);
                assert_eq!(lost, None, "the round whose peak was lost");
            });
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, rng_seed: RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn in_whatever_order_samples_arrive_no_peak_is_lost(
            samples in proptest::collection::vec((1_u64..10_000_000_000, 0_u64..60_000_000_000), 1..8),
            later in 0_u64..60_000_000_000,
        ) {
            let decay = Decay::over(Duration::from_secs(10));
            let mut word = UNMEASURED;
            let end = samples.iter().map(|sample| sample.1).max().unwrap() + later;
            for &(nanos, at) in &samples {
                let before = left(word, end, &decay);
                word = taught(word, nanos, at, &decay);
                let after = left(word, end, &decay);
                prop_assert!(after >= before * SLACK, "{after} after {before}");
            }
            let elapsed = |at: u64| Decay::left(&decay, Age::Ticks(((end >> 20) - (at >> 20)) as u32));
            for (nanos, at) in samples {
                prop_assert!(left(word, end, &decay) >= nanos as f64 * elapsed(at) * SLACK, "a peak was lost");
            }
        }

        #[test]
        fn a_slower_answer_never_leaves_a_lower_estimate(
            first in 1_u64..10_000_000_000,
            samples in (1_u64..10_000_000_000, 1_u64..10_000_000_000),
            after in 0_u64..60_000_000_000,
        ) {
            let decay = Decay::over(Duration::from_secs(10));
            let word = taught(UNMEASURED, first, 0, &decay);
            let learnt = |nanos| left(taught(word, nanos, after, &decay), after, &decay);
            let (fast, slow) = (samples.0.min(samples.1), samples.0.max(samples.1));
            prop_assert!(learnt(fast) <= learnt(slow) / SLACK);
            prop_assert!(learnt(fast) >= fast as f64 * SLACK, "never below the sample");
        }
    }

    /// Room for the rounding to 24 bits, eight times over, and for the polynomial.
    const SLACK: f64 = 1.0 - 1e-6;

    fn latency(nanos: u64) -> Nanos {
        Nanos::of(Duration::from_nanos(nanos))
    }

    fn taught(word: u64, nanos: u64, at: u64, decay: &Decay) -> u64 {
        let cell = AtomicU64::new(word);
        learn(&cell, latency(nanos), Instant::from_nanos(at), decay);
        cell.into_inner()
    }

    /// What is left of `word` at `now`, in nanoseconds; 0 before the first sample.
    fn left(word: u64, now: u64, decay: &Decay) -> f64 {
        match Estimate::read(word, Instant::from_nanos(now), decay) {
            Estimate::Unmeasured => 0.0,
            Estimate::Faded => SHORTEST,
            Estimate::Measured(latency) => latency.value(),
        }
    }
}
