//! The last so many calls, exactly.
//!
//! The head is one word: where the next call goes, how many calls failed and were slow among the last ones, and how the very
//! last one ended. A ring holds how each of them ended, two bits a call. A call takes what leaves the window from the ring,
//! puts itself into the head, and leaves the ring to whoever comes next: before anybody moves the head on, the call that it
//! names is in the ring. So a thread that stops in the middle holds nobody up, and the numbers and the ring never differ.

use core::num::NonZeroU32;

use super::super::transition::Counts;
use super::super::word::{Field, TAG_BITS};
use super::{Call, Current};
use crate::sync::{AtomicU64, Ordering};

/// A window of a number of calls.
#[derive(Debug)]
pub(super) struct CountWindow {
    /// See [`Head`].
    head: AtomicU64,
    /// See [`Ends`].
    ring: Box<[AtomicU64]>,
    len: u32,
}

impl CountWindow {
    /// A window of the last `calls`, at most [`COUNT_MAX`].
    pub(super) fn new(calls: NonZeroU32) -> Self {
        let len = calls.get().min(COUNT_MAX);
        let ring = (0..len.div_ceil(ENDS_PER_WORD)).map(|_| AtomicU64::new(0)).collect();
        Self { head: AtomicU64::new(Head::FIRST.0), ring, len }
    }

    /// Counts `call`; returns what the window holds with it, or nothing where it is not current any more.
    #[inline]
    pub(super) fn record(&self, tag: u64, call: Call, current: &impl Current) -> Option<Counts> {
        loop {
            let head = Head(self.head.load(Ordering::Acquire));
            if !current() {
                return None;
            }
            let next = if head.tag() == tag {
                if !self.settle(head) {
                    continue;
                }
                let leaving = if head.is_full() { self.ends(head.slot()).get(head.slot()) } else { 0 };
                head.after(call, leaving, self.len)
            } else {
                head.restarted(tag).after(call, 0, self.len)
            };
            let exchanged = self.head.compare_exchange_weak(head.0, next.0, Ordering::AcqRel, Ordering::Relaxed);
            if exchanged.is_ok() {
                return Some(next.counts(self.len));
            }
        }
    }

    /// What the window holds of the epoch with `tag`.
    pub(super) fn counts(&self, tag: u64) -> Counts {
        let head = Head(self.head.load(Ordering::Acquire));
        if head.tag() == tag { head.counts(self.len) } else { Counts::default() }
    }

    /// Sees to it that the last call of `head` is in the ring; false where the head has moved on.
    fn settle(&self, head: Head) -> bool {
        let Some((slot, stamp)) = head.last(self.len) else { return true };
        let ends = self.ends(slot);
        if ends.stamp() == stamp {
            return true;
        }
        // These ends may be of later calls than the head is, and then must not be overwritten. But who put those in had
        // seen a later head, and so does who has seen them.
        if self.head.load(Ordering::Relaxed) != head.0 {
            return false;
        }
        let next = ends.with(slot, head.last_end(), stamp);
        let place = &self.ring[(slot / ENDS_PER_WORD) as usize];
        // Where this fails, somebody else has put the same call in.
        let _ = place.compare_exchange(ends.0, next.0, Ordering::Release, Ordering::Relaxed);
        true
    }

    fn ends(&self, slot: u32) -> Ends {
        Ends(self.ring[(slot / ENDS_PER_WORD) as usize].load(Ordering::Acquire))
    }
}

/// Where the next call goes, and what the last ones were.
///
/// Besides the tag of its epoch: the lap, which rises when the ring has been gone round and when an epoch begins; how the
/// last call ended; whether the window is full; the slot of the next call; and how many failed and were slow.
#[derive(Clone, Copy, Debug)]
struct Head(u64);

impl Head {
    /// Before any call. The ring is as if it had last been written in the lap before.
    const FIRST: Self = Self(LAP.at(1));

