//! Why there is no connection, in as few words as a decision needs. Carries no text of the server's.

use std::fmt;

/// Counts connections: of two, the later one has the higher number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DownReason {
    /// The first attempt to connect is under way.
    Starting,
    /// Its owner closed it.
    Closed,
    /// The server, or the network, ended the connection.
    Disconnected,
    /// Call after call went unanswered.
    Silent,
    /// A PING went unanswered.
    PingMissed,
    /// The server answers that it is not the one to ask now.
    Unfit(Unfit),
    /// No node of the cluster serves the key's slot.
    Unassigned,
    /// Connecting failed.
    Connect(ConnectFailure),
}

/// How connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Nothing listens there, or the way there is barred.
    Unreachable,
    /// It took longer than the connect deadline.
    TimedOut,
    /// TLS was not agreed on: the certificate, a name, a version.
    Tls,
    /// The way there is plain text, which is not allowed.
    PlainText,
    /// The server refuses user or password.
    Auth,
    /// What listens there does not speak RESP3: no Redis, or one before version 6.
    Protocol,
    /// The server may not, or cannot, do what is asked of it on each connection.
    Refused,
    /// The server is not to be used now.
    Unfit(Unfit),
    /// The connection broke during the handshake.
    Disconnected,
    /// No sentinel answered, or none knows the master.
    NoMaster,
    /// What the sentinels name says that it is no master.
    NotMaster,
    /// No node of the cluster says which serves what.
    NoTopology,
}

/// A server that answers, and cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unfit {
    /// It loads its data.
    Loading,
    /// A script runs and does not end.
    Busy,
    /// It is a replica, so somebody else is the master now.
    ReadOnly,
    /// It is a replica that has lost its master.
    MasterDown,
    /// It has no memory for writes.
    Oom,
}

impl Unfit {
    /// Its name, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Busy => "busy",
            Self::ReadOnly => "read-only",
            Self::MasterDown => "master-down",
            Self::Oom => "out-of-memory",
        }
    }

    /// Whether another server is to be looked for, or this one again later: a busy or full one is still the right one.
    #[must_use]
    pub const fn ends_the_connection(self) -> bool {
        match self {
            Self::Loading | Self::ReadOnly | Self::MasterDown => true,
            Self::Busy | Self::Oom => false,
        }
    }
}

impl ConnectFailure {
    /// Its name, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "connect-timed-out",
            Self::Tls => "tls",
            Self::PlainText => "plain-text",
            Self::Auth => "auth",
            Self::Protocol => "protocol",
            Self::Refused => "handshake-refused",
            Self::Unfit(unfit) => unfit.name(),
            Self::Disconnected => "handshake-disconnected",
            Self::NoMaster => "no-master",
            Self::NotMaster => "not-master",
            Self::NoTopology => "no-topology",
        }
    }
}

impl DownReason {
    /// Its name, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Closed => "closed",
            Self::Disconnected => "disconnected",
            Self::Silent => "silent",
            Self::PingMissed => "ping-missed",
            Self::Unfit(unfit) => unfit.name(),
            Self::Unassigned => "slot-unassigned",
            Self::Connect(failure) => failure.name(),
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
