//! The clients' coordinator: the library's machines, and between them and the library's store a network.

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, channel};

use mesh_core::machine::Machine as _;
use mesh_core::time::Instant;
use mesh_retry::budget::TokenBucketConfig;
use mesh_retry::coordinator::budget::{FleetBudget, FleetBudgetConfig, FleetEffect, FleetInput, FleetMachine, Wake};
use mesh_retry::coordinator::store::{
    MemoryStore, ProcessId, Settle, Settled, StateKey, StoreCommand, StoreReply, StoreTime,
};
use slotmap::{DefaultKey, SlotMap};

use super::law::Law;
use super::random::Streams;
use super::{Course, Due, Engine};
use crate::model::observe::Observer;
use crate::model::scenario::Store;

pub(super) type LetterKey = DefaultKey;

/// Clients whose budgets want their coordinators to look, in the order in which they rang.
#[derive(Debug)]
pub(crate) struct Bells(Receiver<u32>);

/// What a client's budget rings.
#[derive(Debug)]
struct Bell {
    client: u32,
    ring: Sender<u32>,
}

impl Wake for Bell {
    fn wake(&self) {
        // Nobody listens any more once the run is over.
        let _ = self.ring.send(self.client);
    }
}

/// A budget for each of `count` clients, who all share `limits`.
pub(super) fn budgets_of_a_fleet(count: u32, limits: TokenBucketConfig) -> (Vec<Arc<FleetBudget>>, Bells) {
    let mut config = FleetBudgetConfig::default();
    (config.limits, config.processes_assumed) = (limits, count);
    let (ring, rung) = channel();
    let budget = |client| Arc::new(FleetBudget::new(&config, Box::new(Bell { client, ring: ring.clone() })));
    ((0..count).map(budget).collect(), Bells(rung))
}

/// The coordinator's parts: a machine for each client, the store, and what is on the way between them.
#[derive(Debug)]
pub(super) struct Fleet {
    clients: Vec<Member>,
    store: MemoryStore,
    latency: Law,
    streams: Streams,
    sent: u64,
    letters: SlotMap<LetterKey, Letter>,
    outages: u32,
}

#[derive(Debug)]
struct Member {
    machine: FleetMachine,
    /// When its machine is due.
    due: Option<Instant>,
}

/// A settlement on its way to the store, or its reply on its way back.
#[derive(Clone, Copy, Debug)]
struct Letter {
    client: u32,
    number: u64,
    settle: Settle,
    settled: Option<Settled>,
}

impl Fleet {
    pub(super) fn new(budgets: &[Arc<FleetBudget>], store: &Store, seed: u64) -> Self {
        let seeds = Streams::new(seed, "coordinator");
        let machine = |(client, budget): (u32, &Arc<FleetBudget>)| {
            let process = ProcessId::new(u128::from(client) + 1);
            let seed = seeds.seed(u64::from(client));
            FleetMachine::new(Arc::clone(budget), StateKey::new(1), process, seed, Instant::ZERO)
        };
        Self {
            clients: (0..).zip(budgets).map(|of| Member { machine: machine(of), due: None }).collect(),
            store: MemoryStore::new(),
            latency: Law::of(&store.latency),
            streams: Streams::new(seed, "store"),
            sent: 0,
            letters: SlotMap::new(),
            outages: 0,
        }
    }

    /// An outage begins or ends.
    pub(super) fn turn(&mut self, begins: bool) {
        self.outages = if begins { self.outages + 1 } else { self.outages.saturating_sub(1) };
    }

    /// Puts a settlement on its way; returns how long it takes.
    fn send(&mut self, client: u32, settle: Settle) -> (LetterKey, Duration) {
        self.sent += 1;
        let letter = Letter { client, number: self.sent, settle, settled: None };
        (self.letters.insert(letter), self.takes(self.sent, 0))
    }

    fn takes(&self, number: u64, leg: u64) -> Duration {
        Duration::from_nanos(self.latency.nanos(&mut self.streams.stream(number, leg)))
    }

