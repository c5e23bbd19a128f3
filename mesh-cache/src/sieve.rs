//! Which entry has to go when there are too many.
//!
//! The rule is SIEVE (Zhang et al., "SIEVE is simpler than LRU", NSDI 2024): entries stand in the order in which they
//! came; a hand goes from the oldest to the newest, spares each that was read since it last came by, and takes the first
//! that was not. A hit costs one flag, which is why hits need no lock.

/// The order of entries, each known by its number, which is below `u32::MAX`. Every operation is O(1), but for a hand that spares many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sieve {
    /// The older and the newer neighbour of each number; [`NOBODY`] is none, which takes half of what options take.
    links: Vec<[u32; 2]>,
    oldest: Option<u32>,
    newest: Option<u32>,
    hand: Option<u32>,
    len: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Link {
    older: Option<u32>,
    newer: Option<u32>,
}

/// What becomes of an entry that the hand comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was read: it stays, and has to be read again.
    Spare,
    /// It has to go.
    Take,
}

impl Sieve {
    /// How many entries there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// All of them, from the oldest to the newest.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        std::iter::successors(self.oldest, |number| self.link(*number).newer)
    }

    /// The entry `number` came.
    pub(crate) fn push(&mut self, number: u32) {
        let index = number as usize;
        if self.links.len() <= index {
            self.links.resize(index + 1, [NOBODY; 2]);
        }
        let older = self.newest;
        self.set(number, Link { older, newer: None });
        match older {
            Some(older) => self.update(older, |link| link.newer = Some(number)),
            None => self.oldest = Some(number),
        }
        self.newest = Some(number);
        self.len += 1;
    }

    /// The entry `number`, which is here, goes.
    pub(crate) fn remove(&mut self, number: u32) {
        let Link { older, newer } = self.link(number);
        match older {
            Some(older) => self.update(older, |link| link.newer = newer),
            None => self.oldest = newer,
        }
        match newer {
            Some(newer) => self.update(newer, |link| link.older = older),
            None => self.newest = older,
        }
        if self.hand == Some(number) {
            self.hand = newer;
        }
        self.set(number, Link::default());
        self.len -= 1;
    }

    /// The entry that has to go by the judgement of `judge`, or `None` if all are spared for two rounds. It stays in the
    /// order until it is removed.
    pub(crate) fn choose(&mut self, mut judge: impl FnMut(u32) -> Fate) -> Option<u32> {
        for _ in 0..self.len.saturating_mul(2) {
            let number = self.hand.or(self.oldest)?;
            if judge(number) == Fate::Take {
                self.hand = Some(number);
                return Some(number);
            }
            self.hand = self.link(number).newer;
        }
        None
    }

    fn link(&self, number: u32) -> Link {
        let [older, newer] = self.links.get(number as usize).copied().unwrap_or([NOBODY; 2]);
        let somebody = |number| (number != NOBODY).then_some(number);
        Link { older: somebody(older), newer: somebody(newer) }
    }

    fn set(&mut self, number: u32, link: Link) {
        if let Some(packed) = self.links.get_mut(number as usize) {
            *packed = [link.older, link.newer].map(|number| number.unwrap_or(NOBODY));
        }
    }

    fn update(&mut self, number: u32, change: impl FnOnce(&mut Link)) {
        let mut link = self.link(number);
        change(&mut link);
        self.set(number, link);
    }
}

const NOBODY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Takes the one that SIEVE takes with `read` as the flags, which it clears.
    fn take(sieve: &mut Sieve, read: &mut BTreeSet<u32>) -> Option<u32> {
        let taken = sieve.choose(|number| if read.remove(&number) { Fate::Spare } else { Fate::Take });
        taken.inspect(|&number| sieve.remove(number))
    }

    #[test]
    fn the_hand_spares_what_was_read_and_takes_the_first_that_was_not() {
        let mut sieve = Sieve::default();
        (0..7).for_each(|number| sieve.push(number));
        let mut read = BTreeSet::from([0, 1, 6]);
        assert_eq!(take(&mut sieve, &mut read), Some(2));
        // The hand stays where it is: what comes next is newer than it has reached.
        sieve.push(7);
        read.insert(0);
        assert_eq!(take(&mut sieve, &mut read), Some(3));
        assert_eq!(read, BTreeSet::from([0, 6]));
        assert_eq!(sieve.len(), 6);
    }

    #[test]
    fn whoever_is_removed_out_of_turn_leaves_a_whole_order() {
        let mut sieve = Sieve::default();
        (0..5).for_each(|number| sieve.push(number));
        let mut none = BTreeSet::new();
        assert_eq!(take(&mut sieve, &mut none), Some(0));
        sieve.remove(1);
        sieve.remove(4);
        sieve.push(0);
        let rest: Vec<u32> = std::iter::from_fn(|| take(&mut sieve, &mut none)).collect();
        assert_eq!(rest, [2, 3, 0]);
        assert_eq!((sieve.len(), sieve.oldest, sieve.newest), (0, None, None));
    }

    #[test]
    fn when_all_are_spared_nobody_goes() {
        let mut sieve = Sieve::default();
        (0..3).for_each(|number| sieve.push(number));
        assert_eq!(sieve.choose(|_| Fate::Spare), None);
        assert_eq!(sieve.len(), 3);
    }
}
