//! Why a call is not let in, with the numbers that decided it. Decides nothing.

use core::time::Duration;

use mesh_core::time::Instant;
use thiserror::Error;

/// That a call cannot go in right away. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{inside} calls are inside, {concurrent_max} may be, and {waiting} wait")]
#[non_exhaustive]
pub struct BulkheadFull {
    /// How many may be inside.
    pub concurrent_max: u32,
    /// How many are.
    pub inside: u32,
    /// How many wait to go in.
    pub waiting: u32,
    /// When there is likely to be room; none before the first call has left.
    pub retry_at: Option<Instant>,
}

impl BulkheadFull {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        "bulkhead-full"
    }
}

/// Why a call does not wait, or waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// As many wait as may.
    #[error("{waiting_max} calls wait already")]
    QueueFull {
        /// How many may wait.
        waiting_max: u32,
        /// When one of them is likely to have gone in; none before the first call has left.
        retry_at: Option<Instant>,
    },
    /// It would not go in before its deadline, as often as calls leave.
    #[error("the wait is likely to be {expected:?} and the deadline is in {left:?}")]
    DeadlineTooClose {
        /// How many would go in before it.
        ahead: u32,
        /// How long it would wait.
        expected: Duration,
        /// How long it may.
        left: Duration,
        /// When the queue is likely to be so short that it may wait as long and go in, if nobody else comes.
        retry_at: Instant,
    },
    /// Its deadline came.
    #[error("the deadline came after a wait of {waited:?}")]
    DeadlinePassed {
        /// How long it had waited.
        waited: Duration,
    },
    /// It has waited as long as anybody may.
    #[error("waited for {waited:?}, and {wait_max:?} is the limit")]
    WaitedTooLong {
        /// How long it had waited.
        waited: Duration,
        /// How long it might.
        wait_max: Duration,
        /// When those who wait now are likely to have gone in; none before the first call has left.
        retry_at: Option<Instant>,
    },
}

impl Refusal {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::QueueFull { .. } => "bulkhead-queue-full",
            Self::DeadlineTooClose { .. } => "bulkhead-deadline-too-close",
            Self::DeadlinePassed { .. } => "bulkhead-deadline-passed",
            Self::WaitedTooLong { .. } => "bulkhead-waited-too-long",
        }
    }

    /// When asking again may help, if that is known.
    #[must_use]
    pub const fn retry_at(&self) -> Option<Instant> {
        match self {
            Self::QueueFull { retry_at, .. } | Self::WaitedTooLong { retry_at, .. } => *retry_at,
            Self::DeadlineTooClose { retry_at, .. } => Some(*retry_at),
            Self::DeadlinePassed { .. } => None,
        }
    }
}
