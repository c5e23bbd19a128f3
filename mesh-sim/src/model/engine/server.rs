//! One server: who waits, who is worked on, and what has been counted of it.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use mesh_core::time::{Instant, saturating_nanos};

use super::AttemptKey;
use super::condition::Condition;
use super::law::Law;
use super::queue::Queue;
use crate::model::scenario::{Discipline, ServerGroup};

/// What the servers of one group have in common.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) law: Law,
    pub(super) speed: f64,
    pub(super) per_concurrent: f64,
    /// Whether a service time is just what its law gives.
    pub(super) is_plain: bool,
    pub(super) discipline: Discipline,
    pub(super) workers: u32,
    pub(super) limit: u32,
}

/// A server: one cache line of what every request looks at.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Server {
    pub(super) group: u16,
    /// Whether something is wrong with it.
    pub(super) ill: bool,
    /// Whether it has ever been paused.
    pub(super) was_paused: bool,
    /// Requests in it: waiting, worked on or swallowed, abandoned ones included.
    pub(super) inside: u32,
    pub(super) inside_max: u32,
    /// Requests that are worked on.
    pub(super) working: u32,
    /// Requests that wait (fifo).
    pub(super) queue: Queue,
    /// Attempts of measured requests that were sent to it.
    pub(super) attempts: u64,
    /// Busy worker time within the measured time.
    pub(super) busy_nanos: u64,
    pub(super) rest: Box<Rest>,
}

/// What is seldom looked at.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) condition: Condition,
    pub(super) sharing: Sharing,
    /// Nanoseconds that it has been paused for, those of a pause under way included.
    pub(super) paused_nanos: u64,
    pub(super) paused_until: Instant,
    /// How often it has begun or ended to hang, and how many requests it has swallowed since.
    pub(super) hangs: u64,
    pub(super) swallowed: u32,
}

/// Requests that share a server, by the work that each has to be given.
///
/// `given` is what every request in service has been given since the start, in nanoseconds with 32 binary places:
/// it grows at the rate 1 / n while n are in service, so that a request is done when it reaches the mark that was set
/// at its arrival (Kleinrock, "Time-shared systems", 1967).
#[derive(Debug, Default)]
pub(super) struct Sharing {
    given: u128,
    updated: Instant,
    marks: BinaryHeap<Reverse<(u128, u64, AttemptKey)>>,
    made: u64,
    /// The number of the plan that is in force; events of earlier ones are stale.
    pub(super) plan: u32,
}

impl Group {
    pub(super) fn of(group: &ServerGroup) -> Self {
        Self {
            law: Law::of(&group.service_time),
            speed: group.speed,
            per_concurrent: saturating_nanos(group.service_time_per_concurrent) as f64,
            is_plain: group.service_time_per_concurrent.is_zero() && group.speed == 1.0,
            discipline: group.discipline,
            workers: group.workers.get(),
            limit: group.queue_limit.unwrap_or(u32::MAX),
        }
    }
}

impl Server {
    pub(super) fn new(group: u16) -> Self {
        Self {
            group,
            ill: false,
            was_paused: false,
            inside: 0,
            inside_max: 0,
            working: 0,
            queue: Queue::new(),
            attempts: 0,
            busy_nanos: 0,
            rest: Box::default(),
        }
    }

    /// What is wrong with it; none while it is well.
    #[inline]
    pub(super) fn condition(&self) -> Option<&Condition> {
        self.ill.then_some(&self.rest.condition)
    }

    /// Nanoseconds that it has been paused for, those of a pause under way included.
    #[inline]
    pub(super) fn paused_nanos(&self) -> u64 {
        if self.was_paused { self.rest.paused_nanos } else { 0 }
    }

    /// A request comes in.
    #[inline]
    pub(super) fn enter(&mut self) {
        self.inside += 1;
        self.inside_max = self.inside_max.max(self.inside);
    }

    /// Whether there is room for one more.
    #[inline]
    pub(super) const fn has_room(&self, group: &Group) -> bool {
        match group.discipline {
            Discipline::Fifo => self.working < group.workers || self.queue.len() < group.limit,
            Discipline::ProcessorSharing => self.working < group.limit,
            Discipline::Delay => true,
        }
    }

    /// All work is lost.
    pub(super) fn empty(&mut self) {
        (self.inside, self.working, self.rest.swallowed) = (0, 0, 0);
        self.queue = Queue::new();
        self.rest.sharing.marks.clear();
        self.rest.sharing.plan = self.rest.sharing.plan.wrapping_add(1);
    }
}

impl Sharing {
    /// Brings what was given up to `now`, while `working` requests shared the server.
    pub(super) fn advance(&mut self, now: Instant, working: u32) {
        let passed = now.as_nanos().saturating_sub(self.updated.as_nanos());
        if working > 0 {
            self.given += (u128::from(passed) << PLACES) / u128::from(working);
        }
        self.updated = self.updated.max(now);
    }

    /// Until when what was given is up to date.
    pub(super) const fn updated(&self) -> Instant {
        self.updated
    }

    /// Stands still until `until`.
    pub(super) fn stand_still(&mut self, until: Instant) {
        self.updated = self.updated.max(until);
    }

    /// A request that needs `demand` nanoseconds of the whole server comes in.
    pub(super) fn join(&mut self, attempt: AttemptKey, demand: u64) {
        self.made += 1;
        let mark = self.given + (u128::from(demand) << PLACES);
        self.marks.push(Reverse((mark, self.made, attempt)));
    }

    /// When the first of `working` requests is done, as long as none comes or goes; `live` tells which are there.
    pub(super) fn next(&mut self, working: u32, live: impl Fn(AttemptKey) -> bool) -> Option<Instant> {
        while let Some(Reverse((mark, _, attempt))) = self.marks.peek() {
            if live(*attempt) {
                let left = mark.saturating_sub(self.given).saturating_mul(u128::from(working));
                let nanos = left.div_ceil(1 << PLACES);
                return Some(self.updated + core::time::Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
            }
            self.marks.pop();
        }
        None
    }

    /// The next request that has been given what it needs.
    pub(super) fn pop_done(&mut self) -> Option<AttemptKey> {
        let Reverse((mark, _, attempt)) = *self.marks.peek()?;
        (mark <= self.given).then(|| {
            self.marks.pop();
            attempt
        })
    }
}

/// Binary places of a nanosecond.
const PLACES: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_request_looks_at_is_one_cache_line() {
        assert_eq!(size_of::<Server>(), 64);
    }
}
