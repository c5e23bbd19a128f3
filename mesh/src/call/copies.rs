//! The attempts of one call that run side by side: the first, and the copies of it that hedge it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use mesh_core::time::Instant;
use mesh_retry::call::AttemptId;

use super::instances::Placed;

/// Attempts under way. Each has a box of its own, because they end in any order.
#[derive(Debug)]
pub(super) struct Copies<Fut> {
    running: Vec<Running<Fut>>,
}

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Running<Fut> {
    pub(super) id: AttemptId,
    pub(super) lease: Placed,
    /// When it has taken too long.
    pub(super) until: Option<Instant>,
    future: Pin<Box<Fut>>,
}

impl<Fut> Default for Copies<Fut> {
    fn default() -> Self {
        Self { running: Vec::new() }
    }
}

impl<Fut: Future> Copies<Fut> {
    pub(super) fn start(&mut self, id: AttemptId, lease: Placed, until: Option<Instant>, future: Fut) {
        self.running.push(Running { id, lease, until, future: Box::pin(future) });
    }

    /// Takes away the attempt `id`, whose future ends with it.
    pub(super) fn take(&mut self, id: AttemptId) -> Option<Running<Fut>> {
        let at = self.running.iter().position(|running| running.id == id)?;
        Some(self.running.remove(at))
    }

    /// The earliest time at which one has taken too long.
    pub(super) fn due(&self) -> Option<Instant> {
        self.running.iter().filter_map(|running| running.until).min()
    }

    /// Takes away one that has taken too long.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<Running<Fut>> {
        let at = self.running.iter().position(|running| running.until.is_some_and(|until| until <= now))?;
        Some(self.running.remove(at))
    }

    /// Goes on with all of them, the oldest first, until one ends.
    pub(super) fn poll_any(&mut self, context: &mut Context<'_>) -> Poll<(Running<Fut>, Fut::Output)> {
        for at in 0..self.running.len() {
            if let Poll::Ready(output) = self.running[at].future.as_mut().poll(context) {
                return Poll::Ready((self.running.remove(at), output));
            }
        }
        Poll::Pending
    }
}
