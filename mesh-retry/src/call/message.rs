//! What a call machine is told, asks for and reports. Decides nothing.

use core::time::Duration;

use mesh_core::balance::{EndpointId, Outcome, PickError};
use mesh_core::time::Instant;

use super::GiveUpReason;
use super::gate::Shut;
use crate::classify::Class;

/// One attempt of one call, as the effect that asks for it names it. Never given twice by the same machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(u64);

impl AttemptId {
    /// The attempt numbered `number`, for tests; drivers use the id that came with the effect.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What a call machine is told.
///
/// Of inputs about an attempt that is not under way (it ended, was cancelled, or never was) only the number is
/// kept: [`CallMachine::ignored`](super::CallMachine::ignored).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallInput {
    /// An instance was chosen; later attempts avoid it.
    Picked {
        /// The attempt it was chosen for.
        attempt: AttemptId,
        /// The instance.
        endpoint: EndpointId,
    },
    /// No instance could be chosen, so the attempt did not take place.
    Unavailable {
        /// The attempt that was asked for.
        attempt: AttemptId,
        /// Why none could be chosen.
        reason: Unavailable,
    },
    /// The attempt came to an end.
    Ended {
        /// The attempt.
        attempt: AttemptId,
        /// What its result means.
        class: Class,
    },
    /// The attempt took longer than the timeout it was asked for with, and the driver has abandoned it.
    TimedOut {
        /// The attempt.
        attempt: AttemptId,
    },
}

impl CallInput {
    /// The attempt that it is about.
    #[must_use]
    pub const fn attempt(&self) -> AttemptId {
        match self {
            Self::Picked { attempt, .. }
            | Self::Unavailable { attempt, .. }
            | Self::Ended { attempt, .. }
            | Self::TimedOut { attempt } => *attempt,
        }
    }
}

/// Why no instance could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Every instance is among those tried: the machine forgets them and asks again at once.
    AllExcluded,
    /// There is none to choose from, or no time left for one: the call gives up.
    None,
    /// There are some, but none of them may be asked for now, as when the breaker of each is open: the call waits, or gives
    /// up. Where a copy of the attempt is under way, it is waited for instead.
    Shut(Shut),
}

impl From<PickError> for Unavailable {
    fn from(error: PickError) -> Self {
        match error {
            PickError::AllExcluded { .. } => Self::AllExcluded,
            PickError::Pending
            | PickError::UnknownService
            | PickError::NoneRegistered
            | PickError::NoneHealthy { .. }
            | PickError::NoneMatching { .. }
            | PickError::UnknownRoute(_)
            | _ => Self::None,
        }
    }
}

/// What a call machine asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEffect {
    /// Pick an instance outside [`CallMachine::tried`](super::CallMachine::tried) and make an attempt at it.
    Attempt {
        /// What the answers name it by.
        attempt: AttemptId,
        /// 1 for the first attempt of the call; hedges are counted as well.
        number: u32,
        /// What makes it necessary.
        kind: AttemptKind,
        /// How long it may take, the time to the call's deadline at most; longer than zero. `None` without limit.
        timeout: Option<Duration>,
    },
    /// Abandon the attempt: the call is over, and no answer is wanted.
    Cancel {
        /// The attempt.
        attempt: AttemptId,
        /// Why no answer is wanted, which says what the balancer is to learn.
        why: CancelReason,
    },
}

/// What makes an attempt necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptKind {
    /// The call itself.
    First,
    /// The attempts before it have failed.
    Retry,
    /// The attempts before it take long; it runs beside them.
    Hedge,
}

/// Why an attempt is abandoned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// The call's deadline came: the attempt was too slow.
    Deadline,
    /// The call ended without it, as a hedge that lost: it may have been as good as any.
    Lost,
}

impl CancelReason {
    /// What the balancer learns of the instance.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Deadline => Outcome::TimedOut,
            Self::Lost => Outcome::Cancelled,
        }
    }
}

/// How the call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallEvent {
    /// An attempt succeeded.
    Succeeded {
        /// How many attempts took place.
        attempts: u32,
    },
    /// No further attempt is made.
    GaveUp {
        /// Why not.
        reason: GiveUpReason,
        /// How many attempts took place.
        attempts: u32,
    },
}

/// A decision about the next attempt, with the numbers that led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The call is tried again at that time, which is paid for.
    Retry {
        /// The end of the wait.
        at: Instant,
    },
    /// The call waits until that time, and is tried again if the budget pays for it then: it has asked for more elsewhere.
    /// [`Decision::Retry`] follows, or the call gives up.
    Deferred {
        /// The end of the wait.
        at: Instant,
    },
    /// The attempt that was asked for is put off until that time, because no instance may be asked for now.
    Held {
        /// The end of the wait.
        at: Instant,
        /// What keeps it.
        by: Shut,
    },
    /// A copy is sent at that time, beside what is under way.
    Hedge {
        /// Now.
        at: Instant,
    },
    /// No copy is sent for the attempt that is under way. A call that gives up altogether says so by
    /// [`CallEvent::GaveUp`].
    NoHedge(GiveUpReason),
}

/// What a call has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// The attempts that took place or are under way.
    pub attempts: u32,
    /// Those among them that followed a failure.
    pub retries: u32,
    /// Those among them that ran beside others.
    pub hedges: u32,
    /// Copies whose time came and that budget, gates or deadline kept from being sent.
    pub hedges_denied: u32,
}

impl Tally {
    pub(super) fn count(&mut self, kind: AttemptKind) {
        self.attempts = self.attempts.saturating_add(1);
        match kind {
            AttemptKind::First => {}
            AttemptKind::Retry => self.retries = self.retries.saturating_add(1),
            AttemptKind::Hedge => self.hedges = self.hedges.saturating_add(1),
        }
    }

    pub(super) fn uncount(&mut self, kind: AttemptKind) {
        self.attempts = self.attempts.saturating_sub(1);
        match kind {
            AttemptKind::First => {}
            AttemptKind::Retry => self.retries = self.retries.saturating_sub(1),
            AttemptKind::Hedge => self.hedges = self.hedges.saturating_sub(1),
        }
    }
}
