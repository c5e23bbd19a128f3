//! The least code that could do the same as a policy, on counters of 128 bytes.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use mesh_core::rng::scale;

use crate::subject::Subject;
use crate::timing::WyRand;

/// The requests in flight of each of a number of instances.
#[derive(Debug)]
pub struct Counters {
    counters: Box<[Padded]>,
    turn: AtomicU64,
}

/// A counter alone on its pair of cache lines, which the processor fetches together.
#[derive(Debug)]
#[repr(align(128))]
struct Padded(AtomicU32);

impl Counters {
    /// Those of `size` instances, which must be more than one.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { counters: (0..size).map(|_| Padded(AtomicU32::new(0))).collect(), turn: AtomicU64::new(0) }
    }

    /// The least that two choices can do: two loads, a comparison, one count up and one down.
    #[must_use]
    pub const fn two_choices(&self, thread: u64) -> TwoChoices<'_> {
        TwoChoices { counters: &self.counters, rng: WyRand::new(thread) }
    }

    /// The least that a rotation with counted requests can do: a cursor of the thread's own, one count up, one down.
    #[must_use]
    pub fn rotation(&self) -> Rotation<'_> {
        // Threads begin apart, as handles do that take their tickets from one counter.
        let start = self.turn.fetch_add(scale(u64::MAX / 3, self.counters.len() as u64), Ordering::Relaxed);
        Rotation { counters: &self.counters, cursor: start as usize % self.counters.len() }
    }

    /// The least that a rotation through one cursor for all threads can do.
    #[must_use]
    pub const fn shared_rotation(&self) -> SharedRotation<'_> {
        SharedRotation { counters: &self.counters, cursor: &self.turn }
    }

    /// The least that a counted request costs whoever chose: any instance, one count up and one down.
    #[must_use]
    pub const fn lease(&self, thread: u64) -> Lease<'_> {
        Lease { counters: &self.counters, rng: WyRand::new(thread) }
    }
}

/// See [`Counters::two_choices`].
#[derive(Debug)]
pub struct TwoChoices<'a> {
    counters: &'a [Padded],
    rng: WyRand,
}

impl<'a> Subject for TwoChoices<'a> {
    type Lease = &'a AtomicU32;

    #[inline]
    fn start(&mut self) -> &'a AtomicU32 {
        let bits = self.rng.next_u64();
        let len = self.counters.len() as u64;
        let first = (((bits >> 32) * len) >> 32) as usize;
        let second = (((bits & u64::from(u32::MAX)) * (len - 1)) >> 32) as usize;
        let second = second + usize::from(second >= first);
        let (first, second) = (&self.counters[first].0, &self.counters[second].0);
        let less = second.load(Ordering::Relaxed) < first.load(Ordering::Relaxed);
        count_up(if less { second } else { first })
    }

    #[inline]
    fn end(&mut self, lease: &'a AtomicU32) {
        count_down(lease);
    }
}

/// See [`Counters::rotation`].
#[derive(Debug)]
pub struct Rotation<'a> {
    counters: &'a [Padded],
    cursor: usize,
}

impl<'a> Subject for Rotation<'a> {
    type Lease = &'a AtomicU32;

    #[inline]
    fn start(&mut self) -> &'a AtomicU32 {
        self.cursor = if self.cursor + 1 < self.counters.len() { self.cursor + 1 } else { 0 };
        count_up(&self.counters[self.cursor].0)
    }

    #[inline]
    fn end(&mut self, lease: &'a AtomicU32) {
        count_down(lease);
    }
}

/// See [`Counters::shared_rotation`].
#[derive(Debug)]
pub struct SharedRotation<'a> {
    counters: &'a [Padded],
    cursor: &'a AtomicU64,
}

impl<'a> Subject for SharedRotation<'a> {
    type Lease = &'a AtomicU32;

    #[inline]
    fn start(&mut self) -> &'a AtomicU32 {
        let turn = self.cursor.fetch_add(1, Ordering::Relaxed) % self.counters.len() as u64;
        count_up(&self.counters[turn as usize].0)
    }

    #[inline]
    fn end(&mut self, lease: &'a AtomicU32) {
        count_down(lease);
    }
}

/// See [`Counters::lease`].
#[derive(Debug)]
pub struct Lease<'a> {
    counters: &'a [Padded],
    rng: WyRand,
}

impl<'a> Subject for Lease<'a> {
    type Lease = &'a AtomicU32;

    #[inline]
    fn start(&mut self) -> &'a AtomicU32 {
        let any = scale(self.rng.next_u64(), self.counters.len() as u64);
        count_up(&self.counters[any as usize].0)
    }

    #[inline]
    fn end(&mut self, lease: &'a AtomicU32) {
        count_down(lease);
    }
}

#[inline]
fn count_up(counter: &AtomicU32) -> &AtomicU32 {
    counter.fetch_add(1, Ordering::Relaxed);
    counter
}

#[inline]
fn count_down(counter: &AtomicU32) {
    counter.fetch_sub(1, Ordering::Relaxed);
}
