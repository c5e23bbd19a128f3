//! Carries the commands out in memory: for one process, for tests, and for a simulated fleet. What Redis does is held to the
//! same rules (mesh-cache's conformance suite).

mod expiring;
mod idempotency;
mod settle;
mod slots;
mod term;
mod votes;

use super::command::StoreCommand;
use super::reply::{StoreReply, StoreTime};
use idempotency::Operations;
use settle::Budgets;
use slots::Counters;
use votes::Votes;

/// A store that is one value. It reads no clock: each command is carried out at the time it is told, which may go back, as
/// the clock of a server does that is set right or that another server's takes the place of.
///
/// What has not been used for the time that its command names is forgotten, and of each kind of state no more is kept than a
/// fixed number of keys, of operations 4,096: then what would be forgotten next is forgotten first; but no operation is, for
/// it could be carried out twice then: while there are as many of them, a new one finds it [full](super::Begun::Full). A clone
/// is what a replica has that is behind.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    budgets: Budgets,
    counters: Counters,
    operations: Operations,
    votes: Votes,
}

impl MemoryStore {
    /// A store that knows of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Carries out `command` at `now`, of the store's clock.
    pub fn apply(&mut self, now: StoreTime, command: &StoreCommand) -> StoreReply {
        match command {
            StoreCommand::Settle(settle) => StoreReply::Settled(self.budgets.settle(now, settle)),
            StoreCommand::TakeSlots(take) => StoreReply::Slots(self.counters.take(now, take)),
            StoreCommand::Begin(begin) => StoreReply::Begun(self.operations.begin(now, begin)),
            StoreCommand::Renew(renew) => StoreReply::Renewed(self.operations.renew(now, renew)),
            StoreCommand::Finish(finish) => StoreReply::Finished(self.operations.finish(now, finish)),
            StoreCommand::Abandon(abandon) => StoreReply::Abandoned(self.operations.abandon(now, abandon)),
            StoreCommand::Vote(vote) => StoreReply::Voted(self.votes.vote(now, vote)),
            StoreCommand::Probe(probe) => StoreReply::Probed(self.votes.probe(now, probe)),
            StoreCommand::ReleaseProbe(release) => StoreReply::Probed(self.votes.release(now, release)),
        }
    }
}
