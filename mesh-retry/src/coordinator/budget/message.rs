//! What the machine of a fleet's budget is told, asks for and reports. Decides nothing.

use core::time::Duration;

use crate::coordinator::store::{Settle, Settled, StoreFailure, StoreTime};

/// What a [`FleetMachine`](super::FleetMachine) is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetInput {
    /// The budget has called [`Wake::wake`](super::Wake::wake).
    Woken,
    /// The store replied to a settlement.
    Reply {
        /// Which: [`Settle::epoch`].
        epoch: u64,
        /// The reply.
        settled: Settled,
    },
    /// There will be no reply to a settlement.
    Failed {
        /// Which: [`Settle::epoch`].
        epoch: u64,
        /// What is known of it.
        failure: StoreFailure,
    },
    /// The process is about to end: what it holds goes back. Calls that are still made go by the local share.
    Shutdown,
}

/// What a [`FleetMachine`](super::FleetMachine) asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetEffect {
    /// Send it to the store, once, and tell what comes of it.
    Send(Settle),
}

/// What a [`FleetMachine`](super::FleetMachine) reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FleetEvent {
    /// Who answers those who ask for retries has changed.
    StateChanged {
        /// What it was.
        from: FleetState,
        /// What it is.
        to: FleetState,
        /// Why.
        why: FleetChange,
    },
    /// Retries and hedges were asked for since this was told last.
    Answered(FleetAnswers),
    /// The store replied in time.
    Settled {
        /// How long it took.
        latency: Duration,
        /// By the store's clock: what the driver's own says beside it is the skew.
        at: StoreTime,
        /// How many tokens were asked for.
        wanted: u32,
        /// How many there are now for it.
        granted: u32,
        /// How many went back.
        returned: u32,
        /// What is left for all, in thousandths of a retry.
        left_milli: u32,
        /// How many processes share the budget.
        processes: u32,
        /// For how long nobody asks the store for more; zero where it gave what was asked for.
        denied_for: Duration,
    },
    /// The store did not reply, or not in time.
    Unsettled {
        /// What is known of it.
        failure: StoreFailure,
        /// How long it took to know.
        after: Duration,
        /// How many failures in a row there have been.
        failures: u32,
    },
}

/// How those were answered who asked for retries and hedges, as far as the machine has seen: it looks twice a second and
/// whenever it is told something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FleetAnswers {
    /// How many tokens of leases are gone that paid for an attempt: fewer than were paid where some came back meanwhile.
    pub by_lease: u64,
    /// How many the local share paid for, those that came back included.
    pub by_share: u64,
    /// How many were told to ask again at the end of their waits, as the store may have more.
    pub deferred: u64,
    /// How many got nothing, from the share or because the store had said that it has nothing.
    pub denied: u64,
}

impl FleetAnswers {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Who answers those who ask for retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FleetState {
    /// The store has not been heard yet: the local share, while the store is asked.
    NoAssignment,
    /// The lease.
    Leased,
    /// The lease, of which nothing was left when the store did not answer. All are told to ask again, but for those whom a
    /// token pays that has come back from an attempt that was not made, until the lease ends.
    Expired,
    /// The local share, while the store is tried now and then.
    LocalFallback,
}

impl FleetState {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoAssignment => "no-assignment",
            Self::Leased => "leased",
            Self::Expired => "expired",
            Self::LocalFallback => "local-fallback",
        }
    }
}

/// Why the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FleetChange {
    /// The store answered.
    Answered,
    /// The store did not answer, and there was nothing left of the lease.
    LeaseOver,
    /// The store has failed several times in a row.
    Failures,
    /// It has been expired for as long as is allowed.
    ExpiredTooLong,
    /// The process is about to end.
    Shutdown,
}

impl FleetChange {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::LeaseOver => "lease-over",
            Self::Failures => "failures",
            Self::ExpiredTooLong => "expired-too-long",
            Self::Shutdown => "shutdown",
        }
    }
}
