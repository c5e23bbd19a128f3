//! How a call waits with an attempt that was asked for and that no instance lets through for now.

use mesh_core::rng::{Rng, mix};
use mesh_core::time::Instant;

use super::gate::{AttemptEnd, Shut};
use super::machine::{CallMachine, State};
use super::terms::Terms;
use super::{AttemptKind, Decision, GiveUpReason};
use crate::backoff::{Cause, Waits};
use crate::budget::Paid;

impl<T: Terms> CallMachine<T> {
    /// Puts off an attempt that was not made because of `shut`, with what it is paid with; or gives up.
    pub(super) fn hold(&mut self, now: Instant, kind: AttemptKind, paid: Option<Paid>, shut: Shut) {
        if let Some(until) = self.held_until(now, &shut) {
            self.held = self.held.saturating_add(1);
            self.decided.put(Decision::Held { at: until, by: shut });
            self.state = State::Waiting { kind, until, paid, again: None };
        } else {
            self.settle(now, AttemptEnd::NotMade, paid);
            self.give_up(GiveUpReason::Shut(shut));
        }
    }

    /// Until when the attempt is put off; none where the policy makes no further one, waits for less or the deadline is
    /// before that. A wait takes the place of a retry, so that a call which is never let through does not wait for ever.
    fn held_until(&self, now: Instant, shut: &Shut) -> Option<Instant> {
        let policy = self.terms.policy();
        let made = self.tally.retries.saturating_add(self.held);
        let wait = shut.opens_at?.since(now);
        if made.saturating_add(1) >= policy.attempts_max.get() || wait > policy.retry_after_max {
            return None;
        }
        // Callers who were all shut out until one moment do not come back all at once.
        let mut rng = Rng::from_seed(mix(self.entropy ^ HELD ^ u64::from(self.held)));
        let drawn = policy.backoff.delay(&mut Waits::new(), Cause::Failed, &mut rng);
        let until = now.after(wait.saturating_add(drawn));
        Some(until).filter(|until| self.deadline().is_none_or(|deadline| *until < deadline))
    }
}

/// Sets the draws of these waits apart from those of the backoff and of the gates: "held" in ASCII.
const HELD: u64 = 0x6865_6c64 << 24;
