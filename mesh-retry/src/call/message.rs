//! What a call machine is told, asks for and reports. Decides nothing.

use core::time::Duration;

use mesh_core::balance::{EndpointId, PickError};

use super::GiveUpReason;
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
    /// There is none to choose from: the call gives up.
    None,
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
        /// 1 for the first attempt of the call; at most `attempts_max`.
        number: u32,
        /// How long it may take, the time to the call's deadline at most; longer than zero. `None` without limit.
        timeout: Option<Duration>,
    },
    /// Abandon the attempt: the call is over, and no answer is wanted.
    Cancel {
        /// The attempt.
        attempt: AttemptId,
    },
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
