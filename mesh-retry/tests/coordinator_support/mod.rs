//! A store behind a network that loses, repeats and delays.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

pub(crate) mod callers;
pub(crate) mod voter;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mesh_core::service::ConfigError;
use mesh_retry::coordinator::store::{MemoryStore, StoreCommand, StoreFailure, StoreReply, StoreTime};
use mesh_retry::coordinator::{SendId, Sending, StoreAnswer, Wake};
use mesh_retry::{Instant, Rng};
use proptest::prelude::*;

pub(crate) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The field that a configuration is refused for.
pub(crate) fn refused(checked: Result<(), ConfigError>) -> Option<&'static str> {
    checked.err().map(|error| error.problems()[0].field())
}

/// Counts how often it was called.
#[derive(Debug, Default)]
pub(crate) struct Bell(AtomicU32);

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    /// How often since this was last asked.
    pub(crate) fn rung(&self) -> u32 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// What becomes of what is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Faults {
    /// Of 1,000 commands, and of 1,000 replies, so many are lost.
    pub(crate) lost_milli: u64,
    /// Of 1,000 commands so many arrive twice.
    pub(crate) repeated_milli: u64,
    /// Of 1,000 commands so many are refused.
    pub(crate) refused_milli: u64,
    /// Each takes up to so long each way.
    pub(crate) delay_max: Duration,
}

impl Faults {
    pub(crate) const NONE: Self = Self { lost_milli: 0, repeated_milli: 0, refused_milli: 0, delay_max: ms(5) };
}

/// From a network that hardly does anything wrong to one that does all of it.
pub(crate) fn any_faults() -> impl Strategy<Value = Faults> {
    let delay = prop_oneof![0..20_u64, 0..400_u64, 0..3000_u64];
    (0..400_u64, 0..300_u64, 0..200_u64, delay).prop_map(|(lost_milli, repeated_milli, refused_milli, delay)| Faults {
        lost_milli,
        repeated_milli,
        refused_milli,
        delay_max: ms(delay),
    })
}

enum Packet {
    Command { from: usize, send: Sending },
    Reply { to: usize, id: SendId, answer: StoreAnswer },
}

/// The store, and what is under way to it and from it.
pub(crate) struct Network {
    pub(crate) store: MemoryStore,
    pub(crate) faults: Faults,
    rng: Rng,
    packets: BTreeMap<(Instant, u64), Packet>,
    sequence: u64,
}

/// A command that the store carried out.
pub(crate) type Carried = (usize, StoreCommand, StoreReply);

impl Network {
    pub(crate) fn new(faults: Faults, seed: u64) -> Self {
        let rng = Rng::from_seed(seed);
        Self { store: MemoryStore::new(), faults, rng, packets: BTreeMap::new(), sequence: 0 }
    }

    pub(crate) fn send(&mut self, now: Instant, from: usize, send: Sending) {
        if self.happens(self.faults.refused_milli) {
            let (id, answer) = (send.id, Err(StoreFailure::NotDone));
            return self.post(now, Packet::Reply { to: from, id, answer });
        }
        if self.happens(self.faults.repeated_milli) {
            self.post(now, Packet::Command { from, send: send.clone() });
        }
        if !self.happens(self.faults.lost_milli) {
            self.post(now, Packet::Command { from, send });
        }
    }

    /// When the next of what is under way arrives.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.packets.keys().next().map(|(at, _)| *at)
    }

    /// Lets the next arrive: a reply at its process, or a command at the store.
    pub(crate) fn deliver(&mut self) -> (Option<(usize, SendId, StoreAnswer)>, Option<Carried>) {
        let Some(((now, _), packet)) = self.packets.pop_first() else { return (None, None) };
        match packet {
            Packet::Reply { to, id, answer } => (Some((to, id, answer)), None),
            Packet::Command { from, send } => {
                let reply = self.store.apply(store_time(now), &send.command);
                if !self.happens(self.faults.lost_milli) {
                    self.post(now, Packet::Reply { to: from, id: send.id, answer: Ok(reply.clone()) });
                }
                (None, Some((from, send.command, reply)))
            }
        }
    }

    /// Nothing that is under way arrives.
    pub(crate) fn cut(&mut self) {
        self.packets.clear();
    }

    fn post(&mut self, now: Instant, packet: Packet) {
        let at = now + self.rng.up_to(self.faults.delay_max);
        self.packets.insert((at, self.sequence), packet);
        self.sequence += 1;
    }

    fn happens(&mut self, milli: u64) -> bool {
        self.rng.below(1000) < milli
    }
}

/// The store's clock: years ahead of the processes'.
pub(crate) fn store_time(now: Instant) -> StoreTime {
    StoreTime::from_micros(1_800_000_000_000_000 + now.as_nanos() / 1000)
}