    /// Carries out the settlement that came to the store at `now`; returns how long its reply takes, where there is one.
    fn carry_out(&mut self, now: Instant, key: LetterKey) -> Option<Duration> {
        if self.outages > 0 {
            self.letters.remove(key);
            return None;
        }
        let letter = self.letters.get_mut(key)?;
        let number = letter.number;
        let now = StoreTime::from_micros(now.as_nanos() / 1_000);
        if let StoreReply::Settled(settled) = self.store.apply(now, &StoreCommand::Settle(letter.settle)) {
            letter.settled = Some(settled);
        }
        Some(self.takes(number, 1))
    }

    /// What came back to its client, and which; none where the store is cut off.
    fn open(&mut self, key: LetterKey) -> Option<(u32, FleetInput)> {
        let letter = self.letters.remove(key)?;
        let settled = letter.settled.filter(|_| self.outages == 0)?;
        Some((letter.client, FleetInput::Reply { epoch: letter.settle.epoch, settled }))
    }
}

impl<C: Course, O: Observer> Engine<'_, C, O> {
    /// Lets every client's coordinator begin.
    pub(super) fn introduce_coordinators(&mut self) {
        for client in 0..self.fleet.as_ref().map_or(0, |fleet| fleet.clients.len() as u32) {
            self.coordinate(client);
        }
    }

    /// Lets those coordinators look whose clients had no token at hand.
    #[inline]
    pub(super) fn answer_bells(&mut self) {
        if self.fleet.is_some() {
            let course = self.course;
            while let Some(client) = course.fleet().and_then(|(_, Bells(rung))| rung.try_recv().ok()) {
                self.instruct_coordinator(client, FleetInput::Woken);
            }
        }
    }

    /// A client's coordinator is due.
    pub(super) fn turn_coordinator(&mut self, client: u32) {
        let local = self.local(self.now);
        let Some(member) = self.fleet.as_mut().and_then(|fleet| fleet.clients.get_mut(client as usize)) else { return };
        if member.due.is_none_or(|due| due > self.now) {
            return;
        }
        member.due = None;
        member.machine.handle_timeout(local);
        self.coordinate(client);
    }

    /// A settlement comes to the store.
    pub(super) fn reach_store(&mut self, letter: LetterKey) {
        if let Some(takes) = self.fleet.as_mut().and_then(|fleet| fleet.carry_out(self.now, letter)) {
            self.agenda.push(self.now + takes, Due::StoreReplied(letter));
        }
    }

    /// The store's reply comes back to its client.
    pub(super) fn hear_store(&mut self, letter: LetterKey) {
        if let Some((client, input)) = self.fleet.as_mut().and_then(|fleet| fleet.open(letter)) {
            self.instruct_coordinator(client, input);
        }
    }

    fn instruct_coordinator(&mut self, client: u32, input: FleetInput) {
        let local = self.local(self.now);
        if let Some(member) = self.fleet.as_mut().and_then(|fleet| fleet.clients.get_mut(client as usize)) {
            member.machine.handle_input(local, input);
            self.coordinate(client);
        }
    }

    /// Does what a client's coordinator asks for and sets the time of its next turn.
    pub(super) fn coordinate(&mut self, client: u32) {
        let Some(mut fleet) = self.fleet.take() else { return };
        if let Some(member) = fleet.clients.get_mut(client as usize) {
            while member.machine.poll_event().is_some() {}
            let due = member.machine.poll_timeout().map(|local| self.to_virtual(local));
            if due.is_some() && due != member.due {
                member.due = due;
                self.agenda.push(due.unwrap_or(self.now), Due::Coordinator(client));
            }
            let settlements: Vec<_> = core::iter::from_fn(|| member.machine.poll_effect()).collect();
            for effect in settlements {
                if let FleetEffect::Send(settle) = effect {
                    let (letter, takes) = fleet.send(client, settle);
                    self.agenda.push(self.now + takes, Due::StoreReached(letter));
                }
            }
        }
        self.fleet = Some(fleet);
    }
}
