//! Processes that share a budget, their calls, and the store.

use core::time::Duration;

use mesh_core::machine::Machine as _;
use mesh_core::time::Instant;

use super::ledger::{Ledger, There};
use super::network::{Faults, Message, Network};
use super::process::{Process, ShareRate};
use crate::budget::{After, Answer, Budget as _, Extra};
use crate::coordinator::budget::{FleetBudgetConfig, FleetEffect, FleetEvent, FleetInput, FleetState};
use crate::coordinator::store::{MemoryStore, Settle, Settled, Settlement, StoreCommand, StoreReply, StoreTime};

/// A fleet, its network and its store, in a time of its own. After every step the bound is checked.
#[derive(Debug)]
pub struct Fleet {
    config: FleetBudgetConfig,
    seed: u64,
    now: Instant,
    processes: Vec<Process>,
    started: u64,
    network: Network,
    store: MemoryStore,
    /// What a replica has that is behind.
    copy: MemoryStore,
    /// By how much the store's clock is ahead, in microseconds.
    store_ahead: i64,
    ledger: Ledger,
    counts: Counts,
}

/// What a fleet has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// First attempts.
    pub requests: u64,
    /// Retries that were granted.
    pub retries: u64,
    /// Of those, how many by a local share.
    pub alone: u64,
    /// Retries that were granted and not made.
    pub not_made: u64,
    /// Of those, how many gave back what they were paid with, or a part of it where a share was nearly full.
    pub given_back: u64,
    /// Retries that were denied.
    pub denied: u64,
    /// Retries that had no answer at the end of their wait either.
    pub silent: u64,
    /// Settlements that the store carried out.
    pub settled: u64,
    /// Settlements that came twice or too late.
    pub repeated: u64,
    /// Tokens that went back.
    pub returned: u64,
    /// How often the store failed a process.
    pub failures: u64,
    /// How often a process went by its share.
    pub fallbacks: u64,
    /// How often the store's state was lost.
    pub losses: u64,
}

impl Fleet {
    /// `count` processes that begin now, and a store that knows nothing.
    #[must_use]
    pub fn new(config: &FleetBudgetConfig, count: usize, seed: u64) -> Self {
        let mut fleet = Self {
            config: *config,
            seed,
            now: Instant::from_millis(1),
            processes: Vec::new(),
            started: 0,
            network: Network::new(seed),
            store: MemoryStore::new(),
            copy: MemoryStore::new(),
            store_ahead: 1_000_000_000_000,
            ledger: Ledger::new(config.limits),
            counts: Counts::default(),
        };
        for _ in 0..count {
            let process = fleet.begin();
            fleet.processes.push(process);
        }
        fleet.check();
        fleet
    }

    /// What it has done.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Who answers the calls of a process.
    #[must_use]
    pub fn state(&self, process: usize) -> FleetState {
        self.processes[process].machine.state()
    }

    /// How many retries a process has been granted, since it began.
    #[must_use]
    pub fn retries_of(&self, process: usize) -> u64 {
        self.processes[process].retries()
    }

    /// A call of `process` succeeds.
    pub fn succeed(&mut self, process: usize) {
        self.counts.requests += 1;
        self.ledger.requested(self.now);
        self.processes[process].budget.deposit(self.now);
        self.check();
    }

    /// A call of `process` fails, and asks for a retry: again at the end of its wait where it is told so.
    pub fn fail(&mut self, process: usize) {
        self.succeed(process);
        if self.ask(process) == Answer::Later {
            let at = self.now.after(self.network.backoff());
            self.network.put_at(at, self.processes[process].number, Message::Again);
        }
    }

    /// A retry that `process` was granted is not made: the latest, or the earliest of the latest ones. Its call is told the
    /// time, unless it `is_late`: then it knows the one at which it paid.
    pub fn not_make(&mut self, process: usize, is_latest: bool, is_late: bool) {
        let process = &mut self.processes[process];
        let Some(grant) = process.take_grant(is_latest) else { return };
        let back = process.not_made(self.now, &grant, is_late);
        self.counts.not_made += 1;
        self.counts.given_back += u64::from(back > 0);
        self.ledger.given_back(back);
        self.check();
    }

    /// Each process has `count` failing calls every 20 ms, for as long as `lasts`.
    pub fn press(&mut self, count: u64, lasts: Duration) {
        let end = self.now.after(lasts);
        while self.now < end {
            for process in 0..self.processes.len() {
                (0..count).for_each(|_| self.fail(process));
            }
            self.advance(Duration::from_millis(20));
        }
    }

