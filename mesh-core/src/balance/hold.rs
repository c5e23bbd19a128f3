//! The held failures of one endpoint: how many ended within the last `failure_hold`.

use core::time::Duration;

use crate::sync::{AtomicU64, Ordering};
use crate::time::{Instant, saturating_nanos};

/// Counts of ended failures in slices of 1/16 of the hold, without a lock and without upkeep: a slice that
/// has passed is told by its number, and is overwritten when its place comes round again.
#[derive(Debug)]
pub(super) struct HoldRing {
    width: AtomicU64,
    slices: [AtomicU64; SLICES + 1],
}

impl HoldRing {
    /// A ring for failures that are held for `hold`.
    pub(super) fn new(hold: Duration) -> Self {
        Self { width: AtomicU64::new(width_of(hold)), slices: core::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Counts a failure that ended at `now`; returns when it stops counting.
    pub(super) fn add(&self, now: Instant, hold: Duration) -> Instant {
        let width = width_of(hold);
        if self.width.load(Ordering::Relaxed) != width && self.width.swap(width, Ordering::Relaxed) != width {
            // Slices of another width would be misread; a change of the hold forgets what was held.
            self.clear();
        }
        let number = now.as_nanos() / width;
        let place = &self.slices[(number % self.slices.len() as u64) as usize];
        let counted = |word: u64| {
            let count = if age(number, word) == 0 { word & COUNT } else { 0 };
            Some(((number & NUMBER) << COUNT_BITS) | (count + 1).min(COUNT))
        };
        // The closure always answers with a word, so the update cannot fail.
        let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
        let end = number.saturating_add(SLICES as u64 + 1).saturating_mul(width);
        Instant::from_nanos(end)
    }

    /// Forgets every failure.
    pub(super) fn clear(&self) {
        for slice in &self.slices {
            slice.store(0, Ordering::Relaxed);
        }
    }

    /// How many failures still count at `now`.
    pub(super) fn count(&self, now: Instant) -> u32 {
        let number = now.as_nanos() / self.width.load(Ordering::Relaxed).max(1);
        let counts = self.slices.iter().map(|slice| {
            let word = slice.load(Ordering::Relaxed);
            let age = age(number, word);
            // A thread that read the clock a little later, or a clock that was set back, has slices ahead.
            let distance = age.min(NUMBER + 1 - age);
            if distance <= SLICES as u64 { (word & COUNT) as u32 } else { 0 }
        });
        counts.fold(0, u32::saturating_add)
    }
}

/// The length of a slice in nanoseconds.
fn width_of(hold: Duration) -> u64 {
    (saturating_nanos(hold) / SLICES as u64).max(1)
}

/// How many slices ago the slice of `word` was current when `number` is.
const fn age(number: u64, word: u64) -> u64 {
    number.wrapping_sub(word >> COUNT_BITS) & NUMBER
}

const SLICES: usize = 16;
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const NUMBER: u64 = u64::MAX >> COUNT_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_failure_counts_for_the_hold_and_at_most_a_sixteenth_longer() {
        for start in [0, 1, 62, 63, 999, 123_456] {
            let ring = HoldRing::new(HOLD);
            let until = ring.add(at(start), HOLD);
            assert_eq!(ring.count(at(start)), 1);
            assert_eq!(ring.count(at(start + 1000) - Duration::from_nanos(1)), 1, "from {start} ms");
            assert_eq!(ring.count(at(start + 1063)), 0, "from {start} ms");
            assert!(until >= at(start + 1000) && until <= at(start + 1063));
            assert_eq!(ring.count(until), 0);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_forgets_no_failure() {
        let ring = HoldRing::new(HOLD);
        ring.add(at(5_000), HOLD);
        for millis in [4_999, 4_990, 4_900, 4_001] {
            assert_eq!(ring.count(at(millis)), 1, "{millis} ms");
        }
        assert_eq!(ring.count(at(5_900)), 1);
    }

    #[test]
    fn failures_add_up_and_leave_one_by_one() {
        let ring = HoldRing::new(HOLD);
        for millis in (0..1000).step_by(100) {
            ring.add(at(millis), HOLD);
            ring.add(at(millis), HOLD);
        }
        assert_eq!(ring.count(at(999)), 20);
        assert_eq!(ring.count(at(1563)), 8);
        assert_eq!(ring.count(at(5000)), 0);
    }

    #[test]
    fn a_place_that_comes_round_again_starts_anew() {
        let ring = HoldRing::new(HOLD);
        for second in 0..50 {
            ring.add(at(second * 1063), HOLD);
            assert_eq!(ring.count(at(second * 1063)), 1, "second {second}");
        }
    }

    #[test]
    fn a_change_of_the_hold_forgets_what_was_held() {
        let ring = HoldRing::new(HOLD);
        ring.add(at(10), HOLD);
        ring.add(at(11), HOLD / 2);
        assert_eq!(ring.count(at(11)), 1);
    }
}
