//! Deposits and withdrawals by slots of time, which threads count at once without a lock and without upkeep.
//!
//! A slot has a place for its deposits and one for its withdrawals. A place says which slot it is of, and is taken over when
//! it comes round again; what it says of a slot that is over counts no more. Deposits only have to arrive, in any order.
//! Withdrawals must not both be made from what is enough for one: they are counted in one word, [`Slots::last`], with the
//! slot they are of, and whoever begins a new slot first puts what that word said of the old one in its place. The word only
//! grows (slot first, then count), so that who finds it as it was knows that nobody withdrew meanwhile.

use core::array;

use crate::sync::{AtomicU64, Ordering};

/// See [the module](self).
#[derive(Debug)]
pub(super) struct Slots {
    deposits: [AtomicU64; PLACES],
    /// Withdrawals of slots before the last one that had any.
    withdrawals: [AtomicU64; PLACES],
    /// The last slot that had withdrawals, and how many.
    last: AtomicU64,
}

/// What all places said at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    deposits: [Word; PLACES],
    withdrawals: [Word; PLACES],
    last: Word,
    /// The slot of the moment: the latest that anybody told of.
    pub(super) latest: u64,
}

/// How much counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) deposits: u64,
    pub(super) withdrawals: u64,
}

impl Seen {
    /// What counts in the slot of the moment.
    pub(super) fn counted(&self) -> Counted {
        self.counted_in(self.latest)
    }

    /// What will count in `slot`, which is no earlier, if nothing is added.
    pub(super) fn counted_in(&self, slot: u64) -> Counted {
        let sum = |words: &mut dyn Iterator<Item = &Word>| words.map(|word| word.counted(slot)).sum::<u64>();
        // Of its own slot, and of later ones, the last word tells, or is out of date.
        let before = &mut self.withdrawals.iter().filter(|word| word.slot() < self.last.slot());
        Counted { deposits: sum(&mut self.deposits.iter()), withdrawals: sum(before) + self.last.counted(slot) }
    }
}

/// The number of a slot in the upper bits and a count in the lower ones, so that the greater word is the later.
///
/// A slot is no shorter than a tenth of a second, of which 2^64 nanoseconds have fewer than 2^38.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Word(u64);

impl Word {
    const fn new(slot: u64, count: u64) -> Self {
        Self(slot << COUNT_BITS | count)
    }

    const fn slot(self) -> u64 {
        self.0 >> COUNT_BITS
    }

    const fn count(self) -> u64 {
        self.0 & COUNT
    }

    /// The count, if the slot is among those that count in slot `latest`.
    const fn counted(self, latest: u64) -> u64 {
        if latest.saturating_sub(self.slot()) < SLOTS { self.count() } else { 0 }
    }

    /// One more in `slot`, or in a later one that is under way; none where no more can be counted.
    const fn one_more(self, slot: u64) -> Option<Self> {
        if slot > self.slot() {
            Some(Self::new(slot, 1))
        } else if self.count() < COUNT {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }
}

impl Slots {
    pub(super) fn new() -> Self {
        let empty = || array::from_fn(|_| AtomicU64::new(0));
        Self { deposits: empty(), withdrawals: empty(), last: AtomicU64::new(0) }
    }

    /// Counts a deposit in `slot`. One that comes so late that a newer slot has its place counts there.
    pub(super) fn deposit(&self, slot: u64) {
        let place = &self.deposits[place_of(slot)];
        let counted = |word| Word(word).one_more(slot).map(|Word(word)| word);
        // A slot that can count no more loses deposits, which is on the safe side.
        let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// Counts a withdrawal in `slot`, or in the latest one that anybody told of, if what counts then is `enough`. Where it
    /// is not, nothing changes, and what there was is returned.
    pub(super) fn withdraw(&self, slot: u64, enough: impl Fn(Counted) -> bool) -> Option<Seen> {
        loop {
            // Acquires what was put in the places of the slots before.
            let last = Word(self.last.load(Ordering::Acquire));
            let seen = self.seen_after(last, slot);
            let Some(next) = last.one_more(seen.latest).filter(|_| enough(seen.counted())) else {
                if self.last.load(Ordering::Relaxed) == last.0 {
                    return Some(seen);
                }
                continue;
            };
            if next.slot() > last.slot() {
                // Whoever else begins a new slot puts the same there, or less if it was too late for the last withdrawal.
                self.withdrawals[place_of(last.slot())].fetch_max(last.0, Ordering::Relaxed);
            }
            if self.last.compare_exchange(last.0, next.0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return None;
            }
        }
    }

    /// What there is in `slot`, or in the latest one that anybody told of.
    pub(super) fn seen(&self, slot: u64) -> Seen {
        self.seen_after(Word(self.last.load(Ordering::Acquire)), slot)
    }

    fn seen_after(&self, last: Word, slot: u64) -> Seen {
        let read = |words: &[AtomicU64; PLACES]| array::from_fn(|place| Word(words[place].load(Ordering::Relaxed)));
        let deposits: [Word; PLACES] = read(&self.deposits);
        let latest = deposits.iter().map(|word| word.slot()).fold(slot.max(last.slot()), u64::max);
        Seen { deposits, withdrawals: read(&self.withdrawals), last, latest }
    }
}

const fn place_of(slot: u64) -> usize {
    (slot % SLOTS) as usize
}

/// How many slots count: the one of the moment, and the ten before it.
pub(super) const SLOTS: u64 = 11;
const PLACES: usize = SLOTS as usize;
const COUNT_BITS: u32 = 26;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
