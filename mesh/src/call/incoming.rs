//! A request that this process serves, as far as its caller's time and attempts go.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::port::Clock;
use mesh_core::time::Instant;
use mesh_retry::deadline::{Deadline, Told};

/// A request that this process serves: how long its caller waits for the answer, and which attempt of its caller's it is.
///
/// Calls that are made for it end in time if their policy is told
/// ([`CallPolicy::within`](crate::CallPolicy::within)), and work that nobody waits for any more can be left
/// ([`IncomingCall::is_expired`]). Where it says nothing of its caller's time, it has no deadline.
///
/// What the way here took nobody knows: the time counts from [`ServiceMesh::incoming`](crate::ServiceMesh::incoming), by
/// this process's own clock.
#[derive(Clone, Debug)]
pub struct IncomingCall {
    clock: Arc<dyn Clock>,
    arrived: Instant,
    deadline: Deadline,
    attempt: u32,
}

impl IncomingCall {
    pub(crate) fn new(told: Told, clock: Arc<dyn Clock>) -> Self {
        let arrived = clock.now();
        let attempt = told.attempt.map_or(1, u32::from);
        Self { arrived, deadline: told.deadline(arrived), attempt, clock }
    }

    /// Allows it no more than `longest` after its arrival, whatever its caller says.
    #[must_use]
    pub fn at_most(mut self, longest: Duration) -> Self {
        self.deadline = self.deadline.min(Deadline::after(self.arrived, longest));
        self
    }

    /// When its caller stops waiting, by the mesh's clock.
    #[must_use]
    pub const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// How much longer its caller waits: zero where it has left, `None` where nothing is known.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.remaining(self.clock.now())
    }

    /// Whether its caller has stopped waiting.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.deadline.has_passed(self.clock.now())
    }

    /// Which attempt of its caller's it is: 1 for the first, and where it does not say.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }
}
