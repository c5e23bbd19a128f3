//! What happened within the last window, counted by many threads.

use core::time::Duration;

use mesh_core::time::{Instant, saturating_nanos};

use crate::limit::claim::Claim;
use crate::sync::{AtomicU64, Ordering};

/// Counts in slices of 1/24 of the window, and their sums, so that a reader reads two words.
///
/// Whoever counts adds to the sums first and to the slice after. Whoever comes first into a new slice takes the old
/// counts of its place out of the place and off the sums: it takes off only what has been added. Nobody waits for that; who
/// comes meanwhile counts in the slice before.
#[derive(Debug)]
pub(super) struct Counts {
    /// Nanoseconds in a slice.
    width: u64,
    /// The number of the newest slice since the beginning of time.
    newest: AtomicU64,
    claim: Claim,
    sums: Cell,
    slices: [Cell; SLICES],
}

/// How many requests of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) requests: u32,
    pub(super) accepts: u32,
    pub(super) rejections: u32,
    pub(super) ignored: u32,
}

#[derive(Debug)]
#[repr(align(16))]
struct Cell {
    /// Requests in the upper half, accepts in the lower.
    asked: AtomicU64,
    /// Rejections in the upper half, ignored ones in the lower: those are rare while all is well.
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn over(window: Duration) -> Self {
        Self {
            width: (saturating_nanos(window) / SLICES as u64).max(1),
            newest: AtomicU64::new(0),
            claim: Claim::new(),
            sums: Cell::new(),
            slices: core::array::from_fn(|_| Cell::new()),
        }
    }

    /// Adds `more` to what happened at `now`.
    pub(super) fn add(&self, now: Instant, more: Tally) {
        let slice = self.slice(self.newest_at(now));
        let words = more.words();
        self.sums.add(words);
        slice.add(words);
    }

    /// What happened within the window that ends at `now`.
    pub(super) fn read(&self, now: Instant) -> Tally {
        self.newest_at(now);
        self.sums.read()
    }

    /// When the oldest that counts at `now` stops counting.
    pub(super) fn next_change(&self, now: Instant) -> Instant {
        let number = now.as_nanos() / self.width;
        Instant::from_nanos(number.saturating_add(1).saturating_mul(self.width))
    }

    /// The number of the newest slice, which is the one of `now` unless another thread is about to make it that.
    ///
    /// A thread that is behind counts in the newest one. A clock that was set back further than the window begins anew.
    fn newest_at(&self, now: Instant) -> u64 {
        let number = now.as_nanos() / self.width;
        let newest = self.newest.load(Ordering::Acquire);
        if number == newest || (number < newest && newest - number < SLICES as u64) {
            return newest;
        }
        self.move_on(number);
        self.newest.load(Ordering::Acquire)
    }

    #[cold]
    fn move_on(&self, number: u64) {
        let Some(_claimed) = self.claim.try_take() else { return };
        let newest = self.newest.load(Ordering::Relaxed);
        let passed = number.abs_diff(newest).min(SLICES as u64);
        if number < newest && passed < SLICES as u64 {
            // Another thread has moved on further.
            return;
        }
        // The places of the new slice and of those that were passed over.
        for place in 0..passed {
            self.sums.subtract(self.slice(number.wrapping_add(SLICES as u64 - place)).take());
        }
        // Only now does anybody count there.
        self.newest.store(number, Ordering::Release);
    }

    fn slice(&self, number: u64) -> &Cell {
        &self.slices[(number % SLICES as u64) as usize]
    }
}

