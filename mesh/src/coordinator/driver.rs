//! The task of one budget: carries settlements to the store, and what comes of them back.

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::coordinator_store::CoordinatorStore;
use mesh_core::machine::Machine as _;
use mesh_core::port::Clock;
use mesh_retry::coordinator::budget::{FleetEffect, FleetInput, FleetMachine};
use mesh_retry::coordinator::store::{Settle, StoreCommand, StoreFailure, StoreReply};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::asking::ask;
use super::bell::Bell;
use super::telling::Telling;
use crate::driver::sleep_until;

/// Drives the machine of one budget until its owner lets it end, and it has given back what the process held. Where it ends
/// otherwise, calls go by the process' own share, which is filled by first attempts alone then.
#[derive(Debug)]
pub(crate) struct FleetDriver {
    machine: FleetMachine,
    bell: Bell,
    store: Arc<dyn CoordinatorStore>,
    clock: Arc<dyn Clock>,
    telling: Telling,
    /// The settlement under way; and, for a moment, one that was given up.
    jobs: JoinSet<FleetInput>,
    is_closing: bool,
    ended: watch::Sender<()>,
}

impl FleetDriver {
    pub(super) fn new(
        machine: FleetMachine,
        bell: Bell,
        store: Arc<dyn CoordinatorStore>,
        clock: Arc<dyn Clock>,
        telling: Telling,
    ) -> Self {
        let (jobs, ended) = (JoinSet::new(), watch::Sender::new(()));
        Self { machine, bell, store, clock, telling, jobs, is_closing: false, ended }
    }

    /// Closed when this driver has ended.
    pub(super) fn ended(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    pub(crate) async fn run(mut self) {
        while !self.is_over() {
            tokio::select! {
                closes = self.bell.rung() => self.rung(closes),
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => self.done(done),
                () = sleep_until(&*self.clock, self.machine.poll_timeout()) => {
                    self.machine.handle_timeout(self.clock.now());
                }
            }
            self.carry_out();
        }
    }

    /// Whether what was held has gone back, or cannot.
    fn is_over(&self) -> bool {
        self.is_closing && self.machine.poll_timeout().is_none()
    }

    fn rung(&mut self, closes: bool) {
        self.is_closing |= closes;
        let input = if closes { FleetInput::Shutdown } else { FleetInput::Woken };
        self.machine.handle_input(self.clock.now(), input);
    }

    fn done(&mut self, done: Result<FleetInput, JoinError>) {
        match done {
            Ok(input) => self.machine.handle_input(self.clock.now(), input),
            // The machine waits for its reply no longer than for any other.
            Err(error) => {
                tracing::error!(service = %self.telling.service(), %error, "the coordinator's store panicked")
            }
        }
    }

    /// Does what the machine asks for and passes on what it reports.
    fn carry_out(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            if let FleetEffect::Send(settle) = effect {
                let within = self.machine.budget().config().reply_within;
                self.jobs.spawn(settled(Arc::clone(&self.store), settle, within));
            }
        }
        let now = self.clock.now();
        while let Some(event) = self.machine.poll_event() {
            self.telling.tell(now, &event);
        }
    }
}

impl Drop for FleetDriver {
    /// With its runtime, say, or by a panic of whoever is told: calls are not to wait for answers that nobody asks for.
    fn drop(&mut self) {
        if !self.is_closing {
            self.machine.handle_input(self.clock.now(), FleetInput::Shutdown);
        }
    }
}

/// Sends `settle`, and says what came of it `within` the time that it is waited for.
async fn settled(store: Arc<dyn CoordinatorStore>, settle: Settle, within: Duration) -> FleetInput {
    let epoch = settle.epoch;
    match ask(store, StoreCommand::Settle(settle), within).await {
        Ok(StoreReply::Settled(settled)) => FleetInput::Reply { epoch, settled },
        Err(failure) => FleetInput::Failed { epoch, failure },
        // The answer to something else.
        Ok(_) => FleetInput::Failed { epoch, failure: StoreFailure::Unknown },
    }
}
