//! How a limit follows what is observed. Decides the limit; never whether a request is let in.

mod aimd;
mod gradient;
mod gradient2;
mod vegas;

use core::fmt::Debug;
use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::time::Instant;

use crate::sync::{AtomicU64, Ordering};

pub use aimd::{Aimd, AimdConfig};
pub use gradient::{Gradient, GradientConfig};
pub use gradient2::{Gradient2, Gradient2Config};
pub use vegas::{Vegas, VegasConfig};

/// An algorithm that sets a limit, shared by all threads.
///
/// It is asked by one thread at a time, which sees all that the thread before has written: values of its own may be
/// atomics that are read and written with relaxed ordering. It must not wait for anything, and needs no lock.
pub trait Algorithm: Debug + Send + Sync {
    /// The limit to begin with.
    fn first(&self) -> Step;

    /// The limit after a window of samples that ended at `now`.
    fn next(&self, now: Instant, sample: &Sample) -> Step;
}

/// What the requests of one window have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Their round trip: the mean or a quantile, as the window is configured. 64 ns at least, 275 s at most.
    pub rtt: Duration,
    /// How many they were.
    pub count: u32,
    /// The most that were in flight when one of them was let in, itself included.
    pub in_flight: u32,
    /// Whether any was dropped.
    pub dropped: bool,
}

/// What an algorithm wants from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub(super) limit: u32,
    pub(super) afresh: Option<NonZeroU32>,
}

impl Step {
    /// A limit of `limit` (1 to 16,777,215), until a window has passed.
    #[must_use]
    pub const fn to(limit: u32) -> Self {
        Self { limit, afresh: None }
    }

    /// A limit of `limit` until that many requests have ended which were let in under it. Those in flight by now do not
    /// count.
    #[must_use]
    pub const fn afresh(limit: u32, samples: NonZeroU32) -> Self {
        Self { limit, afresh: Some(samples) }
    }

    /// The limit.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// How many requests it wants to see, let in from now on, whenever those have ended; none for a usual window.
    #[must_use]
    pub const fn samples_wanted(&self) -> Option<NonZeroU32> {
        self.afresh
    }
}

/// A float in an atomic, for whoever is asked.
#[derive(Debug)]
struct Float(AtomicU64);

impl Float {
    fn new(value: f64) -> Self {
        Self(AtomicU64::new(value.to_bits()))
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

/// A round trip in nanoseconds, more than zero.
fn nanos(rtt: Duration) -> f64 {
    (rtt.as_nanos() as f64).max(1.0)
}

/// A number of thousandths as a fraction.
fn fraction(milli: u32) -> f64 {
    f64::from(milli) / 1_000.0
}
