//! Slots as the waits of a retry strategy.

use core::time::Duration;
use std::sync::Arc;

use mesh_core::rng::Rng;
use mesh_core::time::Instant;

use super::hot::RetrySlots;
use crate::backoff::Waits;
use crate::budget::Budget;
use crate::call::{Failed, GATES_MAX, Gate, GiveUpReason, Terms};
use crate::deadline::{Deadline, QuantileRule};
use crate::policy::RetryPolicy;

/// Any terms, with a slot on top of the wait of each retry that is paid for. A slot that does not fit before the deadline gives
/// way to a random part of the time that is left.
///
/// The wait of the terms is what every retry waits for at least: a backoff, or what the callee announced. Where it is the
/// same for all ([`Jitter::None`](crate::backoff::Jitter::None)) the slots alone spread the retries, which is what they are
/// for; jitter of the backoff's own blurs them.
#[derive(Clone, Debug)]
pub struct Slotted<T> {
    terms: T,
    slots: Arc<RetrySlots>,
}

impl<T: Terms> Slotted<T> {
    /// `terms` with `slots` on top.
    pub const fn new(terms: T, slots: Arc<RetrySlots>) -> Self {
        Self { terms, slots }
    }
}

impl<T: Terms> Terms for Slotted<T> {
    fn policy(&self) -> &RetryPolicy {
        self.terms.policy()
    }

    fn deadline(&self) -> Deadline {
        self.terms.deadline()
    }

    fn budget(&self) -> Option<&dyn Budget> {
        self.terms.budget()
    }

    fn gates(&self) -> [Option<&dyn Gate>; GATES_MAX] {
        self.terms.gates()
    }

    fn may_repeat(&self) -> bool {
        self.terms.may_repeat()
    }

    fn time(&self, now: Instant, rule: &QuantileRule) -> Option<Duration> {
        self.terms.time(now, rule)
    }

    fn retry(&self, failed: &Failed, waits: &mut Waits, rng: &mut Rng) -> Result<Duration, GiveUpReason> {
        self.terms.retry(failed, waits, rng)
    }

    fn spread(&self, room: Option<Duration>, rng: &mut Rng) -> Duration {
        self.slots.take_within(room, rng)
    }
}
