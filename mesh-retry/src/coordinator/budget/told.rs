//! Which first attempts the store has been told of, and which are so old that it is told of them no more.

use core::time::Duration;
use std::collections::VecDeque;

use mesh_core::time::Instant;

/// What has been told, beside marks of what the count was when.
///
/// Attempts are told within [`REPORT_WITHIN`], or never: what the store credits at a time was made shortly before, so that
/// no outage saves up retries for its end.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How many of the attempts have been told, or never will be.
    told: u64,
    /// What the count was at some times, the earliest first: none is older than [`REPORT_WITHIN`] but the last.
    marks: VecDeque<(Instant, u64)>,
}

impl Told {
    /// The count is `count` at `now`.
    pub(super) fn mark(&mut self, now: Instant, count: u64) {
        let is_due = self.marks.back().is_none_or(|(at, _)| now.since(*at) >= MARK_EVERY);
        if is_due {
            self.marks.push_back((now, count));
        }
        while self.marks.len() > 1 && self.marks.front().is_some_and(|(at, _)| now.since(*at) > REPORT_WITHIN) {
            self.marks.pop_front();
            // Those before the next mark may be too old by now.
            self.told = self.told.max(self.marks.front().map_or(count, |(_, count)| *count));
        }
    }

    /// Tells the count at `now`, and returns what had been told before, which includes what will not be told any more.
    pub(super) fn tell(&mut self, now: Instant, count: u64) -> u64 {
        // Only of attempts after a mark is it known that they are young enough.
        let young =
            self.marks.iter().find(|(at, _)| now.since(*at) <= REPORT_WITHIN).map_or(count, |(_, count)| *count);
        let before = self.told.max(young);
        self.told = count;
        before
    }

    /// What was last told was not: all after `before` is to be told again.
    pub(super) fn untell(&mut self, before: u64) {
        self.told = before;
    }

    /// How many attempts are to be told where the count is `count`.
    pub(super) const fn untold(&self, count: u64) -> u64 {
        count.saturating_sub(self.told)
    }

    /// When the oldest of those that are to be told should be.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let before = self.marks.iter().rev().find(|(_, count)| *count <= self.told).or(self.marks.front());
        before.map(|(at, _)| at.after(REPORT_AFTER))
    }
}

/// For how long first attempts may be told.
pub(super) const REPORT_WITHIN: Duration = Duration::from_secs(2);

/// How old they may get when nothing else is to be told: younger than [`REPORT_WITHIN`] by a look, so that a timer that is
/// late loses nothing.
const REPORT_AFTER: Duration = Duration::from_millis(1_500);

/// How far marks are apart.
const MARK_EVERY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn attempts_are_told_once_and_again_only_where_they_were_not_told_after_all() {
        let mut told = Told::default();
        told.mark(at(0), 0);
        assert_eq!((told.untold(7), told.tell(at(100), 7)), (7, 0));
        assert_eq!((told.untold(7), told.tell(at(200), 9)), (0, 7));
        told.untell(7);
        assert_eq!((told.untold(9), told.tell(at(300), 9)), (2, 7));
    }

    #[test]
    fn attempts_that_may_be_older_than_two_seconds_are_never_told() {
        let mut told = Told::default();
        told.mark(at(0), 0);
        told.mark(at(1_000), 10);
        assert_eq!(told.tell(at(2_000), 20), 0, "all are two seconds old at most");
        told.untell(0);
        assert_eq!(told.tell(at(2_001), 20), 10);
        told.untell(10);
        assert_eq!(told.tell(at(3_001), 20), 20, "when they were made is not known");
    }

    #[test]
    fn marks_are_few_however_often_one_looks() {
        let mut told = Told::default();
        (0..100_000).for_each(|milli| told.mark(at(milli), milli));
        assert!(told.marks.len() <= 12, "{}", told.marks.len());
        let told_before = told.tell(at(100_000), 100_000);
        assert!((98_000..98_200).contains(&told_before), "{told_before}");
    }

    #[test]
    fn the_oldest_untold_attempt_is_due_before_it_is_too_old() {
        let mut told = Told::default();
        assert_eq!(told.due_at(), None);
        told.mark(at(1_000), 0);
        told.mark(at(1_500), 0);
        told.mark(at(2_000), 3);
        assert_eq!(told.due_at(), Some(at(3_000)), "they came after 1.5 s");
        told.tell(at(2_000), 3);
        assert_eq!(told.due_at(), Some(at(3_500)));
    }
}
