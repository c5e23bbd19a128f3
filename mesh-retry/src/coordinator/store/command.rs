//! What is asked of a store. Decides nothing.

use core::time::Duration;

use super::key::{Fence, Fingerprint, OwnerToken, ProcessId, StateKey};
use crate::budget::TokenBucketConfig;

/// How long the result of an operation may be that is kept to be told again.
pub const RESULT_BYTES_MAX: usize = 64 * 1024;

/// For how long after its latest settlement a process counts among those that share a budget.
pub const PROCESS_COUNTS_FOR: Duration = Duration::from_secs(15);

/// For how long after its latest settlement a process is known to a budget.
pub const PROCESS_KEPT_FOR: Duration = Duration::from_secs(60);

/// One command: carried out as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreCommand {
    /// Tells a budget what a process did, and asks for what it may do.
    Settle(Settle),
    /// Takes numbers of a counter that all retriers share.
    TakeSlots(TakeSlots),
    /// Begins an operation that is to be carried out once.
    Begin(Begin),
    /// Stays its owner for longer.
    Renew(Renew),
    /// Ends it with a result.
    Finish(Finish),
    /// Ends it as one that was certainly not carried out.
    Abandon(Abandon),
    /// Says what a process thinks of a subject.
    Vote(Vote),
    /// Asks to be the one who tries a subject that is thought to be down.
    Probe(Probe),
    /// Lets another be the one.
    ReleaseProbe(ReleaseProbe),
}

/// Tells a budget what a process did since it last settled, and asks for tokens, each of which is one retry or hedge.
///
/// A store carries out each epoch of a process once: the same epoch again is answered as before and changes nothing, and an
/// earlier one grants nothing and changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Which budget.
    pub budget: StateKey,
    /// What all processes together may do.
    pub limits: TokenBucketConfig,
    /// Who settles.
    pub process: ProcessId,
    /// Its number among the settlements of this process, from 1, without gaps.
    pub epoch: u64,
    /// How many first attempts the process has made since its start, as far as they count for this budget.
    pub cumulative_requests: u64,
    /// How many of these were told by settlements before this one, whether their replies came or not. They are not credited
    /// again, even by a store that has forgotten them.
    pub reported_requests: u64,
    /// How many more tokens it wants.
    pub want: u32,
    /// How many of those it was granted it still holds, unspent.
    pub kept: u32,
    /// How many of those it was granted it gives back, unspent. A store takes back no more than it believes to be held.
    pub returned: u32,
}

impl Settle {
    /// For how long a store keeps the bucket when nobody settles with it: until time alone has filled it, so that it is no
    /// gain that the bucket is full where it is made anew; but at least for as long as it knows its processes, and at most
    /// for a day.
    #[must_use]
    pub fn bucket_kept_for(&self) -> Duration {
        let (burst, per_second) = (u64::from(self.limits.burst_milli), u64::from(self.limits.per_second_milli));
        let fills_in = if per_second == 0 { BUCKET_KEPT_MAX } else { Duration::from_secs(burst.div_ceil(per_second)) };
        fills_in.clamp(PROCESS_KEPT_FOR, BUCKET_KEPT_MAX)
    }
}

const BUCKET_KEPT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Takes the next `count` numbers of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeSlots {
    /// Which counter.
    pub counter: StateKey,
    /// How many: at least 1.
    pub count: u32,
}

/// Begins an operation, unless somebody has. May be sent again with the same owner: as long as he has it, it is answered as
/// before, and his lease begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Which operation.
    pub key: StateKey,
    /// What makes it what it is; another under the same key is refused.
    pub fingerprint: Fingerprint,
    /// The owner it gets. The same one again is answered as before.
    pub owner: OwnerToken,
    /// For how long nobody else takes it over.
    pub lease: Duration,
    /// For how long after the lease the key is remembered, so that whoever begins it next is told that the outcome is
    /// unknown. Renewing it begins this time anew, too.
    pub keep: Duration,
}

/// Stays the owner of an operation, though his lease may have ended, as long as nobody has taken over. May be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renew {
    /// Which operation.
    pub key: StateKey,
    /// Its owner.
    pub owner: OwnerToken,
    /// The owner's fence.
    pub fence: Fence,
    /// For how long from now. Zero hands the operation over: the next to begin it takes over at once.
    pub lease: Duration,
}

/// Ends an operation with a result, which whoever begins it again is told. His lease may have ended, as long as nobody has
/// taken over. May be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Which operation.
    pub key: StateKey,
    /// Its owner.
    pub owner: OwnerToken,
    /// The owner's fence.
    pub fence: Fence,
    /// At most [`RESULT_BYTES_MAX`] bytes, which a store on the network seals.
    pub result: Vec<u8>,
    /// For how long it is told.
    pub keep: Duration,
}

/// Ends an operation that was certainly not carried out, so that the next to begin it is the first. May be sent again, and is
/// [fenced](super::Abandoned::Fenced) then. Not for an owner who took over and does not know what the one before did: he
/// hands it over ([`Renew::lease`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandon {
    /// Which operation.
    pub key: StateKey,
    /// Its owner.
    pub owner: OwnerToken,
    /// The owner's fence.
    pub fence: Fence,
}

/// Says what a process thinks of a subject. Each process has one vote, and the latest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// What is voted on: an instance as it is seen from one zone, say.
    pub subject: StateKey,
    /// Who votes.
    pub voter: ProcessId,
    /// Whether its own breaker for the subject is open.
    pub open: bool,
    /// For how long the vote counts.
    pub live_for: Duration,
}

/// Asks to be the only one who tries a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which subject.
    pub subject: StateKey,
    /// Who asks. Whoever has it keeps it for another `lease`.
    pub holder: ProcessId,
    /// For how long nobody else is.
    pub lease: Duration,
}

/// Lets another try the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseProbe {
    /// Which subject.
    pub subject: StateKey,
    /// Who had it; nothing happens where it was another.
    pub holder: ProcessId,
}
