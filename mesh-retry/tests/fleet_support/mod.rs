//! One process of a fleet, driven by hand.
#![allow(dead_code, reason = "each suite uses what it needs")]

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::Arc;

use mesh_retry::budget::{After, Answer, Budget as _, End, Extra, Paid, TokenBucketConfig};
use mesh_retry::coordinator::budget::{
    FleetBudget, FleetBudgetConfig, FleetEffect, FleetEvent, FleetInput, FleetMachine, FleetState, Wake,
};
use mesh_retry::coordinator::store::{ProcessId, Settle, Settled, Settlement, StateKey, StoreFailure, StoreTime};
use mesh_retry::{Instant, Machine as _};

#[derive(Debug)]
struct Count(Arc<AtomicU32>);

impl Wake for Count {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Process {
    pub(crate) budget: Arc<FleetBudget>,
    pub(crate) machine: FleetMachine,
    pub(crate) wakes: Arc<AtomicU32>,
    pub(crate) now: Instant,
}

pub(crate) fn config() -> FleetBudgetConfig {
    let mut config = FleetBudgetConfig::default();
    config.limits = TokenBucketConfig::default();
    (config.limits.ratio_milli, config.limits.per_second_milli, config.limits.burst_milli) = (100, 10_000, 100_000);
    config
}

impl Process {
    pub(crate) fn new(config: &FleetBudgetConfig) -> Self {
        let wakes = Arc::new(AtomicU32::new(0));
        let budget = Arc::new(FleetBudget::new(config, Box::new(Count(Arc::clone(&wakes)))));
        let now = Instant::from_millis(10_000);
        let machine = FleetMachine::new(Arc::clone(&budget), StateKey::new(1), ProcessId::new(2), 3, now);
        Self { budget, machine, wakes, now }
    }

    /// One that the store has answered, with nothing granted, as one of `processes`.
    pub(crate) fn leased(config: &FleetBudgetConfig, processes: u32) -> Self {
        let mut process = Self::new(config);
        process.budget.deposit(process.now);
        let settle = process.next_settlement();
        process.reply(&settle, Settled { processes, ..granted(0) });
        process.events();
        process
    }

    pub(crate) fn ask(&self) -> Answer {
        self.budget.withdraw(self.now, Extra::retry(After::Transient))
    }

    pub(crate) fn paid(&self, most: u32) -> u32 {
        (0..most).map(|_| u32::from(self.ask().is_granted())).sum()
    }

    /// A retry that is granted, and what with.
    pub(crate) fn pay(&self) -> Paid {
        self.ask().paid().unwrap()
    }

    /// The attempt that `paid` was for was not made.
    pub(crate) fn not_made(&self, paid: Paid) {
        self.budget.ended(self.now, End::NotMade, Some(paid));
    }

    pub(crate) fn input(&mut self, input: FleetInput) {
        self.machine.handle_input(self.now, input);
    }

    pub(crate) fn reply(&mut self, settle: &Settle, settled: Settled) {
        self.input(FleetInput::Reply { epoch: settle.epoch, settled });
    }

    pub(crate) fn fail(&mut self, settle: &Settle, failure: StoreFailure) {
        self.input(FleetInput::Failed { epoch: settle.epoch, failure });
    }

    pub(crate) fn effect(&mut self) -> Option<Settle> {
        self.machine.poll_effect().map(|effect| match effect {
            FleetEffect::Send(settle) => settle,
            other => panic!("{other:?}"),
        })
    }

    /// What it reports, but for how calls were answered.
    pub(crate) fn events(&mut self) -> Vec<FleetEvent> {
        let mut events = self.all_events();
        events.retain(|event| !matches!(event, FleetEvent::Answered(_)));
        events
    }

    pub(crate) fn all_events(&mut self) -> Vec<FleetEvent> {
        core::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    /// The store refuses `settle` and those that follow, until the process goes by its share.
    pub(crate) fn lose_store(&mut self, mut settle: Settle) {
        for _ in 0..2 {
            self.fail(&settle, StoreFailure::NotDone);
            settle = self.next_settlement();
        }
        self.fail(&settle, StoreFailure::NotDone);
        assert_eq!(self.machine.state(), FleetState::LocalFallback);
    }

    /// Lets time pass until `millis` later, and returns what was sent.
    pub(crate) fn pass(&mut self, millis: u64) -> Vec<Settle> {
        let end = self.now + Duration::from_millis(millis);
        let mut sent = Vec::new();
        while let Some(due) = self.machine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            sent.extend(core::iter::from_fn(|| self.effect()));
        }
        self.now = end;
        sent
    }

    /// Lets time pass until something is sent.
    pub(crate) fn next_settlement(&mut self) -> Settle {
        for _ in 0..100 {
            self.now = self.now.max(self.machine.poll_timeout().unwrap());
            self.machine.handle_timeout(self.now);
            if let Some(settle) = self.effect() {
                return settle;
            }
        }
        panic!("nothing is sent: {:?}", self.machine);
    }

    /// A call that finds nothing, and what is sent for it.
    pub(crate) fn want(&mut self) -> Settle {
        assert_eq!(self.ask(), Answer::Later);
        self.input(FleetInput::Woken);
        self.effect().unwrap()
    }

    /// With `tokens` that end in a second.
    pub(crate) fn hold(&mut self, tokens: u32) {
        for _ in 1..tokens {
            assert_eq!(self.ask(), Answer::Later);
        }
        let settle = self.want();
        self.reply(&settle, granted(tokens));
        self.events();
        assert!(self.effect().is_none());
    }
}

pub(crate) fn granted(granted: u32) -> Settled {
    Settled {
        at: StoreTime::from_micros(1),
        settlement: Settlement::Applied,
        granted,
        left_milli: 500,
        wait: Some(Duration::from_millis(200)),
        processes: 5,
    }
}
