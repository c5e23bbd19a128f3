//! What this process invalidated lately, to be told again to a server that may have lost it.
//!
//! A server that fails over, or comes back with what it had saved, may have forgotten what it acknowledged just before it
//! was lost. Decides what is told again: what was told within [`RETOLD`] before a connection was lost, however long it
//! takes until the next, and until that has acknowledged it.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::time::Instant;

use super::reason::Epoch;
use crate::key::Mark;
use crate::second::Reach;

/// What this process invalidated lately.
#[derive(Debug, Default)]
pub(super) struct Owed {
    by_mark: BTreeMap<Mark, Debt>,
    /// The last connection that was lost, and when that was seen.
    lost: Option<(Epoch, Instant)>,
}

/// A scope that was told of, and when that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Debt {
    pub(super) reach: Reach,
    pub(super) since: Instant,
    /// Whether it is to be told again.
    is_due: bool,
}

impl Owed {
    /// Remembers that `mark` was told, beginning at `since`, in the place of an earlier time; false where too many are
    /// remembered already.
    pub(super) fn note(&mut self, mark: Mark, reach: Reach, since: Instant) -> bool {
        if self.by_mark.len() >= OWED_MAX {
            self.by_mark.retain(|_, other| other.is_due || since.since(other.since) < RETOLD);
        }
        if self.by_mark.len() >= OWED_MAX && !self.by_mark.contains_key(&mark) {
            return false;
        }
        // One that was told while the connection was lost may have been told to the old one.
        let is_due = self.lost.is_some_and(|(_, at)| since <= at);
        self.by_mark.insert(mark, Debt { reach, since, is_due });
        true
    }

    /// The connection `epoch` was lost, as is seen at `now`.
    pub(super) fn lose(&mut self, epoch: Epoch, now: Instant) {
        if self.lost.is_some_and(|(lost, _)| lost >= epoch) {
            return;
        }
        self.lost = Some((epoch, now));
        self.by_mark.retain(|_, debt| debt.is_due || now.since(debt.since) < RETOLD);
        self.by_mark.values_mut().for_each(|debt| debt.is_due = true);
    }

    /// One that is to be told again.
    pub(super) fn due(&self) -> Option<(Mark, Debt)> {
        self.by_mark.iter().find(|(_, debt)| debt.is_due).map(|(mark, debt)| (*mark, *debt))
    }

    /// `mark` was told again, beginning at `since`, for `debt`, unless another has taken its place.
    pub(super) fn repaid(&mut self, mark: Mark, debt: Debt, since: Instant) {
        if let Some(owed) = self.by_mark.get_mut(&mark).filter(|owed| **owed == debt) {
            *owed = Debt { since, is_due: self.lost.is_some_and(|(_, at)| since <= at), ..debt };
        }
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
        let mut owed = Owed::default();
        assert!(owed.note(Mark::from_bits(1), Reach::Many, at(0)) && owed.note(MARK, Reach::Entry, at(5)));
        assert_eq!(owed.due(), None);
        owed.lose(Epoch::new(1), at(11));
        owed.lose(Epoch::new(1), at(700));
        let (mark, debt) = owed.due().unwrap();
        assert_eq!((mark, debt.reach), (MARK, Reach::Entry), "the other was told eleven seconds before");
        owed.repaid(mark, debt, at(800));
        assert_eq!(owed.due(), None);
        owed.lose(Epoch::new(2), at(805));
        assert!(owed.due().is_some(), "it was told to one that was lost");
    }

    #[test]
    fn what_was_told_while_the_connection_was_lost_may_have_been_told_to_the_old_one() {
        let mut owed = Owed::default();
        owed.lose(Epoch::new(1), at(11));
        assert!(owed.note(MARK, Reach::Entry, at(10)));
        let (mark, debt) = owed.due().unwrap();
        assert!(owed.note(MARK, Reach::Many, at(12)));
        owed.repaid(mark, debt, at(13));
        assert_eq!(owed.due(), None, "it was told since");
    }

    #[test]
    fn of_too_many_the_caller_hears() {
        let mut owed = Owed::default();
        for bits in 0..OWED_MAX as u64 {
            assert!(owed.note(Mark::from_bits(bits), Reach::Entry, at(1)));
        }
        assert!(!owed.note(Mark::from_bits(u64::MAX), Reach::Entry, at(2)));
        assert!(owed.note(MARK, Reach::Entry, at(2)), "one that is known takes no more room");
        assert!(owed.note(Mark::from_bits(u64::MAX), Reach::Entry, at(11)), "and the others are old by then");
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }
}