    const fn tag(self) -> u64 {
        TAG.of(self.0)
    }

    const fn is_full(self) -> bool {
        FULL.of(self.0) > 0
    }

    const fn slot(self) -> u32 {
        SLOT.of(self.0) as u32
    }

    /// How the last call ended, as two bits.
    const fn last_end(self) -> u64 {
        LAST.of(self.0)
    }

    /// An empty window of the epoch with `tag`.
    const fn restarted(self, tag: u64) -> Self {
        Self(TAG.at(tag) | LAP.at((LAP.of(self.0) + 1) & LAP.max()))
    }

    /// The window after `call`, for which a call leaves that ended like `leaving`. Where the head has moved on meanwhile,
    /// that may be a call which this one does not count; the exchange fails then.
    const fn after(self, call: Call, leaving: u64, len: u32) -> Self {
        let failed = (FAILED.of(self.0) + call.failed as u64).saturating_sub(leaving & FAILED_END);
        let slow = (SLOW.of(self.0) + call.slow as u64).saturating_sub(leaving >> 1);
        let end = call.failed as u64 | (call.slow as u64) << 1;
        let numbers = FAILED.at(failed) | SLOW.at(slow) | LAST.at(end);
        let wraps = self.slot() + 1 >= len;
        let (slot, turn) = if wraps { (0, 1) } else { (self.slot() + 1, 0) };
        let lap = (LAP.of(self.0) + turn) & LAP.max();
        let place = LAP.at(lap) | FULL.at(FULL.of(self.0) | turn) | SLOT.at(slot as u64);
        Self(TAG.at(self.tag()) | place | numbers)
    }

    /// The slot of the last call, and what stamps it; none before the first.
    const fn last(self, len: u32) -> Option<(u32, u64)> {
        let (slot, lap) = match self.slot() {
            0 if !self.is_full() => return None,
            0 => (len - 1, LAP.of(self.0).wrapping_sub(1) & LAP.max()),
            slot => (slot - 1, LAP.of(self.0)),
        };
        Some((slot, lap << SLOT.bits | slot as u64))
    }

    const fn counts(self, len: u32) -> Counts {
        let calls = if self.is_full() { len } else { self.slot() };
        let (failed, slow) = (FAILED.of(self.0) as u32, SLOW.of(self.0) as u32);
        Counts { calls, failed, slow, failures_in_row: 0 }
    }
}

/// How up to 16 neighbours ended, two bits each, under the stamp of the one that was put in last: its lap and its slot.
#[derive(Clone, Copy, Debug)]
struct Ends(u64);

impl Ends {
    const fn stamp(self) -> u64 {
        self.0 >> STAMP_SHIFT
    }

    const fn get(self, slot: u32) -> u64 {
        self.0 >> (slot % ENDS_PER_WORD * 2) & END
    }

    const fn with(self, slot: u32, end: u64, stamp: u64) -> Self {
        let shift = slot % ENDS_PER_WORD * 2;
        let others = self.0 & ENDS & !(END << shift);
        Self(stamp << STAMP_SHIFT | others | end << shift)
    }
}

/// The most calls of a window.
pub(in super::super) const COUNT_MAX: u32 = SLOT.max() as u32;

const SLOW: Field = Field { shift: 0, bits: 12 };
const FAILED: Field = Field { shift: 12, bits: 12 };
const SLOT: Field = Field { shift: 24, bits: 12 };
const FULL: Field = Field { shift: 36, bits: 1 };
const LAST: Field = Field { shift: 37, bits: 2 };
const LAP: Field = Field { shift: 39, bits: 15 };
const TAG: Field = Field { shift: 54, bits: TAG_BITS };

const ENDS_PER_WORD: u32 = 16;
const STAMP_SHIFT: u32 = 32;
const ENDS: u64 = (1 << STAMP_SHIFT) - 1;
const END: u64 = 0b11;
const FAILED_END: u64 = 0b01;
