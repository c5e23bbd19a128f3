//! Processes that share a budget, each with a machine, a driver and a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_cache::TokioClock;
use mesh_cache::coordinator_store::{CoordinatorStore, RedisCoordinator};
use mesh_cache::mesh_retry::Machine as _;
use mesh_cache::mesh_retry::budget::{After, Answer, Budget as _, Extra};
use mesh_cache::mesh_retry::coordinator::budget::{
    FleetBudget, FleetBudgetConfig, FleetEffect, FleetInput, FleetMachine, Wake,
};
use mesh_cache::mesh_retry::coordinator::store::{ProcessId, Settle, StateKey, StoreCommand, StoreReply};
use mesh_core::port::Clock as _;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// One process; it ends with the value.
#[derive(Debug)]
pub(crate) struct Process {
    budget: Arc<FleetBudget>,
    clock: TokioClock,
    driver: JoinHandle<()>,
    pub(crate) wanted: AtomicU64,
    pub(crate) granted: AtomicU64,
}

#[derive(Debug)]
struct Bell(Arc<Notify>);

impl Wake for Bell {
    fn wake(&self) {
        self.0.notify_one();
    }
}

impl Process {
    pub(crate) fn start(number: u32, name: StateKey, config: &FleetBudgetConfig, store: RedisCoordinator) -> Arc<Self> {
        let (clock, bell) = (TokioClock::new(), Arc::new(Notify::new()));
        let budget = Arc::new(FleetBudget::new(config, Box::new(Bell(Arc::clone(&bell)))));
        let process = ProcessId::new(u128::from(number) + 1);
        let machine = FleetMachine::new(Arc::clone(&budget), name, process, u64::from(number), clock.now());
        let driver = tokio::spawn(drive(machine, clock, bell, store));
        Arc::new(Self { budget, clock, driver, wanted: AtomicU64::new(0), granted: AtomicU64::new(0) })
    }

    /// A call whose first attempt fails and that is retried once, `backoff` later, if it may be.
    pub(crate) async fn call(&self, backoff: Duration) {
        self.budget.deposit(self.clock.now());
        self.wanted.fetch_add(1, Ordering::Relaxed);
        let ask = || self.budget.withdraw(self.clock.now(), Extra::retry(After::Transient));
        let mut answer = ask();
        if matches!(answer, Answer::Later) {
            tokio::time::sleep(backoff).await;
            answer = ask();
        }
        self.granted.fetch_add(u64::from(answer.is_granted()), Ordering::Relaxed);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn drive(mut machine: FleetMachine, clock: TokioClock, bell: Arc<Notify>, store: RedisCoordinator) {
    let (told, mut heard) = mpsc::unbounded_channel();
    loop {
        while let Some(effect) = machine.poll_effect() {
            let FleetEffect::Send(settle) = effect else { panic!("{effect:?}") };
            let (store, told) = (store.clone(), told.clone());
            // Whoever reads has ended where this fails.
            tokio::spawn(async move { told.send(settled(&store, settle).await).ok() });
        }
        while machine.poll_event().is_some() {}
        let due = machine.poll_timeout().map_or(Duration::from_secs(60), |due| due.since(clock.now()));
        let input = tokio::select! {
            Some(input) = heard.recv() => input,
            () = bell.notified() => FleetInput::Woken,
            () = tokio::time::sleep(due) => {
                machine.handle_timeout(clock.now());
                continue;
            }
        };
        machine.handle_input(clock.now(), input);
    }
}

async fn settled(store: &RedisCoordinator, settle: Settle) -> FleetInput {
    let epoch = settle.epoch;
    match store.apply(StoreCommand::Settle(settle)).await {
        Ok(StoreReply::Settled(settled)) => FleetInput::Reply { epoch, settled },
        Ok(reply) => panic!("{reply:?}"),
        Err(failure) => FleetInput::Failed { epoch, failure },
    }
}
