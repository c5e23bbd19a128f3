//! What lies between the processes and the store: it delays, loses and copies.

use core::time::Duration;
use std::collections::BTreeMap;

use mesh_core::rng::Rng;
use mesh_core::time::Instant;

use crate::coordinator::store::{Settle, Settled, StoreFailure};

/// What goes wrong between the processes and the store, in thousandths of the commands, unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Commands that do not arrive.
    pub lose_commands_milli: u32,
    /// Of those that arrive, those whose reply does not come back.
    pub lose_replies_milli: u32,
    /// Commands that arrive twice.
    pub copy_milli: u32,
    /// Commands that are refused.
    pub refuse_milli: u32,
    /// How long a message is under way at most: a second at most.
    pub delay_max: Duration,
    /// Whether every command is refused.
    pub is_refusing: bool,
    /// Whether no command arrives.
    pub is_silent: bool,
}

impl Default for Faults {
    /// Nothing goes wrong, and each way takes a millisecond.
    fn default() -> Self {
        Self {
            lose_commands_milli: 0,
            lose_replies_milli: 0,
            copy_milli: 0,
            refuse_milli: 0,
            delay_max: Duration::from_millis(1),
            is_refusing: false,
            is_silent: false,
        }
    }
}

/// Something that happens to a process or the store at its time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    Command {
        settle: Settle,
        is_copied: bool,
    },
    Reply {
        epoch: u64,
        settled: Settled,
    },
    Failure {
        epoch: u64,
        failure: StoreFailure,
    },
    /// A call's wait is over that was told to ask again.
    Again,
}

/// What is under way, in the order of time. Each message is to or from the process with the number before it.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) faults: Faults,
    under_way: BTreeMap<(Instant, u64), (u64, Message)>,
    sent: u64,
    rng: Rng,
}

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self { faults: Faults::default(), under_way: BTreeMap::new(), sent: 0, rng: Rng::from_seed(seed) }
    }

    /// A process sends a command.
    pub(super) fn command(&mut self, now: Instant, process: u64, settle: Settle) {
        let faults = self.faults;
        let fails = |failure| Message::Failure { epoch: settle.epoch, failure };
        if faults.is_refusing || self.draws(faults.refuse_milli) {
            return self.put(now, process, fails(StoreFailure::NotDone));
        }
        if faults.is_silent || self.draws(faults.lose_commands_milli) {
            // Sometimes it is known at once that nobody knows.
            if self.draws(500) {
                self.put(now, process, fails(StoreFailure::Unknown));
            }
            return;
        }
        let is_copied = self.draws(faults.copy_milli);
        for _ in 0..1 + u32::from(is_copied) {
            self.put(now, process, Message::Command { settle, is_copied });
        }
    }

    /// The store replies.
    pub(super) fn reply(&mut self, now: Instant, process: u64, epoch: u64, settled: Settled) {
        if !self.draws(self.faults.lose_replies_milli) {
            self.put(now, process, Message::Reply { epoch, settled });
        }
    }

    fn put(&mut self, now: Instant, process: u64, message: Message) {
        let delay = self.rng.up_to(self.faults.delay_max.min(DELAY_MAX));
        self.put_at(now.after(delay), process, message);
    }

    pub(super) fn put_at(&mut self, at: Instant, process: u64, message: Message) {
        self.sent += 1;
        self.under_way.insert((at, self.sent), (process, message));
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.under_way.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(u64, Message)> {
        let due = self.under_way.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(due.remove())
    }

    /// The store's state is lost. What was sent twice is not delivered to what takes its place: a command that two states
    /// carry out, one after the other, counts twice.
    pub(super) fn forget_copies(&mut self) {
        self.under_way.retain(|_, (_, message)| !matches!(message, Message::Command { is_copied: true, .. }));
    }

    /// How many tokens are on their way to a process or back.
    pub(super) fn tokens(&self) -> u64 {
        let of = |message: &Message| match message {
            Message::Command { settle, .. } => settle.returned,
            Message::Reply { settled, .. } => settled.granted,
            Message::Failure { .. } | Message::Again => 0,
        };
        self.under_way.values().map(|(_, message)| u64::from(of(message))).sum()
    }

    /// A wait before a call asks again: 20 to 120 ms.
    pub(super) fn backoff(&mut self) -> Duration {
        Duration::from_millis(20) + self.rng.up_to(Duration::from_millis(100))
    }

    pub(super) fn draws(&mut self, milli: u32) -> bool {
        self.rng.below(1_000) < u64::from(milli)
    }
}

/// How long a command is under way at most.
pub(super) const DELAY_MAX: Duration = Duration::from_secs(1);
