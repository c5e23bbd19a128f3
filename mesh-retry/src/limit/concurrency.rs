//! Decides whether one more request may be in flight, and follows what those in flight show. Never makes anyone wait.

use core::time::Duration;

use mesh_core::time::Instant;
use thiserror::Error;

use super::algorithm::{Algorithm, Step};
use super::claim::Claim;
use super::config::{LimitConfig, SampleWindow};
use super::due::Due;
use super::occupancy::{Occupancy, Seen};
use super::samples::Samples;
use crate::sync::{AtomicU32, Ordering};

/// A limit on the requests in flight, shared by all calls to a service.
///
/// See [the module](super) for what it costs and how threads share it.
#[derive(Debug)]
#[repr(C, align(128))] // What each request writes stands together.
pub struct ConcurrencyLimit {
    occupancy: Occupancy,
    /// None where the limit stays.
    following: Option<Following>,
}

/// That one request is in flight. It is to be given back to the limit that gave it, once, when the request has ended or
/// was given up: one that is lost counts as in flight for ever.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is lost counts as in flight for ever"]
pub struct Permit {
    generation: u16,
    in_flight: u32,
}

impl Permit {
    /// The permit as a number, for whoever keeps those of several gates alike.
    pub(crate) const fn into_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.in_flight as u64
    }

    /// The permit that [`Permit::into_bits`] has told.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { generation: (bits >> 32) as u16, in_flight: bits as u32 }
    }
}

/// How a request ended, as far as a limit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered, whatever the answer: its round trip says how busy the callee is.
    Success,
    /// The callee had too much to do: it refused, or did not answer in time.
    Dropped,
    /// It says nothing of the callee: the caller gave it up, or it failed before it was sent.
    Ignored,
}

/// That no more requests may be in flight. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Limited {
    /// As many are in flight as may be, or more, where the limit has fallen.
    #[error("{in_flight} requests are in flight and {limit} may be")]
    AtLimit {
        /// How many may be.
        limit: u32,
        /// How many are.
        in_flight: u32,
        /// When enough of them are likely to have ended, if those in flight end evenly within one round trip of the last
        /// window; none before the first.
        retry_at: Option<Instant>,
    },
}

#[derive(Debug)]
#[repr(C)]
struct Following {
    samples: Samples,
    /// The end of the window, and how many samples it has to have.
    ends: Due,
    samples_min: AtomicU32,
    claim: Claim,
    algorithm: Box<dyn Algorithm>,
    window: SampleWindow,
}

impl ConcurrencyLimit {
    /// The limit that `config` describes. `entropy` has to differ from client to client: those that measure at low load
    /// would all do it at once.
    ///
    /// A configuration that breaks its rules is followed as far as it goes: see [`LimitConfig::validate`].
    #[must_use]
    pub fn new(config: &LimitConfig, entropy: u64) -> Self {
        match config.algorithm.build(entropy) {
            Ok(algorithm) => Self::with_algorithm(algorithm, config.window),
            Err(limit) => Self { occupancy: Occupancy::new(limit.get()), following: None },
        }
    }

    /// A limit that is set by an algorithm of your own.
    #[must_use]
    pub fn with_algorithm(algorithm: Box<dyn Algorithm>, window: SampleWindow) -> Self {
        let first = algorithm.first();
        let following = Following {
            algorithm,
            window,
            samples: Samples::new(window.aggregate),
            ends: Due::at_once(),
            samples_min: AtomicU32::new(first.afresh.unwrap_or(window.samples_min).get()),
            claim: Claim::new(),
        };
        Self { occupancy: Occupancy::new(first.limit), following: Some(following) }
    }

    /// Lets one more request in flight.
    ///
    /// # Errors
    /// As many are in flight as may be. Nothing was changed.
    pub fn acquire(&self, now: Instant) -> Result<Permit, Limited> {
        match self.occupancy.enter() {
            Ok(seen) => Ok(Permit { generation: seen.generation(), in_flight: seen.in_flight() }),
            Err(seen) => Err(self.limited(now, seen)),
        }
    }

    /// Takes a request out of flight that ended at `now`, `rtt` after it was sent. Of one that is ignored, `rtt` is too.
    pub fn release(&self, now: Instant, permit: Permit, end: End, rtt: Duration) {
        let seen = self.occupancy.leave();
        // A thread that is stopped right here may add its sample to the first window of the next generation, which
        // fifty others outvote.
        let Some(following) = &self.following else { return };
        if permit.generation != seen.generation() {
            return;
        }
        match end {
            End::Success => following.samples.add(rtt, permit.in_flight, false),
            End::Dropped => following.samples.add(rtt, permit.in_flight, true),
            End::Ignored => return,
        }
        following.settle(now, &self.occupancy);
    }

    /// How many requests may be in flight.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.occupancy.read().limit()
    }

    /// How many requests are in flight: more than may be, where the limit has fallen.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.occupancy.read().in_flight()
    }

    #[cold]
    fn limited(&self, now: Instant, seen: Seen) -> Limited {
        let (limit, in_flight) = (seen.limit(), seen.in_flight());
        let last = self.following.as_ref().and_then(|following| following.samples.last());
        // So many have to end before there is room.
        let surplus = in_flight.saturating_sub(limit).saturating_add(1);
        let wait = last.map(|rtt| rtt.saturating_mul(surplus) / in_flight.max(1));
        Limited::AtLimit { limit, in_flight, retry_at: wait.map(|wait| now.after(wait)) }
    }
}

impl Limited {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::AtLimit { .. } => "concurrency-limit",
        }
    }

    /// When asking again may help, if that is known.
    #[must_use]
    pub const fn retry_at(&self) -> Option<Instant> {
        match self {
            Self::AtLimit { retry_at, .. } => *retry_at,
        }
    }
}

impl Following {
    /// Asks the algorithm, if the window has ended and no other thread is about to.
    fn settle(&self, now: Instant, occupancy: &Occupancy) {
        if !self.is_over(now) {
            return;
        }
        let Some(_claimed) = self.claim.try_take() else { return };
        // Whoever had the claim before may have ended this very window.
        if !self.is_over(now) {
            return;
        }
        let Some(sample) = self.samples.take() else { return };
        let step = self.algorithm.next(now, &sample);
        self.begin(now, step, occupancy);
    }

    fn is_over(&self, now: Instant) -> bool {
        let (samples, is_full) = self.samples.count();
        is_full || (samples >= self.samples_min.load(Ordering::Relaxed) && self.ends.has_come(now))
    }

    /// Begins the next window. To be called by the holder of the claim.
    fn begin(&self, now: Instant, step: Step, occupancy: &Occupancy) {
        match step.afresh {
            None => {
                self.samples_min.store(self.window.samples_min.get(), Ordering::Relaxed);
                self.ends.set(now, self.window.length);
                occupancy.set(step.limit);
            }
            Some(samples) => {
                self.samples_min.store(samples.get(), Ordering::Relaxed);
                self.ends.set(now, Duration::ZERO);
                occupancy.set_afresh(step.limit);
            }
        }
    }
}
