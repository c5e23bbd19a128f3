//! What the machine of an operation is told and tells. Decides nothing.

use core::time::Duration;

use super::super::exchange::{SendId, StoreAnswer};
use super::super::store::Fence;

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationInput {
    /// A command was answered, or will not be.
    Answered {
        /// Which sending.
        id: SendId,
        /// What became of it.
        answer: StoreAnswer,
    },
    /// The operation was carried out, with this result. One longer than
    /// [`RESULT_BYTES_MAX`](super::super::store::RESULT_BYTES_MAX) is not sent, see [`OperationEvent::ResultTooLong`].
    Finish {
        /// What whoever begins it again is told.
        result: Vec<u8>,
    },
    /// The operation was certainly not carried out, by this owner or any before: the next is the first. Before it may be
    /// carried out, this calls it off.
    Abandon,
    /// Whether it was carried out is unknown: the next takes over at once, and is told so.
    HandOver,
}

/// What the machine tells its owner: [`Run`](Self::Run), [`Done`](Self::Done), [`Refused`](Self::Refused) or
/// [`Ended`](Self::Ended) first, and after `Run` one of [`Ended`](Self::Ended) and [`TakenAway`](Self::TakenAway) as the
/// last.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationEvent {
    /// Somebody else is at it; told once.
    Waiting {
        /// For how long nobody may take over, unless the owner renews.
        lease_left: Duration,
    },
    /// Carry it out, then say how it ended.
    Run {
        /// By what right.
        right: Right,
    },
    /// It was carried out before.
    Done {
        /// With this result.
        result: Vec<u8>,
    },
    /// It is not to be carried out.
    Refused {
        /// Why not.
        why: OperationRefusal,
    },
    /// The lease ended before it could be renewed: somebody may take over, and both be at it. Whatever takes the fence
    /// tells the later one.
    Lapsed,
    /// The lease was renewed after it had lapsed, and nobody had taken over.
    Recovered,
    /// Somebody has taken over, or the store has forgotten: no result of this owner will be kept.
    TakenAway,
    /// A result was not sent because it is too long; the operation goes on until it is ended otherwise.
    ResultTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The store was told how it ended, or gave no answer.
    Ended {
        /// How.
        how: OperationEnd,
    },
}

/// By what right an operation is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Right {
    /// Nobody has begun it before.
    First {
        /// Orders this owner after those before.
        fence: Fence,
    },
    /// Somebody began it and was not heard of within the lease: **whether it was carried out is unknown**.
    TakenOver {
        /// Orders this owner after those before.
        fence: Fence,
    },
    /// The store is lost and [`StoreLost::RunAnyway`](super::StoreLost::RunAnyway) is configured: somebody else may be at
    /// it, or have been.
    Unprotected,
}

impl Right {
    /// The right as measurements name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First { .. } => "first",
            Self::TakenOver { .. } => "taken-over",
            Self::Unprotected => "unprotected",
        }
    }

    /// What orders its owner among those before and after; none where the store does not know of him.
    #[must_use]
    pub const fn fence(self) -> Option<Fence> {
        match self {
            Self::First { fence } | Self::TakenOver { fence } => Some(fence),
            Self::Unprotected => None,
        }
    }
}

/// Why an operation is not to be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationRefusal {
    /// Somebody else is still at it.
    InFlight {
        /// For how long nobody may take over, unless the owner renews.
        lease_left: Duration,
    },
    /// Another operation has the same key.
    Mismatch,
    /// It was carried out before, and with what result cannot be read. It is not carried out again, whatever
    /// [`StoreLost`](super::StoreLost) is chosen: the store is not lost.
    Unreadable,
    /// The store has no room for one more. It is not carried out, whatever [`StoreLost`](super::StoreLost) is chosen: the
    /// store is not lost.
    StoreFull,
    /// The store does not answer.
    StoreLost,
}

impl OperationRefusal {
    /// The refusal as measurements name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InFlight { .. } => "in-flight",
            Self::Mismatch => "mismatch",
            Self::Unreadable => "unreadable",
            Self::StoreFull => "store-full",
            Self::StoreLost => "store-lost",
        }
    }
}

/// How an operation ended, as the store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationEnd {
    /// Its result is told to whoever begins it again.
    Kept,
    /// It is as if it had never been begun.
    Forgotten,
    /// The next to begin it takes over.
    HandedOver,
    /// Somebody has taken over, or the store had forgotten it: nothing was kept.
    Fenced,
    /// The store gave no answer: what it knows is unknown.
    Unknown,
    /// The store was lost, and is not told. Where a begin was carried out whose answer did not come, it knows of an owner who
    /// is not heard of: the next to begin it waits for the lease, and takes over.
    Unprotected,
    /// It was called off before it could be carried out.
    CalledOff,
}

impl OperationEnd {
    /// The end as measurements name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Forgotten => "forgotten",
            Self::HandedOver => "handed-over",
            Self::Fenced => "fenced",
            Self::Unknown => "unknown",
            Self::Unprotected => "unprotected",
            Self::CalledOff => "called-off",
        }
    }
}
