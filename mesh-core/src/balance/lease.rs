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
use super::view::View;
use crate::service::Instance;
use crate::time::Instant;

/// A lease that lives as long as the handle it was picked with is borrowed: the cheapest one.
pub struct LeaseRef<'h> {
    view: &'h View,
    endpoint: &'h Endpoint,
    row: u32,
    part: u32,
    started: Instant,
    open: bool,
}

impl<'h> LeaseRef<'h> {
    #[inline]
    pub(super) fn start(view: &'h View, part: u32, row: u32, now: Instant) -> Self {
        let endpoint = &*view.table.endpoints[row as usize];
        endpoint.start();
        Self { view, endpoint, row, part, started: now, open: true }
    }

    /// The instance that was picked.
    #[must_use]
    pub fn instance(&self) -> &'h Arc<Instance> {
        &self.view.table.instances[self.row as usize]
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
    row: u32,
    part: u32,
    started: Instant,
    open: bool,
}

impl Lease {
    #[inline]
    pub(super) fn start(pin: Arc<Pin>, part: u32, row: u32, now: Instant) -> Self {
        pin.endpoint(row).start();
        Self { pin, row, part, started: now, open: true }
    }

    /// The instance that was picked.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        &self.pin.view.table.instances[self.row as usize]
    }

    /// The counters of the instance that was picked.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.pin.endpoint(self.row)
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
        self.pin.view.complete(
            self.part,
            self.pin.endpoint(self.row),
            &Completion { started: self.started, now, outcome },
        )
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
            self.pin.endpoint(self.row).stop();
        }
    }
}
