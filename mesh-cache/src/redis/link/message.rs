//! What a link and the world tell one another.

use std::time::Duration;

use mesh_core::time::Instant;

use crate::redis::reason::{ConnectFailure, DownReason, Epoch, Unfit};

/// In which state a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It connects for the first time, or after its connection was lost for certain.
    Connecting,
    /// Calls are served.
    Up,
    /// Its connection stopped answering and was given up; the one that replaces it is not there yet.
    Suspect,
    /// It waits before it tries again.
    Down,
}

/// Identifies one PING of one link; the answer carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PingId(pub(super) u64);

/// What a link asks of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEffect {
    /// Make a connection, ready for calls, and say how it went.
    Connect {
        /// The number of the attempt, and the epoch of the connection that comes of it.
        attempt: Epoch,
    },
    /// Give the attempt up; it took too long.
    Cancel {
        /// Which one.
        attempt: Epoch,
    },
    /// Send a PING, and say when it is answered, or that it cannot be.
    Ping {
        /// Goes into the answer.
        ping: PingId,
    },
    /// Close the connection at once; what is under way on it fails.
    Abandon {
        /// Which one.
        epoch: Epoch,
    },
}

/// What the world tells a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkInput {
    /// The connection stands and is ready for calls.
    Connected {
        /// From the effect.
        attempt: Epoch,
    },
    /// There is no connection.
    ConnectFailed {
        /// From the effect.
        attempt: Epoch,
        /// Why.
        failure: ConnectFailure,
    },
    /// A PING was answered, whatever the answer.
    Pong {
        /// From the effect.
        ping: PingId,
    },
    /// A PING cannot be answered any more.
    Missed {
        /// From the effect.
        ping: PingId,
    },
    /// A call was not answered within its deadline.
    CallTimedOut {
        /// On which connection.
        epoch: Epoch,
        /// When it was sent, at the latest.
        began: Instant,
        /// How long it waited.
        waited: Duration,
    },
    /// A call was answered, whatever the answer. Needs telling only after one that was not.
    CallAnswered {
        /// On which connection.
        epoch: Epoch,
    },
    /// The connection is closed.
    Closed {
        /// Which one.
        epoch: Epoch,
    },
    /// The server answered that it cannot be used.
    Unfit {
        /// On which connection.
        epoch: Epoch,
        /// Why.
        unfit: Unfit,
    },
}

/// What a link reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkUpdate {
    /// Calls are served from now on.
    Up {
        /// On which connection.
        epoch: Epoch,
    },
    /// Calls fail from now on.
    Down {
        /// Which connection is lost.
        epoch: Epoch,
        /// Why.
        why: DownReason,
    },
    /// An attempt failed, and the link is still down.
    StillDown {
        /// Why.
        why: DownReason,
    },
}

/// What happened to a link so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Connections that were made.
    pub connects: u64,
    /// Attempts that failed.
    pub connect_failures: u64,
    /// Connections that were lost, for any reason.
    pub losses: u64,
    /// Connections that were given up because nothing answered.
    pub silences: u64,
    /// Time-outs of calls that counted as a sign of silence.
    pub timeouts: u64,
    /// Answers that the server cannot be used.
    pub unfit: u64,
    /// Inputs that came late or to nothing.
    pub ignored: u64,
}