    /// Time passes, and what is due happens.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now.after(by);
        while let Some(next) = self.next_at().filter(|next| *next <= end) {
            self.pass_to(next);
            while let Some((number, message)) = self.network.pop_due(self.now) {
                self.deliver(number, message);
            }
            for at in 0..self.processes.len() {
                if self.processes[at].due_at().is_some_and(|due| due <= self.now) {
                    let woken = self.processes[at].take_wake().then_some(FleetInput::Woken);
                    self.drive(at, woken);
                }
            }
        }
        self.pass_to(end);
    }

    /// Ends a process without a word, and starts another in its place.
    pub fn restart(&mut self, process: usize) {
        self.processes[process] = self.begin();
        self.check();
    }

    /// Tells a process that it is about to end.
    pub fn shut_down(&mut self, process: usize) {
        self.drive(process, Some(FleetInput::Shutdown));
    }

    /// Nobody drives the machine of a process for so long; its calls go on.
    pub fn stall(&mut self, process: usize, lasts: Duration) {
        self.processes[process].driven_from = self.now.after(lasts);
    }

    /// What goes wrong from now on.
    pub const fn set_faults(&mut self, faults: Faults) {
        self.network.faults = faults;
    }

    /// The store forgets everything.
    pub fn lose_state(&mut self) {
        self.replace_store(MemoryStore::new());
    }

    /// A replica is where the store is now, and stays behind.
    pub fn keep_copy(&mut self) {
        self.copy = self.store.clone();
    }

    /// The replica takes the store's place.
    pub fn fail_over(&mut self) {
        self.replace_store(self.copy.clone());
    }

    fn replace_store(&mut self, store: MemoryStore) {
        self.store = store;
        self.counts.losses += 1;
        self.ledger.state_lost();
        self.network.forget_copies();
        self.check();
    }

    /// Sets the store's clock ahead, or back, by so many microseconds.
    pub fn move_store_clock(&mut self, micros: i64) {
        self.store_ahead += micros;
        self.ledger.store_clock_moved(i128::from(micros));
        self.check();
    }

    fn begin(&mut self) -> Process {
        self.started += 1;
        let process = Process::begin(&self.config, self.started, self.seed, self.now);
        self.ledger.shares_gained(i128::from(process.budget.share().level_micros()));
        let burst = ShareRate::of(&self.config, self.config.processes_assumed).burst;
        assert_eq!(process.budget.share().level_micros(), burst, "a share begins with its part of the burst");
        process
    }

    fn next_at(&self) -> Option<Instant> {
        let due = self.processes.iter().filter_map(Process::due_at).min();
        due.into_iter().chain(self.network.next_at()).min()
    }

    fn pass_to(&mut self, at: Instant) {
        if at <= self.now {
            return;
        }
        let store_before = self.store_now().as_micros();
        let passed = at.since(self.now);
        for process in &self.processes {
            let gained = ShareRate::of(&self.config, process.heard).brings(passed);
            self.ledger.shares_gained(gained);
        }
        self.now = at;
        let moved = i128::from(self.store_now().as_micros()) - i128::from(store_before);
        self.ledger.store_clock_moved(moved);
        self.check();
    }

    fn store_now(&self) -> StoreTime {
        let micros = i128::from(self.now.as_nanos() / 1_000) + i128::from(self.store_ahead);
        StoreTime::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    fn deliver(&mut self, number: u64, message: Message) {
        if let Message::Command { settle, .. } = message {
            return self.carry_out(number, settle);
        }
        // Who has ended hears nothing.
        let Some(at) = self.processes.iter().position(|process| process.number == number) else { return };
        if self.processes[at].driven_from > self.now && !matches!(message, Message::Again) {
            let later = self.processes[at].driven_from;
            return self.network.put_at(later, number, message);
        }
        match message {
            Message::Command { .. } => {}
            Message::Reply { epoch, settled } => self.drive(at, Some(FleetInput::Reply { epoch, settled })),
            Message::Failure { epoch, failure } => self.drive(at, Some(FleetInput::Failed { epoch, failure })),
            Message::Again => {
                let is_silent = self.ask(at) == Answer::Later;
                self.counts.silent += u64::from(is_silent);
            }
        }
    }

    fn carry_out(&mut self, number: u64, settle: Settle) {
        let reply = self.store.apply(self.store_now(), &StoreCommand::Settle(settle));
        if let StoreReply::Settled(settled) = reply {
            self.note_settlement(&settle, &settled);
            self.network.reply(self.now, number, settle.epoch, settled);
        }
        self.check();
    }

    fn note_settlement(&mut self, settle: &Settle, settled: &Settled) {
        let is_applied = settled.settlement == Settlement::Applied;
        self.counts.settled += u64::from(is_applied);
        self.counts.repeated += u64::from(!is_applied);
        self.counts.returned += if is_applied { u64::from(settle.returned) } else { 0 };
    }

    /// Hands the machine of a process an input, or the time, and does what it asks for.
    fn drive(&mut self, at: usize, input: Option<FleetInput>) {
        let now = self.now;
        let process = &mut self.processes[at];
        process.handle(now, input);
        while let Some(FleetEffect::Send(settle)) = process.machine.poll_effect() {
            process.sent(now, &settle);
            self.network.command(now, process.number, settle);
        }
        while let Some(event) = process.machine.poll_event() {
            match event {
                FleetEvent::StateChanged { to, .. } => {
                    self.counts.fallbacks += u64::from(to == FleetState::LocalFallback);
                }
                FleetEvent::Settled { processes, .. } => process.heard = processes,
                FleetEvent::Unsettled { .. } => self.counts.failures += 1,
                FleetEvent::Answered(_) => {}
            }
        }
        self.check();
    }

    fn ask(&mut self, at: usize) -> Answer {
        let process = &mut self.processes[at];
        let tokens = process.budget.tokens();
        let answer = process.budget.withdraw(self.now, Extra::retry(After::Transient));
        match answer {
            Answer::Granted(paid) => {
                let is_alone = process.budget.tokens() == tokens;
                process.paid(self.now, paid, is_alone);
                self.counts.retries += 1;
                self.counts.alone += u64::from(is_alone);
                self.ledger.retried();
            }
            Answer::Later => {}
            Answer::Denied(_) => self.counts.denied += 1,
        }
        self.check();
        if self.processes[at].is_woken() && self.processes[at].driven_from <= self.now {
            self.processes[at].take_wake();
            self.drive(at, Some(FleetInput::Woken));
        }
        answer
    }

    fn check(&mut self) {
        let (mut leases, mut shares) = (i128::from(self.network.tokens()), 0);
        for process in &self.processes {
            process.check();
            leases += i128::from(process.tokens());
            let rate = ShareRate::of(&self.config, process.heard);
            shares += i128::from(process.budget.share().level_micros());
            shares += rate.brings(self.now.since(process.machine.seen.at));
        }
        self.ledger.check(self.now, There { leases: leases * 1_000_000, shares });
    }
}
