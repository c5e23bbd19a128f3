//! What the machine of votes is told and tells. Decides nothing.

use core::time::Duration;

use super::super::exchange::{SendId, StoreAnswer};
use super::super::store::StoreFailure;
use super::evidence::ProbeRight;
use crate::breaker::State;

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VotesInput {
    /// The process's own breaker is in another state.
    Changed(State),
    /// The breaker has called [`Wake::wake`](super::super::Wake::wake): it asks for the probe.
    Woken,
    /// A command was answered, or will not be.
    Answered {
        /// Which sending.
        id: SendId,
        /// What became of it.
        answer: StoreAnswer,
    },
    /// The subject is no concern of the process any more. It lets go of the probe and takes its vote back: it casts a last
    /// one, after the one under way, that is not for open and counts for no longer than a store can count. That one is not
    /// cast again where it fails; the vote before it counts for its time then.
    Stop,
}

/// What the machine tells, for the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VotesEvent {
    /// A vote was cast.
    Counted {
        /// How many processes have a vote.
        live: u32,
        /// How many of these find the subject open.
        open: u32,
        /// How long the store took.
        latency: Duration,
    },
    /// There is a quorum that there was not: the breaker's threshold is lowered.
    Quorum {
        /// How many processes have a vote.
        live: u32,
        /// How many of these find the subject open.
        open: u32,
    },
    /// There is none any more.
    NoQuorum {
        /// Whether the store says so; otherwise it has been silent for too long.
        by_store: bool,
    },
    /// The breaker may try the subject, or may not.
    Probe {
        /// By what right.
        right: ProbeRight,
    },
    /// The store did not answer; it is asked again.
    Failed {
        /// Why; an answer that did not come in time is unknown.
        failure: StoreFailure,
    },
}