impl Cell {
    fn new() -> Self {
        Self { asked: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    /// Adds two words. Releases what was added elsewhere before.
    fn add(&self, (asked, failed): (u64, u64)) {
        if asked > 0 {
            self.asked.fetch_add(asked, Ordering::Release);
        }
        if failed > 0 {
            self.failed.fetch_add(failed, Ordering::Release);
        }
    }

    fn subtract(&self, (asked, failed): (u64, u64)) {
        self.asked.fetch_sub(asked, Ordering::Relaxed);
        self.failed.fetch_sub(failed, Ordering::Relaxed);
    }

    /// Acquires what was added elsewhere before what is taken was added here.
    fn take(&self) -> (u64, u64) {
        (self.asked.swap(0, Ordering::Acquire), self.failed.swap(0, Ordering::Acquire))
    }

    fn read(&self) -> Tally {
        Tally::of(self.asked.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

impl Tally {
    const fn of(asked: u64, failed: u64) -> Self {
        Self {
            requests: (asked >> HALF) as u32,
            accepts: asked as u32,
            rejections: (failed >> HALF) as u32,
            ignored: failed as u32,
        }
    }

    fn words(self) -> (u64, u64) {
        let asked = u64::from(self.requests) << HALF | u64::from(self.accepts);
        (asked, u64::from(self.rejections) << HALF | u64::from(self.ignored))
    }
}

#[cfg(not(mesh_loom))]
const SLICES: usize = 24;
/// Few enough to explore.
#[cfg(mesh_loom)]
const SLICES: usize = 3;
const HALF: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of 24 s in slices of 1 s.
    fn counts() -> Counts {
        Counts::over(Duration::from_secs(24))
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    fn requests(requests: u32) -> Tally {
        Tally { requests, ..Tally::default() }
    }

    #[test]
    fn each_kind_is_counted_for_itself() {
        let counts = counts();
        let all = Tally { requests: 1, accepts: 20, rejections: 300, ignored: 4_000 };
        counts.add(at(1), all);
        counts.add(at(2), all);
        let twice = Tally { requests: 2, accepts: 40, rejections: 600, ignored: 8_000 };
        assert_eq!(counts.read(at(2)), twice);
        assert_eq!(counts.read(at(1_000)), Tally::default());
    }

    #[test]
    fn what_was_counted_leaves_with_its_slice() {
        let counts = counts();
        (0..24).for_each(|second| counts.add(at(second), requests(1)));
        assert_eq!(counts.read(at(23)).requests, 24);
        for gone in 1..=24 {
            assert_eq!(counts.read(at(23 + gone) - Duration::from_nanos(1)).requests, 25 - gone as u32);
            assert_eq!(counts.read(at(23 + gone)).requests, 24 - gone as u32);
        }
    }

    #[test]
    fn a_pause_of_any_length_leaves_what_still_counts() {
        for pause in 1..60 {
            let counts = counts();
            (0..24).for_each(|second| counts.add(at(100 + second), requests(1)));
            let left = 24_u32.saturating_sub(pause);
            assert_eq!(counts.read(at(123 + u64::from(pause))).requests, left, "{pause} s");
        }
    }

    #[test]
    fn a_thread_that_is_behind_counts_in_the_newest_slice() {
        let counts = counts();
        counts.add(at(100), requests(1));
        counts.add(at(77), requests(1));
        assert_eq!(counts.read(at(77)).requests, 2);
        assert_eq!(counts.read(at(123)).requests, 2);
        assert_eq!(counts.read(at(124)).requests, 0);
    }

    #[test]
    fn a_clock_that_is_set_back_far_begins_anew_wherever_it_lands() {
        for number in 0..60 {
            let counts = counts();
            (0..24).for_each(|second| counts.add(at(1_000 + second), requests(1)));
            counts.add(at(number), requests(1));
            assert_eq!(counts.read(at(number)).requests, 1, "{number}");
            assert_eq!(counts.read(at(number + 23)).requests, 1);
            assert_eq!(counts.read(at(number + 24)).requests, 0);
        }
    }

    #[test]
    fn the_next_change_is_when_a_slice_ends() {
        assert_eq!(counts().next_change(at(7)), at(8));
        assert_eq!(counts().next_change(at(8) - Duration::from_nanos(1)), at(8));
    }
}
