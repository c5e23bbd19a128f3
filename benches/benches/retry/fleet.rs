//! A budget that a fleet shares, as one process sees it.

use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_retry::budget::{After, Budget, Extra};
use mesh_retry::coordinator::budget::{FleetBudget, FleetBudgetConfig, FleetEffect, FleetInput, FleetMachine, Wake};
use mesh_retry::coordinator::store::{MemoryStore, ProcessId, StateKey, StoreCommand, StoreReply, StoreTime};
use mesh_retry::{Instant, Machine as _};

use crate::bench::Bench;
use crate::stepping;

pub(crate) fn measure(bench: &mut Bench<'_, '_>) {
    let fleet = Fleet::new();
    bench.run("mesh/fleet-budget", |_| {
        stepping(|now| {
            fleet.budget.deposit(now);
            fleet.retry(now);
        })
    });
    bench.run("mesh/fleet-budget/deposit", |_| stepping(|now| fleet.budget.deposit(now)));
}

/// One process and its store. A lease is of ten thousand tokens, so that what is measured is the budget and not the machine.
struct Fleet {
    budget: Arc<FleetBudget>,
    control: Mutex<(FleetMachine, MemoryStore)>,
}

#[derive(Debug)]
struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

impl Fleet {
    fn new() -> Self {
        let mut config = FleetBudgetConfig::default();
        (config.limits.ratio_milli, config.limits.burst_milli) = (1_000, 1_000_000_000);
        (config.lease_ttl, config.lease_max) = (Duration::from_secs(60), 10_000);
        let budget = Arc::new(FleetBudget::new(&config, Box::new(Nobody)));
        let machine = FleetMachine::new(Arc::clone(&budget), StateKey::new(1), ProcessId::new(1), 1, Instant::ZERO);
        let fleet = Self { budget, control: Mutex::new((machine, MemoryStore::new())) };
        // Whoever asks first makes the machine ask the store, and from then on the lease answers.
        fleet.budget.deposit(Instant::ZERO);
        fleet.settle(Instant::ZERO);
        fleet
    }

    #[inline]
    fn retry(&self, now: Instant) {
        if !black_box(self.budget.withdraw(now, RETRY)).is_granted() {
            self.settle(now);
        }
    }

    #[cold]
    fn settle(&self, now: Instant) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let (machine, store) = &mut *control;
        machine.handle_input(now, FleetInput::Woken);
        while let Some(FleetEffect::Send(settle)) = machine.poll_effect() {
            let at = StoreTime::from_micros(now.as_nanos() / 1_000);
            if let StoreReply::Settled(settled) = store.apply(at, &StoreCommand::Settle(settle)) {
                machine.handle_input(now, FleetInput::Reply { epoch: settle.epoch, settled });
            }
        }
        while machine.poll_event().is_some() {}
    }
}

const RETRY: Extra = Extra::retry(After::Transient);
