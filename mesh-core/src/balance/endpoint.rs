//! One instance as the balancer counts it: its requests in flight, its run of failures, its held failures, its latency.
//!
//! An endpoint is shared by every view that names it and by every lease on it. It decides nothing; pickers
//! read it and leases write it.

use core::any::Any;
use core::time::Duration;
use std::sync::OnceLock;

use super::hold::HoldRing;
use super::outcome::Outcome;
use super::policy::UNMEASURED;
use super::probation::Ticket;
use super::runs::{Runs, WakeRules};
use super::slab::filled;
use super::tally::{Tally, TallyCell};
use super::tried::EndpointId;
use crate::service::InstanceKey;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::Instant;

/// The counters of one instance, from the day it joined to the day it left.
///
/// They survive every change of weight, metadata and membership, and are never handed on to another instance.
///
/// One cache line holds all that picks read and leases write, and nothing of another endpoint: a large fleet takes
/// half the cache that a pair of lines for each would.
#[derive(Debug)]
#[repr(align(64))]
pub struct Endpoint {
    id: EndpointId,
    held_until: AtomicU64,
    picked: AtomicU64,
    ended: AtomicU64,
    latency: AtomicU64,
    /// See [`Runs`].
    runs: AtomicU32,
    /// Filled when it is given to an instance.
    rest: OnceLock<Box<Rest>>,
}

#[cfg(not(mesh_loom))]
const _: () = assert!(size_of::<Endpoint>() == 64, "one cache line");

/// What is seldom looked at.
#[derive(Debug)]
struct Rest {
    key: InstanceKey,
    hold: OnceLock<Box<HoldRing>>,
    companion: OnceLock<Box<dyn Any + Send + Sync>>,
    tally: TallyCell,
    ticket: Ticket,
}

impl Endpoint {
    /// One that no instance has yet, and that no view names.
    pub(super) fn vacant(id: EndpointId) -> Self {
        Self {
            id,
            held_until: AtomicU64::new(0),
            picked: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            latency: AtomicU64::new(UNMEASURED),
            runs: AtomicU32::new(0),
            rest: OnceLock::new(),
        }
    }

    /// Gives it to the instance `key`, for good.
    pub(super) fn occupy(&self, key: InstanceKey) {
        let rest = Rest {
            key,
            hold: OnceLock::new(),
            companion: OnceLock::new(),
            tally: TallyCell::new(),
            ticket: Ticket::new(),
        };
        let _ = self.rest.set(Box::new(rest));
    }

    /// Its number, never given twice by one builder of views.
    #[must_use]
    #[inline]
    pub const fn id(&self) -> EndpointId {
        self.id
    }

    /// The identity of its instance in the registry.
    #[must_use]
    pub fn key(&self) -> &InstanceKey {
        &filled(&self.rest).key
    }

