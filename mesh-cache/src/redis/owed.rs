//! What this process invalidated lately, to be told again to a server that may have lost it.
//!
//! A server that fails over, or comes back with what it had saved, may have forgotten what it acknowledged just before it
//! was lost. Decides what is told again: what was told within [`RETOLD`] before a connection was lost, once there is
//! another, however long that takes, and until that has acknowledged it. A connection that stands has lost nothing, though
//! it may tell of nothing for a while.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use mesh_core::time::Instant;

use super::reason::Epoch;
use crate::key::Mark;
use crate::second::Reach;

/// What this process invalidated lately.
#[derive(Debug, Default)]
pub(super) struct Owed {
    by_mark: BTreeMap<Mark, Debt>,
    /// The last connection that there was.
    epoch: Epoch,
    /// Since when nothing is heard on it.
    mute_since: Option<Instant>,
}

/// A scope that was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) reach: Reach,
    pub(super) told: Told,
    /// Whether it is to be told again.
    is_due: bool,
}

/// When something was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// When that began.
    pub(super) since: Instant,
    /// On which connection, or a later one.
    pub(super) epoch: Epoch,
}

impl Owed {
    /// Remembers that `mark` was told, in the place of an earlier time. False where too many are remembered already, or
    /// where it may have been told to a connection that was lost since: nobody would tell it again.
    pub(super) fn note(&mut self, mark: Mark, reach: Reach, told: Told) -> bool {
        if told.epoch < self.epoch {
            return false;
        }
        if self.by_mark.len() >= OWED_MAX {
            let now = self.mute_since.unwrap_or(told.since);
            self.by_mark.retain(|_, other| other.is_due || now.since(other.told.since) < RETOLD);
        }
        if self.by_mark.len() >= OWED_MAX && !self.by_mark.contains_key(&mark) {
            return false;
        }
        self.by_mark.insert(mark, Debt { reach, told, is_due: false });
        true
    }

    /// Nothing is heard on the connection `epoch` any more, as is seen at `now`.
    pub(super) fn mute(&mut self, epoch: Epoch, now: Instant) {
        // Whoever is late says what is known.
        if epoch >= self.epoch {
            self.mute_since.get_or_insert(now);
        }
    }

    /// All is heard on the connection `epoch`: the one there was, or another.
    pub(super) fn rise(&mut self, epoch: Epoch) {
        if epoch < self.epoch {
            return;
        }
        let mute_since = self.mute_since.take();
        if epoch == self.epoch {
            return;
        }
        self.epoch = epoch;
        self.by_mark.retain(|_, debt| {
            // Where nobody saw when the other was lost, all may have been told just before.
            let is_late = mute_since.is_none_or(|at| at.since(debt.told.since) < RETOLD);
            debt.is_due |= debt.told.epoch < epoch && is_late;
            debt.is_due || debt.told.epoch >= epoch
        });
    }

    /// The next `count` that are to be told again after `last`, in the order of their marks.
    pub(super) fn due(&self, last: Option<Mark>, count: usize) -> Vec<(Mark, Debt)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let beyond = self.by_mark.range((from, Bound::Unbounded));
        beyond.filter(|(_, debt)| debt.is_due).take(count).map(|(mark, debt)| (*mark, *debt)).collect()
    }

    /// `mark` was told again for `debt`, unless another has taken its place. False where it is due all the same.
    pub(super) fn repaid(&mut self, mark: Mark, debt: Debt, told: Told) -> bool {
        if told.epoch < self.epoch {
            return false;
        }
        if let Some(owed) = self.by_mark.get_mut(&mark).filter(|owed| **owed == debt) {
            *owed = Debt { told, is_due: false, ..debt };
        }
        true
    }
}

