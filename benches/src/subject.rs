//! What is measured: something that starts requests and ends them, one after the other or with several in flight.

use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Something that starts requests and ends them.
pub trait Subject {
    /// A request on its way.
    type Lease;

    /// Starts a request.
    fn start(&mut self) -> Self::Lease;

    /// Ends a request.
    fn end(&mut self, lease: Self::Lease);
}

/// A worker for whom every request ends before the next begins.
pub fn in_turn<S: Subject>(mut subject: S) -> impl FnMut(u64) {
    move |ops| {
        for _ in 0..ops {
            let lease = subject.start();
            black_box(&lease);
            subject.end(lease);
        }
    }
}

/// A worker that keeps [`IN_FLIGHT`] requests in flight: every request ends when that many others have begun.
pub fn in_flight<S: Subject>(subject: S) -> impl FnMut(u64) {
    let mut flight = Flight { subject, leases: std::array::from_fn(|_| None), oldest: 0 };
    move |ops| (0..ops).for_each(|_| flight.turn())
}

/// What picks through `&mut self`, as a thread comes by it: its own already, or locked for every pick.
pub trait Lend {
    /// What is lent.
    type Lent;

    /// Does something with it.
    fn lend<T>(&mut self, with: impl FnOnce(&mut Self::Lent) -> T) -> T;
}

/// A thread that keeps the lock pays nothing for it.
impl<P> Lend for MutexGuard<'_, P> {
    type Lent = P;

    #[inline]
    fn lend<T>(&mut self, with: impl FnOnce(&mut P) -> T) -> T {
        with(&mut *self)
    }
}

impl<P> Lend for &Mutex<P> {
    type Lent = P;

    #[inline]
    fn lend<T>(&mut self, with: impl FnOnce(&mut P) -> T) -> T {
        with(&mut *self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How many requests [`in_flight`] keeps.
pub const IN_FLIGHT: usize = 16;

struct Flight<S: Subject> {
    subject: S,
    leases: [Option<S::Lease>; IN_FLIGHT],
    oldest: usize,
}

impl<S: Subject> Flight<S> {
    #[inline]
    fn turn(&mut self) {
        let lease = self.subject.start();
        black_box(&lease);
        if let Some(ended) = self.leases[self.oldest].replace(lease) {
            self.subject.end(ended);
        }
        self.oldest = (self.oldest + 1) % IN_FLIGHT;
    }
}

/// Counters that several workers share must not keep what a worker left behind.
impl<S: Subject> Drop for Flight<S> {
    fn drop(&mut self) {
        for lease in self.leases.iter_mut().filter_map(Option::take) {
            self.subject.end(lease);
        }
    }
}