    /// Requests picked for it and not yet finished: exact over all threads, but for what handles with a window hold
    /// back (see [`Balancer::with_window`](super::Balancer::with_window)).
    #[must_use]
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight_and(0)
    }

    /// As [`Endpoint::in_flight`], for a handle that holds back `more`.
    #[inline]
    pub(super) fn in_flight_and(&self, more: i64) -> u32 {
        // A lease takes more memory than there is for 2^32 of them.
        (self.difference() + more).max(0) as u32
    }

    /// Picks less ends. Both are counted with release, so that whoever sees a pick sees the ends before it, and whoever
    /// sees an end sees its pick. Ends are read first: what ended was picked before, so it is negative only while a
    /// handle with a window is telling a pick whose end another thread has told.
    #[inline]
    fn difference(&self) -> i64 {
        let ended = self.ended.load(Ordering::Acquire);
        let picked = self.picked.load(Ordering::Acquire);
        // A reader that is held up between the two would see all that began meanwhile and none of what ended.
        if self.ended.load(Ordering::Relaxed) == ended { picked.wrapping_sub(ended) as i64 } else { self.settled() }
    }

    /// As `difference`, while others write: of some moment, or of as short a while as a few attempts find.
    #[cold]
    #[inline(never)]
    fn settled(&self) -> i64 {
        let mut least = i64::MAX;
        for _ in 0..READS_MAX {
            let ended = self.ended.load(Ordering::Acquire);
            let picked = self.picked.load(Ordering::Acquire);
            let difference = picked.wrapping_sub(ended) as i64;
            if self.ended.load(Ordering::Relaxed) == ended {
                return difference;
            }
            least = least.min(difference);
        }
        least
    }

    /// Requests picked for it since it joined.
    #[must_use]
    pub fn picks(&self) -> u64 {
        self.picked.load(Ordering::Relaxed)
    }

    /// Failures since its last success; of more than [`WakeRules::RUN_MAX`] just that many.
    #[must_use]
    #[inline]
    pub fn failures_in_row(&self) -> u32 {
        self.runs().failures
    }

    /// Failures since its last success, by kind.
    #[must_use]
    #[inline]
    pub fn runs(&self) -> Runs {
        Runs::unpack(self.runs.load(Ordering::Relaxed))
    }

    /// How attempts on it ended since it joined, while views ask for it ([`WakeRules::tally`]).
    #[must_use]
    pub fn tally(&self) -> Tally {
        filled(&self.rest).tally.read()
    }

    /// What the driver keeps beside the counters, as a breaker of the instance's own: made when it is asked for first, and
    /// freed with the endpoint. There is one; who asks for another type than the first did gets none.
    pub fn companion<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        filled(&self.rest).companion.get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// As [`Endpoint::companion`], where it was made already.
    #[must_use]
    pub fn companion_if_made<T: Any + Send + Sync>(&self) -> Option<&T> {
        filled(&self.rest).companion.get()?.downcast_ref()
    }

    /// The ticket for the one request at a time that it gets on probation.
    pub(crate) fn ticket(&self) -> &Ticket {
        &filled(&self.rest).ticket
    }

    /// Ended failures that still count as load at `now`. See [`Endpoint::hold`].
    #[must_use]
    #[inline]
    pub fn held(&self, now: Instant) -> u32 {
        if now.as_nanos() >= self.held_until.load(Ordering::Relaxed) {
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
        let until = filled(&self.rest).hold.get_or_init(|| Box::new(HoldRing::new(hold))).add(now, hold);
        self.held_until.fetch_max(until.as_nanos(), Ordering::Relaxed);
    }

    /// The latency as the policy that measures it has packed it.
    #[inline]
    pub(super) fn latency_word(&self) -> u64 {
        self.latency.load(Ordering::Relaxed)
    }

    /// The cell of the packed latency, for the policy that measures it.
    #[inline]
    pub(super) const fn latency_cell(&self) -> &AtomicU64 {
        &self.latency
    }

    #[cold]
    fn count_held(&self, now: Instant) -> u32 {
        filled(&self.rest).hold.get().map_or(0, |ring| ring.count(now))
    }

    /// Forgets the failures that are held, the run they are part of, and the latency with the penalties in it: the instance
    /// starts anew, because checks or a trial found it well again, or because its ejection is over.
    pub(crate) fn forgive(&self) {
        self.runs.store(0, Ordering::Relaxed);
        self.held_until.store(0, Ordering::Relaxed);
        self.latency.store(UNMEASURED, Ordering::Relaxed);
        if let Some(ring) = filled(&self.rest).hold.get() {
            ring.clear();
        }
    }

    #[inline]
    pub(crate) fn start(&self) {
        self.picked.fetch_add(1, Ordering::Release);
    }

    #[inline]
    pub(crate) fn stop(&self) {
        self.ended.fetch_add(1, Ordering::Release);
    }

    /// Counts what a handle has held back.
    pub(super) fn add(&self, picked: u64, ended: u64) {
        if picked > 0 {
            self.picked.fetch_add(picked, Ordering::Release);
        }
        if ended > 0 {
            self.ended.fetch_add(ended, Ordering::Release);
        }
    }

    /// Ends the runs of failures.
    #[inline]
    pub(crate) fn succeed(&self) {
        if self.runs.load(Ordering::Relaxed) != 0 {
            self.runs.store(0, Ordering::Relaxed);
        }
    }

    /// Takes note of how an attempt ended that took `latency`; returns whether the owner wants to know.
    #[inline]
    pub(crate) fn learn(&self, outcome: Outcome, latency: Duration, rules: &WakeRules) -> bool {
        if rules.tally {
            filled(&self.rest).tally.count(outcome, latency);
        }
        match outcome {
            Outcome::Success => {
                self.succeed();
                false
            }
            Outcome::Cancelled => false,
            Outcome::Failure | Outcome::Overloaded { .. } | Outcome::TimedOut | Outcome::Unreachable => {
                self.fail(outcome, rules)
            }
        }
    }

    fn fail(&self, outcome: Outcome, rules: &WakeRules) -> bool {
        let after = |word| Some(Runs::after(word, outcome, rules));
        // The closure always answers with a word, so the update cannot fail.
        let before = self.runs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).unwrap_or_else(|word| word);
        Runs::unpack(Runs::after(before, outcome, rules)).wake(Runs::unpack(before), rules)
    }
}

/// How often the counts are read while they change.
const READS_MAX: usize = 4;
