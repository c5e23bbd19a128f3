//! A permit that cannot be lost.

use mesh_core::time::Instant;

use super::{Breaker, Permit, Transition, Verdict};

/// A permit that goes back to its breaker when it is dropped, as when the future that holds it is cancelled.
#[derive(Debug)]
#[must_use = "a guard that is dropped gives its permit back"]
pub struct Guard<'a> {
    breaker: &'a Breaker,
    permit: Option<Permit>,
}

impl<'a> Guard<'a> {
    /// Guards `permit`, which `breaker` gave.
    pub const fn new(breaker: &'a Breaker, permit: Permit) -> Self {
        Self { breaker, permit: Some(permit) }
    }

    /// As [`Breaker::record`].
    pub fn record(mut self, now: Instant, verdict: Verdict) -> Option<Transition> {
        self.permit.take().and_then(|permit| self.breaker.record(now, permit, verdict))
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.breaker.give_back(permit);
        }
    }
}
