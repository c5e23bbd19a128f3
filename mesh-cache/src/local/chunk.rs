//! Seven entries beside one another on one cache line, with what it takes to find one of them without a look at the rest.
//!
//! Decides nothing: see [`Table`](super::table::Table). The layout is that of F14 (Bronson, Shi, "Open-sourcing F14 for
//! faster, more memory-efficient hash tables", Facebook 2019), narrowed from 14 entries to those that a line has room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};

use crate::entry::Record;

/// Places of entries. Readers may look at any moment; one writer at a time.
#[repr(align(64))]
pub(super) struct Chunk<V> {
    /// From the lowest byte on the tag of each lane, 0 where it is vacant; in the highest byte how many entries went on
    /// to a later chunk, since this one was full.
    tags: AtomicU64,
    lanes: [ArcSwap<Record<V>>; LANES],
}

impl<V> Chunk<V> {
    /// A chunk with nothing in it; in its lanes is `vacant`.
    pub(super) fn new(vacant: &Arc<Record<V>>) -> Self {
        Self { tags: AtomicU64::new(0), lanes: std::array::from_fn(|_| ArcSwap::new(Arc::clone(vacant))) }
    }

    /// What may be the entry that `is_it` knows, and its lane; or whether it may be in a later chunk.
    pub(super) fn find(&self, tag: Tag, is_it: impl Fn(&Record<V>) -> bool) -> Look<V> {
        let tags = self.tags.load(Ordering::Acquire);
        // The bytes that are equal are zero then. What borrows makes of the byte above one is looked at in vain.
        let unlike = tags ^ (tag.0 * EACH);
        let mut alike = unlike.wrapping_sub(EACH) & !unlike & HIGHS;
        while alike != 0 {
            let lane = (alike.trailing_zeros() / 8) as usize;
            alike &= alike - 1;
            if let Some(record) = self.lanes.get(lane).map(ArcSwap::load)
                && is_it(&record)
            {
                return Look::Found(lane, record);
            }
        }
        if tags >> PASSED_AT == 0 { Look::Nowhere } else { Look::Further }
    }

    /// What is in `lane`.
    pub(super) fn record(&self, lane: usize) -> Option<Guard<Arc<Record<V>>>> {
        self.lanes.get(lane).map(ArcSwap::load)
    }

    /// A lane in which nothing is.
    pub(super) fn vacancy(&self) -> Option<usize> {
        let vacant = !self.tags.load(Ordering::Relaxed) & HIGHS;
        (vacant != 0).then(|| (vacant.trailing_zeros() / 8) as usize)
    }

    /// Puts `record` into `lane`, where nothing is, to be found under `tag`.
    pub(super) fn fill(&self, lane: usize, tag: Tag, record: Arc<Record<V>>) {
        self.swap(lane, record);
        self.set(lane, tag.0);
    }

    /// Puts `record` into `lane`, where one of the same key is, which is returned.
    pub(super) fn swap(&self, lane: usize, record: Arc<Record<V>>) -> Option<Arc<Record<V>>> {
        Some(self.lanes.get(lane)?.swap(record))
    }

    /// Puts `vacant` into `lane`, and returns what was there.
    pub(super) fn vacate(&self, lane: usize, vacant: &Arc<Record<V>>) -> Option<Arc<Record<V>>> {
        self.set(lane, 0);
        self.swap(lane, Arc::clone(vacant))
    }

    /// An entry goes on to a later chunk.
    pub(super) fn pass(&self) {
        let tags = self.tags.load(Ordering::Relaxed);
        if tags >> PASSED_AT < PASSED_MAX {
            self.tags.store(tags + (1 << PASSED_AT), Ordering::Release);
        }
    }

    /// An entry that went on is gone.
    pub(super) fn unpass(&self) {
        let tags = self.tags.load(Ordering::Relaxed);
        // Of so many the count is lost: readers go on for ever, and find nothing.
        if tags >> PASSED_AT < PASSED_MAX {
            self.tags.store(tags - (1 << PASSED_AT), Ordering::Release);
        }
    }

    /// Whether it is as if nothing had ever been here.
    #[cfg(test)]
    pub(super) fn is_untouched(&self) -> bool {
        self.tags.load(Ordering::Relaxed) == 0
    }

    fn set(&self, lane: usize, tag: u64) {
        let at = lane * 8;
        let others = self.tags.load(Ordering::Relaxed) & !(0xFF << at);
        self.tags.store(others | (tag << at), Ordering::Release);
    }
}

/// What a look at a chunk comes to.
pub(super) enum Look<V> {
    /// It is here, in this lane.
    Found(usize, Guard<Arc<Record<V>>>),
    /// It is not here, but may be in a later chunk.
    Further,
    /// It is nowhere.
    Nowhere,
}

/// Seven bits of a hash, under which an entry is looked for in its chunk.
#[derive(Clone, Copy)]
pub(super) struct Tag(u64);

impl Tag {
    /// The tag of `hash`.
    pub(super) const fn of(hash: u64) -> Self {
        Self(hash & 0x7F | 0x80)
    }
}

/// How many entries a chunk has: with their tags they fill a line of 64 bytes.
pub(super) const LANES: usize = 7;

const PASSED_AT: u32 = 56;
const PASSED_MAX: u64 = 0xFF;
/// A one in the byte of each lane.
const EACH: u64 = 0x0001_0101_0101_0101;
const HIGHS: u64 = 0x0080_8080_8080_8080;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_more_that_went_on_than_can_be_counted_it_is_never_forgotten_that_there_were_some() {
        let chunk: Chunk<()> = Chunk::new(&Arc::new(Record::vacant()));
        let is_last = || matches!(chunk.find(Tag::of(1), |_| true), Look::Nowhere);
        (0..254).for_each(|_| chunk.pass());
        (0..254).for_each(|_| chunk.unpass());
        assert!(is_last());
        (0..300).for_each(|_| chunk.pass());
        (0..300).for_each(|_| chunk.unpass());
        assert!(!is_last() && chunk.vacancy() == Some(0));
    }
}
