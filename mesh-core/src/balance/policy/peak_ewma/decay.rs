//! How much of an estimate is left after a while: e^(-age / decay), the same on every machine.

use core::time::Duration;

use crate::time::{Instant, saturating_nanos};

/// Time as estimates are stamped with it: 2^20 ns (1.05 ms) a tick, in 32 bits, so that it wraps after 52 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tick(pub(super) u32);

impl Tick {
    #[inline]
    pub(super) const fn of(now: Instant) -> Self {
        Self((now.as_nanos() >> TICK_BITS) as u32)
    }

    /// How long ago this was at `now`.
    ///
    /// 32 bits cannot tell the distant past from the near future. What seems to lie up to 73 minutes (2^22 ticks)
    /// ahead does, because completions of several threads overtake each other or a clock was set back: its age is 0.
    /// Anything else that is more than half the range (26 days) away is the past: none of it is left.
    #[inline]
    pub(super) const fn age(self, now: Self) -> Age {
        let age = now.0.wrapping_sub(self.0);
        if age < HALF {
            Age::Ticks(age)
        } else if age > AHEAD {
            Age::Ticks(0)
        } else {
            Age::Forgotten
        }
    }
}

/// How long ago something was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// So many ticks.
    Ticks(u32),
    /// Too long to tell.
    Forgotten,
}

/// The rate at which estimates are forgotten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decay {
    /// How many times an estimate halves in a tick: log2(e) × tick / decay.
    halvings: f64,
    /// The age in ticks below which a sample that is no peak teaches nothing: 1/1024 of the decay, at least one.
    settled: u32,
}

impl Decay {
    /// Estimates fall to 1/e within `decay`, which is taken as 1 ns when it is 0.
    pub(super) fn over(decay: Duration) -> Self {
        let nanos = saturating_nanos(decay).max(1);
        let halvings = core::f64::consts::LOG2_E * (1_u64 << TICK_BITS) as f64 / nanos as f64;
        let settled = (nanos >> (TICK_BITS + SETTLED_BITS)).clamp(1, u64::from(HALF / 2)) as u32;
        Self { halvings, settled }
    }

    /// The share that is left at `age`: 1 at 0, never rising, 0 in the end.
    #[inline]
    pub(super) fn left(&self, age: Age) -> f64 {
        match age {
            Age::Ticks(ticks) => halved(f64::from(ticks) * self.halvings),
            Age::Forgotten => 0.0,
        }
    }

    /// Whether enough time has passed for a sample that is no peak to count.
    #[inline]
    pub(super) const fn is_settled(&self, age: Age) -> bool {
        match age {
            Age::Ticks(ticks) => ticks >= self.settled,
            Age::Forgotten => true,
        }
    }
}

/// 2^-`times` for a number that is not negative, within 1e-7 of it (relative); 0 from 1000 on.
///
/// The whole halvings go into the exponent, the fraction through the polynomial of degree 5 that is exact at 0 and
/// at 1, so that the curve is unbroken, with the least relative error between (9.3e-8, by Remez' exchange
/// algorithm). Additions and multiplications only: no machine rounds them differently.
#[inline]
fn halved(times: f64) -> f64 {
    if times >= TIMES_MAX {
        return 0.0;
    }
    // Through 32 bits, for which processors have instructions.
    let whole = times as i32;
    let part = times - f64::from(whole);
    let square = part * part;
    let low = 1.0 + C1 * part;
    let middle = C2 + C3 * part;
    let high = C4 + C5 * part;
    (low + square * (middle + square * high)) * f64::from_bits((EXPONENT_BIAS - whole as u64) << MANTISSA_BITS)
}

const C1: f64 = -0.693_143_441_634_265_6;
const C2: f64 = 0.240_177_228_204_182_14;
const C3: f64 = -0.055_287_921_415_014_94;
const C4: f64 = 0.009_193_794_169_465_327;
const C5: f64 = -0.000_939_659_324_366_997_8;

/// Below 2^-1022 there are no normal numbers; far above it no latency is left of 2^64 ns.
const TIMES_MAX: f64 = 1000.0;
const EXPONENT_BIAS: u64 = 1023;
const MANTISSA_BITS: u32 = 52;

