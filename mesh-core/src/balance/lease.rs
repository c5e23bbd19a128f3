//! A request on its way: counted from the pick to the moment it ends, however it ends.
//!
//! A lease that is dropped without a word counts as cancelled: the in-flight count falls and nothing is
//! learnt. Neither kind touches a reference count that other threads write.

use alloc::sync::Arc;
use core::fmt;

use super::balancer::Pin;
use super::endpoint::Endpoint;
use super::outcome::{Outcome, Wake};
use super::policy::Completion;
use super::view::{Placed, View};
use crate::service::Instance;
use crate::time::Instant;

/// A lease that lives as long as the handle it was picked with is borrowed: the cheapest one.
pub struct LeaseRef<'h> {
    view: &'h View,
    endpoint: &'h Endpoint,
    part: u32,
    position: u32,
    started: Instant,
    open: bool,
}

impl<'h> LeaseRef<'h> {
    #[inline]
    pub(super) fn start(view: &'h View, placed: Placed<'h>, now: Instant) -> Self {
        let Placed { part, position, endpoint, .. } = placed;
        endpoint.start();
        Self { view, endpoint, part, position, started: now, open: true }
    }

    /// The instance that was picked.
    #[must_use]
    #[inline]
    pub fn instance(&self) -> &'h Arc<Instance> {
        self.view.instance(self.part, self.position)
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
        self.view.complete(self.part, self.endpoint, &Completion { started: self.started, now, outcome })
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
            self.endpoint.stop();
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
        let Placed { part, position, endpoint, .. } = placed;
        endpoint.start();
        Self { pin: Arc::clone(pin), part, position, started: now, open: true }
    }

    /// The instance that was picked.
    #[must_use]
    #[inline]
    pub fn instance(&self) -> &Arc<Instance> {
        self.pin.view.instance(self.part, self.position)
    }

    /// The counters of the instance that was picked.
    #[must_use]
    #[inline]
    pub fn endpoint(&self) -> &Endpoint {
        self.pin.view.placed_on(self.part, self.position)
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
        let ended = Completion { started: self.started, now, outcome };
        self.pin.view.complete(self.part, self.endpoint(), &ended)
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
            self.endpoint().stop();
        }
    }
}
