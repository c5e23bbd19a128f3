//! Counts that a handle keeps to itself for a short while, so that threads which pick from few instances do not write
//! the same cache lines all the time.
//!
//! A handle has a cell for each instance, which only its own leases write. What is in it is told to the instance's
//! shared counters when it is older than the window, or when it makes a difference of [`HELD_BACK`] + 1 requests in
//! flight. A pick sees the shared counters and what its own handle has held back: alone, a handle sees exact counts.

use alloc::sync::Arc;
use core::time::Duration;

use super::endpoint::Endpoint;
use super::slab::{BLOCK, Block, Blocks};
use super::view::View;
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Instant, saturating_nanos};

/// What one handle has counted of a view's instances.
#[derive(Debug)]
pub(super) struct Window {
    nanos: u64,
    cells: Box<[Arc<Cells>]>,
}

impl Window {
    /// The cells of a handle that follows a view with these `blocks`; of blocks that `previous` had, those it has.
    pub(super) fn over(window: Duration, blocks: &Blocks, previous: Option<&Self>) -> Self {
        let known = previous.map_or(&[][..], |previous| &previous.cells);
        let cells = blocks.iter().enumerate().map(|(at, block)| match known.get(at) {
            Some(known) if Arc::ptr_eq(&known.block, block) => Arc::clone(known),
            Some(_) | None => Arc::new(Cells::of(block)),
        });
        Self { nanos: saturating_nanos(window), cells: cells.collect() }
    }

    /// Counts a pick of the instance at `position` of a part of `view`.
    #[inline(never)]
    pub(super) fn start(&self, view: &View, part: u32, position: u32, now: Instant) {
        self.start_in(view.slot(part, position), now);
    }

    /// Counts a pick of the instance in `slot`.
    #[inline]
    pub(super) fn start_in(&self, slot: u32, now: Instant) {
        let (cell, endpoint) = self.cell(slot);
        cell.count(PICK, endpoint, Some(now), self.nanos);
    }

    /// Counts the end of a request to the instance at `position` of a part of `view`; at no known time where a lease was
    /// dropped.
    #[inline(never)]
    pub(super) fn stop(&self, view: &View, part: u32, position: u32, now: Option<Instant>) {
        self.stop_in(view.slot(part, position), now);
    }

    /// Counts the end of a request to the instance in `slot`.
    #[inline]
    pub(super) fn stop_in(&self, slot: u32, now: Option<Instant>) {
        let (cell, endpoint) = self.cell(slot);
        cell.count(END, endpoint, now, self.nanos);
    }

    /// How many more requests are in flight to the instance in `slot` than its shared counters say, as far as this
    /// handle knows.
    #[inline]
    pub(super) fn held_back(&self, slot: u32) -> i64 {
        let (cell, _) = self.cell(slot);
        Pending(cell.pending.load(Ordering::Relaxed)).in_flight()
    }

    /// Tells all that is held back.
    pub(super) fn settle(&self) {
        self.cells.iter().for_each(|cells| cells.settle());
    }

    #[inline]
    fn cell(&self, slot: u32) -> (&Cell, &Endpoint) {
        let cells = &self.cells[slot as usize / BLOCK];
        let place = slot as usize % BLOCK;
        (&cells.cells[place], cells.block.endpoint(place))
    }
}

/// The cells for one block of endpoints. What is left in them is told when nobody can count in them any more.
#[derive(Debug)]
#[repr(align(128))]
struct Cells {
    cells: [Cell; BLOCK],
    block: Arc<Block>,
}

impl Cells {
    fn of(block: &Arc<Block>) -> Self {
        Self { cells: core::array::from_fn(|_| Cell::default()), block: Arc::clone(block) }
    }

    fn settle(&self) {
        for (place, cell) in self.cells.iter().enumerate() {
            if cell.pending.load(Ordering::Relaxed) != 0 {
                cell.tell(self.block.endpoint(place));
            }
        }
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        self.settle();
    }
}

#[derive(Debug, Default)]
struct Cell {
    /// See [`Pending`].
    pending: AtomicU64,
    /// When it was told last.
    told: AtomicU64,
}

impl Cell {
    #[inline]
    fn count(&self, one: u64, endpoint: &Endpoint, now: Option<Instant>, window: u64) {
        let pending = Pending(self.pending.fetch_add(one, Ordering::Relaxed).wrapping_add(one));
        let is_due = now.is_some_and(|now| now.as_nanos() >= self.told.load(Ordering::Relaxed).saturating_add(window));
        if is_due || pending.is_much() {
            if let Some(now) = now {
                self.told.store(now.as_nanos(), Ordering::Relaxed);
            }
            self.tell(endpoint);
        }
    }

    /// Hands what is pending over, from whichever thread: it is taken once.
    fn tell(&self, endpoint: &Endpoint) {
        // Acquires the picks that the ends taken with it belong to, where another thread has told those.
        let Pending(pending) = Pending(self.pending.swap(0, Ordering::AcqRel));
        endpoint.add(pending >> END_BITS, pending & ENDS);
    }
}

/// Picks in the upper half, ends in the lower.
#[derive(Clone, Copy, Debug)]
struct Pending(u64);

impl Pending {
    #[inline]
    const fn in_flight(self) -> i64 {
        (self.0 >> END_BITS) as i64 - (self.0 & ENDS) as i64
    }

    /// Whether it is too much to be held back for the rest of the window. Neither half comes near its end.
    #[inline]
    const fn is_much(self) -> bool {
        self.in_flight().unsigned_abs() > HELD_BACK || self.0 & ENDS > ENDS / 2
    }
}

const END_BITS: u32 = 32;
const ENDS: u64 = u32::MAX as u64;
const END: u64 = 1;
const PICK: u64 = 1 << END_BITS;

/// How many requests in flight to one instance a handle may hold back, or their ends.
const HELD_BACK: u64 = 3;
