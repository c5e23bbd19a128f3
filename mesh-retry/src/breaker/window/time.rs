//! The calls of the last so many buckets of time.
//!
//! One word sums up all calls of an epoch. What the window holds is the difference between the sum now and the sum when its
//! oldest bucket began: three fields in one word that are subtracted at once. A call is one compare-exchange, however many
//! buckets there are, and no bucket is ever cleared under somebody who counts in it.
//!
//! When a bucket ends, whoever comes first turns the window: it takes note of the sum as the beginning of the new bucket,
//! and names the beginning of what is now the oldest. Nobody waits for that. Others count and judge by the window as it was
//! until it is done, and where time does not move, or goes back, the bucket goes on.

use core::num::NonZeroU32;
use core::time::Duration;

use super::super::transition::Counts;
use super::super::word::{Field, TAG_BITS};
use super::{Call, Current, nanos};
use crate::sync::{AtomicU64, Ordering};

/// A window of buckets that begin at multiples of their width.
#[derive(Debug)]
pub(super) struct TimeWindow {
    /// When the present bucket ends; [`TURNING`] while somebody turns the window, who alone may then touch the fields
    /// from `marks` on.
    ends_at: AtomicU64,
    /// The sum when the oldest bucket began.
    base: AtomicU64,
    /// The sum of all calls: see [`Sum`].
    sum: AtomicU64,
    /// The sum when each bucket began, at its number modulo their count.
    marks: Box<[AtomicU64]>,
    /// The number of the oldest bucket.
    oldest: AtomicU64,
    width: u64,
}

impl TimeWindow {
    pub(super) fn new(buckets: NonZeroU32, width: Duration) -> Self {
        Self {
            ends_at: AtomicU64::new(0),
            base: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            marks: (0..buckets.get()).map(|_| AtomicU64::new(0)).collect(),
            oldest: AtomicU64::new(0),
            width: nanos(width),
        }
    }

    /// Counts `call`, which ended at `now`; returns what the window holds with it, or nothing where it is not current any
    /// more.
    #[inline]
    pub(super) fn record(&self, tag: u64, now: u64, call: Call, current: &impl Current) -> Option<Counts> {
        self.keep_up(now, current);
        // The base is a sum of earlier. Acquiring it first makes sure that the sum is not older.
        let base = Sum(self.base.load(Ordering::Acquire));
        let mut word = self.sum.load(Ordering::Acquire);
        loop {
            if !current() {
                return None;
            }
            let sum = Sum(word).of_epoch(tag);
            let before = sum.since(base);
            if before.calls >= CALLS_BOUND {
                // Somebody has been turning the window while as many calls came as it takes twice: there is no room.
                return Some(before);
            }
            let next = sum.with(call);
            match self.sum.compare_exchange_weak(word, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => {
                    let counts = next.since(base);
                    if counts.calls >= CALLS_MAX {
                        self.forget_oldest();
                    }
                    return Some(counts);
                }
                Err(changed) => word = changed,
            }
        }
    }

    /// What the window holds of the epoch with `tag`, at `now` where time is to pass.
    pub(super) fn counts(&self, tag: u64, now: Option<u64>) -> Counts {
        if let Some(now) = now {
            self.keep_up(now, &|| true);
        }
        let base = Sum(self.base.load(Ordering::Acquire));
        Sum(self.sum.load(Ordering::Acquire)).of_epoch(tag).since(base)
    }

    /// Turns the window where the bucket has ended. A call that does not count any more leaves it as it was when the
    /// breaker opened.
    #[inline]
    fn keep_up(&self, now: u64, current: &impl Current) {
        let ends_at = self.ends_at.load(Ordering::Acquire);
        if now >= ends_at && current() {
            self.turn(now, ends_at);
        }
    }

    /// Begins the bucket of `now`, and those that have passed without a call.
    #[cold]
    #[inline(never)]
    fn turn(&self, now: u64, ended_at: u64) {
        if !self.claim(ended_at) {
            return;
        }
        let sum = self.sum.load(Ordering::Acquire);
        let (present, buckets) = (now / self.width, self.marks.len() as u64);
        let first = (present + 1).saturating_sub(buckets);
        for number in first.max(ended_at / self.width)..=present {
            self.mark(number).store(sum, Ordering::Relaxed);
        }
        let oldest = self.oldest.load(Ordering::Relaxed).max(first);
        self.begin_with(oldest);
        let ends_at = (present + 1).saturating_mul(self.width);
        self.ends_at.store(ends_at.min(TURNING - 1), Ordering::Release);
    }

