//! Keeps out what was read before something changed.
//!
//! Decides whether what a load brings may still be kept: not if anything that it is in was invalidated after the load
//! began, however long it took and in whichever order its answer and the news of the change came. Holds only as much of
//! the past as the oldest load under way needs.

use std::collections::{BTreeMap, VecDeque};

use crate::key::{Mark, Marks};

/// The invalidations that loads under way have lived through.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    /// How many invalidations there have been.
    generation: u64,
    /// What was invalidated, and as which generation, from the oldest load under way on.
    journal: VecDeque<(u64, Mark)>,
    /// The generation up to which the journal says nothing any more: whoever began before is kept out.
    forgotten: u64,
    /// How many loads under way began in each generation.
    begun: BTreeMap<u64, u32>,
    journal_max: usize,
}

/// When a load began. Given back once, to [`Fence::end`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Begun(u64);

impl Fence {
    /// A fence that remembers `journal_max` invalidations; beyond them it keeps out more than it need.
    pub(crate) const fn new(journal_max: usize) -> Self {
        Self { generation: 0, journal: VecDeque::new(), forgotten: 0, begun: BTreeMap::new(), journal_max }
    }

    /// How many invalidations there have been.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// A load begins, before its first read.
    pub(crate) fn begin(&mut self) -> Begun {
        *self.begun.entry(self.generation).or_default() += 1;
        Begun(self.generation)
    }

    /// Everything that has `mark` is out of date from now on.
    pub(crate) fn invalidate(&mut self, mark: Mark) {
        self.generation = self.generation.saturating_add(1);
        if self.begun.is_empty() {
            return;
        }
        if self.journal.len() >= self.journal_max
            && let Some((generation, _)) = self.journal.pop_front()
        {
            self.forgotten = generation;
        }
        self.journal.push_back((self.generation, mark));
    }

    /// Whether nothing that has one of `marks` was invalidated since `begun`.
    pub(crate) fn admits(&self, begun: &Begun, marks: &Marks) -> bool {
        begun.0 >= self.forgotten && !self.since(begun).any(|mark| marks.contain(mark))
    }

    /// A load ends.
    pub(crate) fn end(&mut self, begun: Begun) {
        if let Some(count) = self.begun.get_mut(&begun.0) {
            *count -= 1;
            if *count == 0 {
                self.begun.remove(&begun.0);
            }
        }
        let oldest = self.begun.keys().next().copied().unwrap_or(self.generation);
        while self.journal.front().is_some_and(|(generation, _)| *generation <= oldest) {
            self.journal.pop_front();
        }
    }

    /// How many loads are under way.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> u32 {
        self.begun.values().sum()
    }

    fn since(&self, begun: &Begun) -> impl Iterator<Item = Mark> {
        let later = self.journal.partition_point(|(generation, _)| *generation <= begun.0);
        self.journal.iter().skip(later).map(|(_, mark)| *mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Scope};

    fn marks(key: &str) -> Marks {
        Marks::new(&Key::new(key).unwrap(), &[])
    }

    #[test]
    fn what_was_invalidated_during_a_load_is_kept_out_and_what_was_before_is_not() {
        let mut fence = Fence::new(8);
        fence.invalidate(Scope::All.mark());
        let (first, second) = (fence.begin(), fence.begin());
        fence.invalidate(marks("a/b").own());
        assert!(!fence.admits(&first, &marks("a/b")));
        assert!(fence.admits(&second, &marks("a/c")));
        fence.end(first);
        let later = fence.begin();
        assert!(fence.admits(&later, &marks("a/b")));
        fence.end(second);
        fence.end(later);
        assert_eq!((fence.journal.len(), fence.begun.len()), (0, 0), "nothing is kept when nobody loads");
    }

    #[test]
    fn a_full_journal_keeps_out_whom_it_no_longer_knows_about() {
        let mut fence = Fence::new(2);
        let early = fence.begin();
        for name in ["x", "y", "z"] {
            fence.invalidate(marks(name).own());
        }
        assert_eq!(fence.journal.len(), 2);
        assert!(!fence.admits(&early, &marks("unrelated")));
        let late = fence.begin();
        assert!(fence.admits(&late, &marks("x")));
        fence.end(early);
        fence.end(late);
    }
}
