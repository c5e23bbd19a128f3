//! One command at a time, and how long its answer is waited for. Decides nothing else.

use core::time::Duration;

use mesh_core::time::Instant;

use super::store::{StoreCommand, StoreFailure, StoreReply};

/// Names one sending of a command among those of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendId(u64);

impl SendId {
    /// The sending numbered `number`.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// A command to be carried to the store, whose answer is to bear the same id. An answer that comes when the machine waits
/// for it no longer is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// Which sending it is.
    pub id: SendId,
    /// The command.
    pub command: StoreCommand,
}

/// What becomes of a command that is sent.
pub type StoreAnswer = Result<StoreReply, StoreFailure>;

/// The command under way, if there is one.
#[derive(Debug)]
pub(super) struct Exchange {
    sent: u64,
    step: u64,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    sent_at: Instant,
    deadline: Instant,
}

impl Exchange {
    /// The only one of its machine.
    pub(super) const fn new() -> Self {
        Self::one_of(0, 1)
    }

    /// The one with this `number`, from 0, of `step` that a machine has: their ids differ.
    pub(super) const fn one_of(number: u64, step: u64) -> Self {
        Self { sent: number, step, open: None }
    }

    /// Sends `command`, in the place of any that is under way.
    pub(super) fn send(&mut self, now: Instant, within: Duration, command: StoreCommand) -> Sending {
        self.sent += self.step;
        self.open = Some(Open { sent_at: now, deadline: now.after(within) });
        Sending { id: SendId(self.sent), command }
    }

    /// Takes the answer to `id`; returns when that was sent, unless nobody waits for it.
    pub(super) fn answered(&mut self, id: SendId) -> Option<Instant> {
        if id.0 != self.sent {
            return None;
        }
        self.open.take().map(|open| open.sent_at)
    }

    /// Where the answer has not come in time, when the command was sent; it is waited for no longer then.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Instant> {
        self.open.take_if(|open| open.deadline <= now).map(|open| open.sent_at)
    }

    /// Waits for no answer any more.
    pub(super) const fn forget(&mut self) {
        self.open = None;
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.map(|open| open.deadline)
    }
}
