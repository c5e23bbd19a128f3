//! A request that the mesh placed, until it ends.

use std::sync::Arc;

use mesh_core::balance::{self, Endpoint, Outcome, Wake};
use mesh_core::service::Instance;
use mesh_core::time::Instant;

use crate::local::Owner;

/// An instance that was picked for one request, counted as in flight until the lease ends.
///
/// Finish it with how the request went, so that the balancer learns; dropped, it counts as cancelled, and nothing is
/// learnt but that there was no answer so far. Lost with a cancelled future or a panic, it is dropped.
#[derive(Debug)]
#[must_use = "a lease that is dropped at once counts as a cancelled request"]
pub struct Lease {
    lease: balance::Lease,
    owner: Arc<Owner>,
}

impl Lease {
    pub(crate) const fn new(lease: balance::Lease, owner: Arc<Owner>) -> Self {
        Self { lease, owner }
    }

    /// The instance that was picked.
    #[must_use]
    pub fn instance(&self) -> &Arc<Instance> {
        self.lease.instance()
    }

    /// The counters of the instance that was picked.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.lease.endpoint()
    }

    /// When it was picked, by the mesh's clock.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.lease.started()
    }

    /// Ends it: the in-flight count falls, and the outcome is learnt.
    pub fn finish(mut self, outcome: Outcome) {
        let now = self.owner.clock.now();
        self.end(now, outcome);
    }

    pub(crate) const fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    /// As [`Lease::finish`], for an owner that cannot give it away. What has ended does not end again.
    pub(crate) fn end(&mut self, now: Instant, outcome: Outcome) {
        let wake = self.lease.end(now, outcome);
        if wake == Wake::Sweep {
            self.owner.followed.sweep.notify_one();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.lease.is_open() {
            self.lease.end(self.owner.clock.now(), Outcome::Cancelled);
        }
    }
}
