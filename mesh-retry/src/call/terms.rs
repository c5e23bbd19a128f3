//! What a call goes by: its policy, and what it shares with other calls to the same service. Decides by the policy
//! where the user's own code does not.

use core::borrow::Borrow;
use core::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::time::Instant;

use super::GiveUpReason;
use super::gate::Gate;
use crate::backoff::Waits;
use crate::budget::Budget;
use crate::classify::Class;
#[cfg(doc)]
use crate::classify::Idempotency;
use crate::deadline::{Deadline, QuantileRule};
use crate::policy::RetryPolicy;

/// How many gates a call may go by.
pub const GATES_MAX: usize = 3;

/// What a call goes by. A policy alone is one, without budget or gates and for operations that may be repeated.
///
/// Everything but the policy has a default, so that a user's own retry strategy is an implementation of
/// [`Terms::retry`] (see `examples/own_strategy.rs`).
pub trait Terms {
    /// How many attempts, how long they may take, and whether they are hedged.
    fn policy(&self) -> &RetryPolicy;

    /// When the call has to be over at the latest, besides the policy's own deadline: that of the request that it is made
    /// for, say. The earlier of the two counts.
    fn deadline(&self) -> Deadline {
        Deadline::NEVER
    }

    /// What retries and hedges are paid from; without one they are limited by the policy alone.
    fn budget(&self) -> Option<&dyn Budget> {
        None
    }

    /// What every attempt has to pass, in this order.
    fn gates(&self) -> [Option<&dyn Gate>; GATES_MAX] {
        [None; GATES_MAX]
    }

    /// Whether the operation may be carried out more than once. One that may not is never hedged, and not retried after a
    /// timeout; of an answer its classifier says whether it may be ([`Idempotency::judge`]).
    fn may_repeat(&self) -> bool {
        true
    }

    /// What `rule` says now of the latencies of this service, where somebody measures them.
    fn time(&self, now: Instant, rule: &QuantileRule) -> Option<Duration> {
        let _ = (now, rule);
        None
    }

    /// How long to wait before another attempt, or why there is none. Budget and gates are asked afterwards. `waits` is
    /// what the call has waited for so far.
    ///
    /// # Errors
    /// The reason for which the call is given up.
    fn retry(&self, failed: &Failed, waits: &mut Waits, rng: &mut Rng) -> Result<Duration, GiveUpReason> {
        self.policy().retry(failed, waits, rng)
    }

    /// How much longer to wait before a retry that the budget has paid for, or is to pay for at the end of the wait, so that
    /// it does not meet those of others. Shorter than `room`, which is the time between the end of the wait and the call's
    /// deadline, where it has one: what is longer is not waited for at all.
    fn spread(&self, room: Option<Duration>, rng: &mut Rng) -> Duration {
        let _ = (room, rng);
        Duration::ZERO
    }
}

impl<P: Borrow<RetryPolicy>> Terms for P {
    fn policy(&self) -> &RetryPolicy {
        self.borrow()
    }
}

/// An attempt that failed in a way that another may not, and what is known of its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failed {
    /// The time.
    pub now: Instant,
    /// What the last answer meant; `None` where the attempt timed out.
    pub class: Option<Class>,
    /// How many attempts took place, hedges included.
    pub attempts: u32,
    /// How many retries came before.
    pub retries: u32,
    /// How long the callee wants to be left alone, where it said so.
    pub announced: Option<Duration>,
    /// How much time the call has left, where it has a deadline.
    pub left: Option<Duration>,
}