/// How long before its server was lost a change must have been told, so as not to be told again.
const RETOLD: Duration = Duration::from_secs(10);
/// How many changes are remembered for that. Of more, callers are told that others may not know.
const OWED_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark::from_bits(7);

    #[test]
    fn what_was_told_shortly_before_the_loss_is_due_until_it_is_told_again() {
        let mut owed = up();
        assert!(owed.note(Mark::from_bits(1), Reach::Many, on(1, 0)) && owed.note(MARK, Reach::Entry, on(1, 5)));
        owed.mute(Epoch::new(1), at(11));
        owed.mute(Epoch::new(1), at(700));
        assert_eq!(owed.due(None, 9), [], "there is nobody to tell");
        owed.rise(Epoch::new(2));
        let due = owed.due(None, 9);
        assert_eq!(due.iter().map(|(mark, _)| *mark).collect::<Vec<_>>(), [MARK], "the other was told long before");
        assert!(owed.repaid(MARK, due[0].1, on(2, 800)));
        assert_eq!(owed.due(None, 9), []);
        owed.mute(Epoch::new(2), at(805));
        owed.rise(Epoch::new(3));
        assert_eq!(owed.due(None, 9).len(), 1, "it was told to one that was lost");
        owed.mute(Epoch::new(3), at(900));
        owed.rise(Epoch::new(4));
        assert_eq!(owed.due(None, 9).len(), 1, "and not again since");
    }

    #[test]
    fn a_connection_that_goes_on_has_lost_nothing_and_may_be_lost_later() {
        let mut owed = up();
        assert!(owed.note(MARK, Reach::Entry, on(1, 5)));
        owed.mute(Epoch::new(1), at(6));
        owed.rise(Epoch::new(1));
        assert_eq!(owed.due(None, 9), []);
        assert!(owed.note(Mark::from_bits(8), Reach::Entry, on(1, 60)));
        owed.mute(Epoch::new(1), at(61));
        owed.rise(Epoch::new(2));
        let due: Vec<_> = owed.due(None, 9).into_iter().map(|(mark, _)| mark).collect();
        assert_eq!(due, [Mark::from_bits(8)]);
    }

    #[test]
    fn what_nobody_saw_the_loss_of_is_told_again_and_who_is_late_changes_nothing() {
        let mut owed = up();
        assert!(owed.note(MARK, Reach::Entry, on(1, 5)));
        owed.rise(Epoch::new(2));
        let (mark, debt) = owed.due(None, 9)[0];
        assert!(owed.repaid(mark, debt, on(2, 100)));
        owed.mute(Epoch::new(1), at(101));
        owed.rise(Epoch::new(1));
        assert_eq!(owed.due(None, 9), []);
        owed.mute(Epoch::new(2), at(109));
        owed.rise(Epoch::new(3));
        assert_eq!(owed.due(None, 9).len(), 1);
    }

    #[test]
    fn what_may_have_been_told_to_one_that_was_lost_since_was_not_told() {
        let mut owed = up();
        owed.mute(Epoch::new(1), at(11));
        assert!(owed.note(MARK, Reach::Entry, on(1, 10)), "it is told again with the others");
        owed.rise(Epoch::new(2));
        let (mark, debt) = owed.due(None, 9)[0];
        assert!(!owed.note(Mark::from_bits(1), Reach::Entry, on(1, 10)));
        assert!(!owed.repaid(mark, debt, on(1, 10)));
        assert!(owed.note(MARK, Reach::Many, on(2, 12)));
        assert!(owed.repaid(mark, debt, on(2, 13)));
        assert_eq!(owed.due(None, 9), [], "it was told since");
    }

    #[test]
    fn those_that_are_due_are_told_in_turns() {
        let mut owed = up();
        for bits in 0..5 {
            assert!(owed.note(Mark::from_bits(bits), Reach::Entry, on(1, 1)));
        }
        owed.rise(Epoch::new(2));
        let mut marks = Vec::new();
        while let due = owed.due(marks.last().copied(), 2)
            && !due.is_empty()
        {
            marks.extend(due.into_iter().map(|(mark, _)| mark));
        }
        assert_eq!(marks, [0, 1, 2, 3, 4].map(Mark::from_bits));
    }

    #[test]
    fn of_too_many_the_caller_hears() {
        let mut owed = up();
        for bits in 0..OWED_MAX as u64 {
            assert!(owed.note(Mark::from_bits(bits), Reach::Entry, on(1, 1)));
        }
        assert!(!owed.note(Mark::from_bits(u64::MAX), Reach::Entry, on(1, 2)));
        assert!(owed.note(MARK, Reach::Entry, on(1, 2)), "one that is known takes no more room");
        assert!(owed.note(Mark::from_bits(u64::MAX), Reach::Entry, on(1, 11)), "and the others are old by then");
    }

    /// On its first connection.
    fn up() -> Owed {
        let mut owed = Owed::default();
        owed.rise(Epoch::new(1));
        owed
    }

    fn on(epoch: u64, seconds: u64) -> Told {
        Told { since: at(seconds), epoch: Epoch::new(epoch) }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }
}