    /// Leaves out the oldest bucket that holds any call, or what the present one holds where it is that: a word counts so
    /// many calls only.
    #[cold]
    #[inline(never)]
    fn forget_oldest(&self) {
        let ends_at = self.ends_at.load(Ordering::Acquire);
        if !self.claim(ends_at) {
            return;
        }
        let present = (ends_at - 1) / self.width;
        let base = self.base.load(Ordering::Relaxed);
        let mut oldest = self.oldest.load(Ordering::Relaxed) + 1;
        while oldest <= present && self.mark(oldest).load(Ordering::Relaxed) == base {
            oldest += 1;
        }
        if oldest > present {
            self.mark(present).store(self.sum.load(Ordering::Acquire), Ordering::Relaxed);
        }
        self.begin_with(oldest.min(present));
        self.ends_at.store(ends_at, Ordering::Release);
    }

    /// Whether the window is the caller's to turn, as long as the bucket ends at `ends_at`.
    fn claim(&self, ends_at: u64) -> bool {
        let claimed = || self.ends_at.compare_exchange(ends_at, TURNING, Ordering::Acquire, Ordering::Relaxed);
        ends_at != TURNING && claimed().is_ok()
    }

    fn begin_with(&self, oldest: u64) {
        self.oldest.store(oldest, Ordering::Relaxed);
        // Whoever reads the base must find the sum at least as new as it is.
        self.base.store(self.mark(oldest).load(Ordering::Relaxed), Ordering::Release);
    }

    fn mark(&self, number: u64) -> &AtomicU64 {
        &self.marks[(number % self.marks.len() as u64) as usize]
    }
}

/// How many calls have ended since the epoch began that its tag names, how many of them failed, and how many were slow:
/// numbers that go round, of which only differences mean something. In a difference of two words each field is the
/// difference of the fields, as long as that fits, whatever went round.
#[derive(Clone, Copy, Debug)]
struct Sum(u64);

impl Sum {
    /// The sum of the epoch with `tag`, in which nothing has been counted where this is of another.
    const fn of_epoch(self, tag: u64) -> Self {
        if self.0 >> NUMBERS_BITS == tag { self } else { Self(tag << NUMBERS_BITS) }
    }

    const fn with(self, call: Call) -> Self {
        let one = CALLS.at(1) + FAILED.at(call.failed as u64) + SLOW.at(call.slow as u64);
        Self(self.0 & !NUMBERS | (self.0 + one) & NUMBERS)
    }

    /// What has come since `base`; a base of another epoch is from before this one began.
    const fn since(self, base: Self) -> Counts {
        let base = base.of_epoch(self.0 >> NUMBERS_BITS);
        let difference = self.0.wrapping_sub(base.0);
        Counts {
            calls: CALLS.of(difference) as u32,
            failed: FAILED.of(difference) as u32,
            slow: SLOW.of(difference) as u32,
            failures_in_row: 0,
        }
    }
}

/// That somebody is turning the window. No bucket ends so late.
const TURNING: u64 = u64::MAX;

const SLOW: Field = Field { shift: 0, bits: 18 };
const FAILED: Field = Field { shift: 18, bits: 18 };
const CALLS: Field = Field { shift: 36, bits: 18 };
const NUMBERS_BITS: u32 = u64::BITS - TAG_BITS;
const NUMBERS: u64 = (1 << NUMBERS_BITS) - 1;

/// With so many calls the window forgets its oldest bucket early.
const CALLS_MAX: u32 = 1 << 17;
/// So many it never holds.
const CALLS_BOUND: u32 = CALLS.max() as u32;

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW_FAILURE: Call = Call { failed: true, slow: true };

    fn window() -> TimeWindow {
        TimeWindow::new(NonZeroU32::MIN.saturating_add(1), Duration::from_secs(1))
    }

    fn record(window: &TimeWindow, now: u64) -> Counts {
        window.record(1, now, SLOW_FAILURE, &|| true).unwrap()
    }

    #[test]
    fn what_finds_no_room_while_somebody_turns_the_window_changes_no_number() {
        let window = window();
        record(&window, 0);
        assert!(window.claim(1_000_000_000));
        let mut last = Counts::default();
        for _ in 0..300_000 {
            last = record(&window, 5_000_000_000);
            assert!(last.calls == last.failed && last.calls == last.slow);
        }
        assert_eq!(last.calls, CALLS_BOUND);
        assert_eq!(window.sum.load(Ordering::Relaxed) >> NUMBERS_BITS, 1);
    }

    #[test]
    fn numbers_that_go_round_differ_by_what_came_since() {
        let base = Sum(1 << NUMBERS_BITS | NUMBERS);
        let mut sum = base;
        for count in 1..10 {
            sum = sum.with(SLOW_FAILURE);
            let counts = sum.since(base);
            assert_eq!((counts.calls, counts.failed, counts.slow), (count, count, count));
        }
        assert_eq!(sum.0 >> NUMBERS_BITS, 1, "the tag stays");
        assert_eq!(Sum(2 << NUMBERS_BITS).with(SLOW_FAILURE).since(base).calls, 1, "another epoch's base is none");
    }
}
