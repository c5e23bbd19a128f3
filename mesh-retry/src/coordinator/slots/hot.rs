//! The part of the slots that retries use.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use std::sync::Arc;

use mesh_core::rng::Rng;
use mesh_core::time::saturating_nanos;

use super::super::wake::Wake;
use super::config::SlotsConfig;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Slots that the threads of a process share: see [the module](super) for how they are given.
///
/// **Orderings**: the block is one word that says all there is to know of it, so relaxed operations suffice: a
/// compare-exchange takes each of its numbers once, and whoever takes from a word that was replaced by an equal one takes a
/// number of the new block.
pub struct RetrySlots {
    slots: NonZeroU32,
    width_nanos: u64,
    step: u32,
    /// See [`Block`].
    block: AtomicU64,
    /// How many found no number since the machine last counted.
    missed: AtomicU32,
    /// What the machine has been woken for: see [`TOUCHED`] and [`EMPTY`].
    woken_for: AtomicU32,
    wake: Arc<dyn Wake>,
}

/// A block of numbers: whether none of it was used, how many are left, and the slot of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block(u64);

impl RetrySlots {
    /// Slots without a block; `wake` wakes the driver of their [`SlotsMachine`](super::SlotsMachine).
    #[must_use]
    pub fn new(config: &SlotsConfig, wake: Arc<dyn Wake>) -> Self {
        Self {
            slots: config.slots,
            width_nanos: saturating_nanos(config.width),
            step: step(config.slots.get()),
            block: AtomicU64::new(Block::EMPTY.0),
            missed: AtomicU32::new(0),
            woken_for: AtomicU32::new(0),
            wake,
        }
    }

    /// How long the next retry waits: its slot and a random part of one more, or a random part of all slots' time where no
    /// number is at hand. Shorter than all slots' time.
    #[inline]
    pub fn take(&self, rng: &mut Rng) -> Duration {
        let mut word = self.block.load(Ordering::Relaxed);
        loop {
            let block = Block(word);
            let Some(rest) = block.without_next(self.step, self.slots) else { return self.miss(rng) };
            match self.block.compare_exchange_weak(word, rest.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    if rest.left() == 0 {
                        self.wake_for(EMPTY);
                    } else if block.is_untouched() {
                        self.wake_for(TOUCHED);
                    }
                    let nanos = u64::from(block.next()).saturating_mul(self.width_nanos);
                    return Duration::from_nanos(nanos.saturating_add(rng.below(self.width_nanos)));
                }
                Err(changed) => word = changed,
            }
        }
    }

    /// As [`RetrySlots::take`], for a retry that has `room` for it before its deadline, where there is one: a random part of that
    /// where its slot is not before it.
    #[inline]
    pub fn take_within(&self, room: Option<Duration>, rng: &mut Rng) -> Duration {
        let wait = self.take(rng);
        match room {
            Some(room) if wait >= room => Duration::from_nanos(rng.below(saturating_nanos(room))),
            Some(_) | None => wait,
        }
    }

    /// How many numbers are at hand.
    #[must_use]
    pub fn left(&self) -> u32 {
        Block(self.block.load(Ordering::Relaxed)).left()
    }

    #[cold]
    fn miss(&self, rng: &mut Rng) -> Duration {
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.wake_for(EMPTY);
        Duration::from_nanos(rng.below(self.width_nanos.saturating_mul(u64::from(self.slots.get()))))
    }

    /// Wakes the machine, unless it was for the same since it last put a block here.
    fn wake_for(&self, what: u32) {
        if self.woken_for.fetch_max(what, Ordering::AcqRel) < what {
            self.wake.wake();
        }
    }

    /// What the machine has been woken for.
    pub(super) fn woken_for(&self) -> u32 {
        self.woken_for.load(Ordering::Acquire)
    }

    /// How many retries found no number since this was last asked.
    pub(super) fn take_missed(&self) -> u32 {
        self.missed.swap(0, Ordering::Relaxed)
    }

    /// Puts the block of `count` numbers from `first` on in the place of what is left; returns how many that were.
    pub(super) fn refill(&self, first: u64, count: u32) -> u32 {
        // Before the block is there, or the first to take from it would find the machine woken that has just been served.
        self.woken_for.store(0, Ordering::Release);
        let next = u32::try_from(first % u64::from(self.slots.get())).unwrap_or(0);
        Block(self.block.swap(Block::new(count, next).0, Ordering::AcqRel)).left()
    }
}

impl fmt::Debug for RetrySlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = Block(self.block.load(Ordering::Relaxed));
        f.debug_struct("RetrySlots").field("slots", &self.slots).field("block", &block).finish_non_exhaustive()
    }
}

impl Block {
    const EMPTY: Self = Self(0);

    const fn new(count: u32, next: u32) -> Self {
        let count = if count > LEFT_MAX { LEFT_MAX } else { count };
        Self(UNTOUCHED | (count as u64) << LEFT_SHIFT | next as u64)
    }

    const fn is_untouched(self) -> bool {
        self.0 & UNTOUCHED != 0
    }

    const fn left(self) -> u32 {
        (self.0 >> LEFT_SHIFT) as u32 & LEFT_MAX
    }

    const fn next(self) -> u32 {
        self.0 as u32
    }

    /// What is left when the next number is taken, if there is one.
    const fn without_next(self, step: u32, slots: NonZeroU32) -> Option<Self> {
        let Some(left) = self.left().checked_sub(1) else { return None };
        let next = (self.next() as u64 + step as u64) % slots.get() as u64;
        Some(Self((left as u64) << LEFT_SHIFT | next))
    }
}

/// The largest step up to the square root of `slots` that has no divisor in common with it: so many retries of one process,
/// and so many processes next to each other, have slots of their own.
fn step(slots: u32) -> u32 {
    (1..=slots.isqrt()).rev().find(|&step| divisor(step, slots) == 1).unwrap_or(1)
}

/// The greatest common divisor (Euclid).
const fn divisor(one: u32, other: u32) -> u32 {
    let (mut one, mut other) = (one, other);
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

/// The first number of a block was used.
pub(super) const TOUCHED: u32 = 1;
/// No number is left.
pub(super) const EMPTY: u32 = 2;

const UNTOUCHED: u64 = 1 << 63;
const LEFT_SHIFT: u32 = 32;
const LEFT_MAX: u32 = u32::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_visit_every_slot() {
        assert_eq!([1, 2, 4, 9, 10, 100, 1000].map(step), [1, 1, 1, 2, 3, 9, 31]);
        for slots in 1..=1000 {
            assert_eq!(divisor(step(slots), slots), 1, "{slots}");
        }
    }

    #[test]
    fn a_block_says_what_it_was_made_of_and_is_touched_once() {
        let slots = NonZeroU32::new(10).unwrap();
        let block = Block::new(2, 9);
        assert_eq!((block.is_untouched(), block.left(), block.next()), (true, 2, 9));
        let rest = block.without_next(3, slots).unwrap();
        assert_eq!((rest.is_untouched(), rest.left(), rest.next()), (false, 1, 2));
        assert_eq!(rest.without_next(3, slots).unwrap().without_next(3, slots), None);
        assert_eq!(Block::new(u32::MAX, 0).left(), LEFT_MAX);
    }
}