const TICK_BITS: u32 = 20;
const SETTLED_BITS: u32 = 10;
const HALF: u32 = 1 << 31;
const AHEAD: u32 = u32::MAX - (1 << 22);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_within_1e_7_of_libms_exponential_over_the_whole_range() {
        let mut worst: f64 = 0.0;
        for step in 0..2_000_000_u32 {
            let times = f64::from(step) * (TIMES_MAX / 2e6);
            let exact = libm::exp2(-times);
            worst = worst.max((halved(times) - exact).abs() / exact);
        }
        assert!(worst < 1e-7, "{worst}");
        for decay in [Duration::from_millis(50), Duration::from_secs(10), Duration::from_secs(3600)] {
            let rate = 1_048_576.0 / decay.as_nanos() as f64;
            for ticks in (0..60_000_u32).chain((0..31).map(|bit| 1 << bit)) {
                let exact = libm::exp(-f64::from(ticks) * rate);
                let error = (Decay::over(decay).left(Age::Ticks(ticks)) - exact).abs();
                assert!(error <= exact * 1e-7 + 1e-300, "{ticks} ticks of {decay:?}: {error}");
            }
        }
    }

    #[test]
    fn what_is_left_never_rises_and_ends_at_nothing() {
        for nanos in [1, 1_000, 1_000_000, 10_000_000_000, u64::MAX] {
            let decay = Decay::over(Duration::from_nanos(nanos));
            let mut before = 1.0;
            for ticks in (0..200_000).chain((18..32).map(|bit| (1_u64 << bit) as u32 - 1)) {
                let left = decay.left(Age::Ticks(ticks));
                assert!((0.0..=before).contains(&left), "{ticks} ticks of {nanos} ns: {left} after {before}");
                before = left;
            }
        }
        assert_eq!(Decay::over(Duration::from_secs(1)).left(Age::Ticks(0)), 1.0);
        assert_eq!(Decay::over(Duration::from_secs(1)).left(Age::Ticks(HALF - 1)), 0.0);
        assert_eq!(Decay::over(Duration::MAX).left(Age::Forgotten), 0.0);
        assert!(Decay::over(Duration::ZERO).left(Age::Ticks(1)) == 0.0);
    }

    #[test]
    fn ages_are_told_across_the_wrap_of_the_ticks_and_the_near_future_has_age_0() {
        let age = |then: u64, now: u64| {
            let tick = |ticks: u64| Tick::of(Instant::from_nanos(ticks << TICK_BITS));
            tick(then).age(tick(now))
        };
        let wrap = 1_u64 << 32;
        assert_eq!([age(7, 7), age(7, 8), age(wrap - 1, wrap + 1)], [0, 1, 2].map(Age::Ticks));
        assert_eq!(age(5, 5 + wrap / 2 - 1), Age::Ticks(u32::MAX / 2));
        assert_eq!([age(5, 5 + wrap / 2), age(5, 5 + wrap - (1 << 22) - 1)], [Age::Forgotten; 2]);
        assert_eq!([age(8, 7), age(wrap + 1, wrap - 1), age(1 << 22, 0)], [Age::Ticks(0); 3]);
        assert_eq!(age((1 << 22) + 1, 0), Age::Forgotten);
    }

    #[test]
    fn a_sample_counts_a_1024th_of_the_decay_after_the_last_one_that_did() {
        // 10 s / 1024 = 9.77 ms = 9.3 ticks; and never less than one tick.
        let settled = |decay, ticks| Decay::over(decay).is_settled(Age::Ticks(ticks));
        assert_eq!([8, 9].map(|ticks| settled(Duration::from_secs(10), ticks)), [false, true]);
        assert_eq!([0, 1].map(|ticks| settled(Duration::from_nanos(1), ticks)), [false, true]);
        assert!(!settled(Duration::MAX, HALF / 2 - 1) && settled(Duration::MAX, HALF / 2));
        assert!(Decay::over(Duration::MAX).is_settled(Age::Forgotten));
    }
}
