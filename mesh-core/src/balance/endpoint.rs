//! One instance as the balancer counts it: its requests in flight, its run of failures, its held failures.
//!
//! An endpoint is shared by every view that names it and by every lease on it. It decides nothing; pickers
//! read it and leases write it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::OnceLock;

use super::hold::HoldRing;
use super::outcome::Outcome;
use super::tried::EndpointId;
use crate::service::InstanceKey;
use crate::time::Instant;

/// The counters of one instance, from the day it joined to the day it left.
///
/// They survive every change of weight, metadata and membership, and are never handed on to another instance.
#[derive(Debug)]
pub struct Endpoint {
    counters: Counters,
    key: InstanceKey,
    hold: OnceLock<Box<HoldRing>>,
}

/// What every pick reads and every lease writes, alone on its cache lines: two endpoints that shared one
/// would slow each other down (adjacent-line prefetch makes it two lines of 64 bytes).
#[derive(Debug)]
#[repr(align(128))]
struct Counters {
    id: EndpointId,
    held_until: AtomicU64,
    in_flight: AtomicU32,
    failures_in_row: AtomicU32,
}

impl Endpoint {
    pub(crate) fn new(id: EndpointId, key: InstanceKey) -> Arc<Self> {
        let counters = Counters {
            id,
            held_until: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            failures_in_row: AtomicU32::new(0),
        };
        Arc::new(Self { counters, key, hold: OnceLock::new() })
    }

    /// Its number, never given twice by one builder of views.
    #[must_use]
    #[inline]
    pub const fn id(&self) -> EndpointId {
        self.counters.id
    }

    /// The identity of its instance in the registry.
    #[must_use]
    pub const fn key(&self) -> &InstanceKey {
        &self.key
    }

    /// Requests picked for it and not yet finished, exact over all threads.
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.counters.in_flight.load(Ordering::Relaxed)
    }

    /// Failures since its last success.
    #[must_use]
    #[inline]
    pub fn failures_in_row(&self) -> u32 {
        self.counters.failures_in_row.load(Ordering::Relaxed)
    }

    /// Ended failures that still count as load at `now`. See [`Endpoint::hold`].
    #[must_use]
    #[inline]
    pub fn held(&self, now: Instant) -> u32 {
        if now.as_nanos() >= self.counters.held_until.load(Ordering::Relaxed) {
            return 0;
        }
        self.count_held(now)
    }

    /// The load that in-flight-based policies compare: requests in flight plus held failures.
    #[must_use]
    #[inline]
    pub fn load(&self, now: Instant) -> u64 {
        u64::from(self.in_flight()) + u64::from(self.held(now))
    }

    /// Keeps a failure that ended at `now` counted as load for `hold`, so that an instance which fails fast
    /// does not look idle and attract more.
    ///
    /// It counts for at least `hold` and at most 1/16 longer. Zero holds nothing.
    pub fn hold(&self, now: Instant, hold: Duration) {
        if hold.is_zero() {
            return;
        }
        let until = self.hold.get_or_init(|| Box::new(HoldRing::new(hold))).add(now, hold);
        self.counters.held_until.fetch_max(until.as_nanos(), Ordering::Relaxed);
    }

    #[cold]
    fn count_held(&self, now: Instant) -> u32 {
        self.hold.get().map_or(0, |ring| ring.count(now))
    }

    /// Forgets the failures that are held and the run they are part of: checks have found the instance well
    /// again, which is newer evidence.
    pub(crate) fn forgive(&self) {
        self.counters.failures_in_row.store(0, Ordering::Relaxed);
        self.counters.held_until.store(0, Ordering::Relaxed);
        if let Some(ring) = self.hold.get() {
            ring.clear();
        }
    }

    #[inline]
    pub(crate) fn start(&self) {
        self.counters.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn stop(&self) {
        self.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes note of how an attempt ended and returns the length of the run of failures it is part of.
    #[inline]
    pub(crate) fn learn(&self, outcome: Outcome) -> u32 {
        match outcome {
            Outcome::Success => {
                if self.failures_in_row() != 0 {
                    self.counters.failures_in_row.store(0, Ordering::Relaxed);
                }
                0
            }
            Outcome::Failure | Outcome::TimedOut => {
                self.counters.failures_in_row.fetch_add(1, Ordering::Relaxed).saturating_add(1)
            }
            Outcome::Overloaded { .. } | Outcome::Cancelled => 0,
        }
    }
}
