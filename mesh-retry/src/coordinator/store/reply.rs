//! What a store replies. Decides nothing.

use core::time::Duration;

use thiserror::Error;

use super::key::Fence;

/// A time of the store's own clock: microseconds since an epoch that is the store's (Redis: 1970).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreTime(u64);

impl StoreTime {
    /// So many microseconds after the store's epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the store's epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` it is; zero where it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A reply to the command of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreReply {
    /// To [`StoreCommand::Settle`](super::StoreCommand::Settle).
    Settled(Settled),
    /// To [`StoreCommand::TakeSlots`](super::StoreCommand::TakeSlots).
    Slots(Slots),
    /// To [`StoreCommand::Begin`](super::StoreCommand::Begin).
    Begun(Begun),
    /// To [`StoreCommand::Renew`](super::StoreCommand::Renew).
    Renewed(Renewed),
    /// To [`StoreCommand::Finish`](super::StoreCommand::Finish).
    Finished(Finished),
    /// To [`StoreCommand::Abandon`](super::StoreCommand::Abandon).
    Abandoned(Abandoned),
    /// To [`StoreCommand::Vote`](super::StoreCommand::Vote).
    Voted(Voted),
    /// To [`StoreCommand::Probe`](super::StoreCommand::Probe) and
    /// [`StoreCommand::ReleaseProbe`](super::StoreCommand::ReleaseProbe).
    Probed(Probed),
}

/// What a budget grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// When it was carried out, by the store's clock.
    pub at: StoreTime,
    /// Whether it was this settlement that was carried out now.
    pub settlement: Settlement,
    /// How many tokens the process gets: what it wanted at most.
    pub granted: u32,
    /// What is left for all, in thousandths of a token.
    pub left_milli: u32,
    /// How long time alone takes to bring what was not granted; `None` where it brings nothing. Zero where all was granted.
    pub wait: Option<Duration>,
    /// How many processes have settled with this budget lately, this one included: at least 1.
    pub processes: u32,
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was carried out.
    Applied,
    /// It had been carried out before; the reply is the same as then, but for the time and what is left.
    Repeated,
    /// A later one has been carried out: it grants nothing.
    Stale,
}

/// Numbers of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// When they were taken, by the store's clock.
    pub at: StoreTime,
    /// The first of them; the others follow.
    pub first: u64,
}

/// Whether an operation may be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Begun {
    /// Nobody has begun it: carry it out.
    Fresh {
        /// What orders the owner among those before and after.
        fence: Fence,
    },
    /// Somebody began it and has not been heard of within the lease: whether it was carried out is unknown.
    TakenOver {
        /// What orders the owner among those before and after.
        fence: Fence,
    },
    /// Somebody is at it.
    InFlight {
        /// For how long nobody else may take it over, unless the owner renews.
        lease_left: Duration,
    },
    /// It was carried out, with this result.
    Done {
        /// What [`Finish`](super::Finish) gave.
        result: Vec<u8>,
    },
    /// It was carried out, and with what result cannot be read: what the store has there is not what an owner told it.
    Unreadable,
    /// Another operation has the same key.
    Mismatch,
    /// Nobody has begun it, and the store has no room for one more: nothing was begun.
    Full,
}

/// Whether the caller is still the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// It is, for the lease it asked for.
    Kept,
    /// Another has taken over, or the key was forgotten.
    Fenced,
}

/// Whether a result was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// It is told to whoever begins the operation again; or it was kept before.
    Kept,
    /// Another has taken over, or the key was forgotten: nothing was kept.
    Fenced,
}

/// Whether an operation was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// The next to begin it is the first.
    Forgotten,
    /// Another has taken over, or the key was forgotten before.
    Fenced,
}

/// What processes think of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voted {
    /// How many have a vote that counts, the caller included.
    pub live: u32,
    /// How many of these are for open.
    pub open: u32,
}

/// Whether the caller is the one who tries a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// It is, for the lease it asked for.
    Mine,
    /// Another is.
    Others {
        /// For how long, unless it renews.
        lease_left: Duration,
    },
    /// Nobody is any more, or somebody else was.
    Released,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreFailure {
    /// The command was not carried out and will not be.
    #[error("the store did not carry out the command")]
    NotDone,
    /// It may have been carried out, or may be yet.
    #[error("whether the store carried out the command is unknown")]
    Unknown,
}

impl StoreFailure {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotDone => "not-done",
            Self::Unknown => "unknown",
        }
    }
}
