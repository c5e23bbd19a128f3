//! Why a call makes no further attempt, with the numbers that decided it. Decides nothing.

use core::num::NonZeroU32;
use core::time::Duration;

use thiserror::Error;

use super::gate::Shut;
use crate::budget::Denial;
use crate::classify::FinalBy;
use crate::policy::RetryAfterTooLong;

/// Why a call makes no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GiveUpReason {
    /// Every attempt would fail as the last one did.
    #[error("the failure is permanent")]
    Permanent,
    /// The attempt failed in a way that another one might mend, but none may be made.
    #[error("no attempt may follow: {by}")]
    Final {
        /// Who rules it out.
        by: FinalBy,
    },
    /// The policy allows no more attempts.
    #[error("all attempts that the policy allows have failed: {attempts_max}")]
    AttemptsExhausted {
        /// The policy's limit.
        attempts_max: NonZeroU32,
    },
    /// The call's deadline came.
    #[error("the deadline of {deadline:?} has passed")]
    DeadlineExceeded {
        /// How long after the start of the call it came; zero where it had passed by then.
        deadline: Duration,
    },
    /// The next attempt could not have started before the call's deadline.
    #[error("the next attempt would have to wait for {needed:?} and the deadline is in {left:?}")]
    DeadlineTooClose {
        /// How long the retry would have waited.
        needed: Duration,
        /// How much time was left.
        left: Duration,
    },
    /// The callee asked to be left alone for longer than the policy waits.
    #[error("the callee asked for a wait of {announced:?} and the policy allows {max:?}")]
    RetryAfterTooLong {
        /// What the callee asked for.
        announced: Duration,
        /// The policy's limit.
        max: Duration,
    },
    /// The budget for retries has nothing left.
    #[error(transparent)]
    Budget(Denial),
    /// The budget was asked and had not answered when the wait was over.
    #[error("the budget for retries gave no answer in time")]
    BudgetSilent,
    /// A breaker, a limit or a throttle let no attempt pass.
    #[error("{0}")]
    Shut(Shut),
    /// A retry strategy of the user's own wants no other attempt.
    #[error("{by} wants no other attempt")]
    Refused {
        /// Its name, or its reason in few words.
        by: &'static str,
    },
    /// There was no instance to make an attempt at.
    #[error("no instance is available")]
    NoInstance,
}

impl GiveUpReason {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Final { by } => by.name(),
            Self::AttemptsExhausted { .. } => "attempts-exhausted",
            Self::DeadlineExceeded { .. } => "deadline-exceeded",
            Self::DeadlineTooClose { .. } => "deadline-too-close",
            Self::RetryAfterTooLong { .. } => "retry-after-too-long",
            Self::Budget(_) => "budget",
            Self::BudgetSilent => "budget-silent",
            Self::Shut(shut) => shut.gate,
            Self::Refused { .. } => "refused",
            Self::NoInstance => "no-instance",
        }
    }

    /// Whether the same call made anew, later, could succeed.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Permanent => false,
            Self::Final { .. }
            | Self::AttemptsExhausted { .. }
            | Self::DeadlineExceeded { .. }
            | Self::DeadlineTooClose { .. }
            | Self::RetryAfterTooLong { .. }
            | Self::Budget(_)
            | Self::BudgetSilent
            | Self::Shut(_)
            | Self::Refused { .. }
            | Self::NoInstance => true,
        }
    }
}

impl From<RetryAfterTooLong> for GiveUpReason {
    fn from(RetryAfterTooLong { announced, max }: RetryAfterTooLong) -> Self {
        Self::RetryAfterTooLong { announced, max }
    }
}
