//! One pick as a policy sees it: the candidates, what the call excludes, and the randomness it may use.

use crate::balance::context::PickContext;
use crate::balance::explain::{Notes, Reason};
use crate::balance::view::Lineup;
use crate::rng::Draws;
use crate::route::Selector;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

/// One pick, as the picker sees it.
#[derive(Debug)]
pub struct Draw<'a> {
    pub(in crate::balance) lineup: Lineup<'a>,
    pub(in crate::balance) now: Instant,
    pub(in crate::balance) context: &'a PickContext<'a>,
    pub(in crate::balance) selector: Option<&'a Selector>,
    pub(in crate::balance) draws: Draws,
    pub(in crate::balance) cursor: &'a mut Cursor,
    /// Whether there was anything to compare.
    pub(in crate::balance) informed: bool,
    /// What is noted for whoever asked why.
    pub(in crate::balance) notes: Option<&'a mut Notes>,
}

impl<'a> Draw<'a> {
    /// The candidates.
    #[must_use]
    pub const fn lineup(&self) -> Lineup<'a> {
        self.lineup
    }

    /// When the pick is made.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// What the caller says of the request.
    #[must_use]
    pub const fn context(&self) -> &'a PickContext<'a> {
        self.context
    }

    /// The next 64 random bits.
    pub fn random(&mut self) -> u64 {
        self.draws.next_u64()
    }

    /// A random position below `len`, or 0 when `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.draws.index(len)
    }

    /// Whether every candidate is admitted, so that nothing need be asked.
    #[must_use]
    pub const fn admits_all(&self) -> bool {
        self.context.keeps_nobody_out() && self.selector.is_none()
    }

    /// Whether the candidate at `position` may be picked: not tried already, not barred, and matching the selector.
    #[must_use]
    pub fn admits(&self, position: usize) -> bool {
        !self.context.keeps_out(self.now, self.lineup.endpoint(position)) && self.matches(position)
    }

    /// The first admitted candidate from a random place on: what policies fall back on when their own draws
    /// hit excluded candidates. O(n).
    pub fn scan(&mut self) -> Option<usize> {
        self.because(Reason::FirstAdmitted);
        let len = self.lineup.len();
        let start = self.index(len);
        (start..len).chain(0..start).find(|&at| self.admits(at))
    }

    /// Notes what decided, where the caller asked for reasons; what is noted last counts.
    #[inline]
    pub fn because(&mut self, reason: Reason) {
        if let Some(notes) = &mut self.notes {
            notes.reason = reason;
        }
    }

    /// Notes that the candidate at `position` is compared by the score that `score` works out, where the caller asked
    /// for reasons.
    #[inline]
    pub fn consider(&mut self, position: usize, score: impl FnOnce() -> f64) {
        if let Some(notes) = &mut self.notes {
            notes.considered.push((position, score()));
        }
    }

    /// Counts the pick as one for which there was nothing to compare, as between two idle candidates.
    #[inline]
    pub const fn uninformed(&mut self) {
        self.informed = false;
    }

    /// The next number of a rotation that all handles share, taken in blocks so that the shared counter is
    /// not written at every pick. One handle alone counts 0, 1, 2 and so on. The block belongs to the route: a
    /// policy uses one counter only.
    pub fn ticket(&mut self, shared: &AtomicU64) -> u64 {
        self.cursor.next(shared)
    }

    pub(in crate::balance) fn matches(&self, position: usize) -> bool {
        self.selector.is_none_or(|selector| selector.matches(self.lineup.instance(position)))
    }
}

/// A handle's block of tickets in the rotation of one part of its view.
///
/// A handle that goes, or picks no more, takes the rest of its block with it, which nobody has then. Blocks are
/// therefore an eighth of what the handle has taken at most, and one ticket at first: handles that are made for a few
/// picks take every turn there is.
#[derive(Clone, Debug, Default)]
pub(in crate::balance) struct Cursor {
    next: u64,
    end: u64,
    taken: u64,
}

impl Cursor {
    /// The next ticket.
    pub(in crate::balance) fn next(&mut self, shared: &AtomicU64) -> u64 {
        if self.next == self.end {
            let block = (self.taken / BLOCK_SHARE).clamp(1, BLOCK_MAX);
            self.next = shared.fetch_add(block, Ordering::Relaxed);
            self.end = self.next.wrapping_add(block);
        }
        let ticket = self.next;
        self.next = self.next.wrapping_add(1);
        self.taken = self.taken.wrapping_add(1);
        ticket
    }
}

const BLOCK_MAX: u64 = 32;
const BLOCK_SHARE: u64 = 8;
