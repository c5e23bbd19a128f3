//! A request on its way: counted from the pick to the moment it ends, however it ends.
//!
//! A lease that is dropped without a word counts as cancelled: the in-flight count falls, and nothing is learnt but that
//! there was no answer. Neither kind touches a reference count that other threads write.

use alloc::sync::Arc;
use core::fmt;

use super::balancer::{Pin, Vantage};
use super::endpoint::Endpoint;
use super::outcome::{Outcome, Wake};
use super::policy::Completion;
use super::view::Placed;
use crate::service::Instance;
use crate::time::Instant;

/// A lease that lives as long as the handle it was picked with is borrowed: the cheapest one.
pub struct LeaseRef<'h> {
    vantage: &'h Vantage,
    endpoint: &'h Endpoint,
    part: u32,
    position: u32,
    started: Instant,
    open: bool,
}

impl<'h> LeaseRef<'h> {
    #[inline]
    pub(super) fn start(vantage: &'h Vantage, placed: Placed<'h>, now: Instant) -> Self {
        vantage.start(&placed, now);
        let Placed { part, position, endpoint, .. } = placed;
        Self { vantage, endpoint, part, position, started: now, open: true }
    }

    /// The instance that was picked.
    #[must_use]
    #[inline]
    pub fn instance(&self) -> &'h Arc<Instance> {
        self.vantage.view.instance(self.part, self.position)
    }

    /// The counters of the instance that was picked.
    #[must_use]
    pub const fn endpoint(&self) -> &'h Endpoint {
        self.endpoint
    }

    /// When it was picked.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Ends it: the in-flight count falls and the outcome is learnt.
    #[inline]
    pub fn finish(mut self, now: Instant, outcome: Outcome) -> Wake {
        self.open = false;
        self.vantage.stop(self.part, self.position, self.endpoint, Some(now));
        self.vantage.view.complete(self.part, self.endpoint, &Completion { started: self.started, now, outcome })
    }

    #[inline(never)]
    fn give_up(&self) {
        self.vantage.stop(self.part, self.position, self.endpoint, None);
        self.vantage.view.abandon(self.part, self.endpoint, self.started, None);
    }
}

impl fmt::Debug for LeaseRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("LeaseRef");
        text.field("instance", self.instance()).field("started", &self.started).finish_non_exhaustive()
    }
}

impl Drop for LeaseRef<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.open {
            self.give_up();
        }
    }
}

/// A lease that may go anywhere: to another task, into a future that is spawned, into a table.
pub struct Lease {
    pin: Arc<Pin>,
    part: u32,
    position: u32,
    started: Instant,
    open: bool,
}

impl Lease {
    #[inline]
    pub(super) fn start(pin: &Arc<Pin>, placed: Placed<'_>, now: Instant) -> Self {
        pin.0.start(&placed, now);
        let Placed { part, position, .. } = placed;
        Self { pin: Arc::clone(pin), part, position, started: now, open: true }
    }

    /// The instance that was picked.
    #[must_use]
    #[inline]
    pub fn instance(&self) -> &Arc<Instance> {
        self.vantage().view.instance(self.part, self.position)
    }

    /// The counters of the instance that was picked.
    #[must_use]
    #[inline]
    pub fn endpoint(&self) -> &Endpoint {
        self.vantage().view.placed_on(self.part, self.position)
    }

    /// When it was picked.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Ends it: the in-flight count falls and the outcome is learnt.
    #[inline]
    pub fn finish(mut self, now: Instant, outcome: Outcome) -> Wake {
        self.end(now, outcome)
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// As [`Lease::finish`], for an owner that cannot give it away, such as one that ends it when it is dropped itself.
    /// What has ended does not end again.
    #[inline]
    pub fn end(&mut self, now: Instant, outcome: Outcome) -> Wake {
        if !core::mem::take(&mut self.open) {
            return Wake::No;
        }
        let (vantage, endpoint) = (self.vantage(), self.endpoint());
        vantage.stop(self.part, self.position, endpoint, Some(now));
        vantage.view.complete(self.part, endpoint, &Completion { started: self.started, now, outcome })
    }

    #[inline]
    fn vantage(&self) -> &Vantage {
        &self.pin.0
    }

    #[inline(never)]
    fn give_up(&self) {
        let (vantage, endpoint) = (self.vantage(), self.endpoint());
        vantage.stop(self.part, self.position, endpoint, None);
        vantage.view.abandon(self.part, endpoint, self.started, None);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Lease");
        text.field("instance", self.instance()).field("started", &self.started).finish_non_exhaustive()
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        if self.open {
            self.give_up();
        }
    }
}
