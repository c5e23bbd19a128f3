//! The task of one subject: carries votes and questions for the probe to the store, and what comes of them back.

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::coordinator_store::CoordinatorStore;
use mesh_core::machine::Machine as _;
use mesh_core::port::Clock;
use mesh_retry::coordinator::Sending;
use mesh_retry::coordinator::votes::{VotesInput, VotesMachine};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{JoinError, JoinSet};

use super::super::asking::ask;
use super::super::bell::Bell;
use super::heard::Heard;
use super::telling::Telling;
use crate::driver::sleep_until;

/// Drives the machine of one subject until its breaker is gone or its owner lets it end, and it has let go of the probe.
#[derive(Debug)]
pub(super) struct Voter {
    pub(super) machine: VotesMachine,
    pub(super) heard: Arc<Heard>,
    pub(super) bell: Bell,
    pub(super) reply_within: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) telling: Telling,
    /// Its place among those of instances.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Voter {
    /// Speaks with `store`. Ends as well when `owner` has let go of its end.
    pub(super) async fn run(mut self, store: Arc<dyn CoordinatorStore>, mut owner: watch::Receiver<()>) {
        // The commands under way, two at most; and, for a moment, one that was given up.
        let mut jobs = JoinSet::new();
        let mut is_closing = false;
        loop {
            self.carry_out(&store, &mut jobs);
            if is_closing && self.machine.poll_timeout().is_none() {
                drop(self.place);
                return;
            }
            let closes = tokio::select! {
                closes = self.bell.rung() => {
                    self.look();
                    closes
                }
                // Nothing is ever sent.
                _ = owner.changed(), if !is_closing => true,
                Some(done) = jobs.join_next(), if !jobs.is_empty() => {
                    self.done(done);
                    false
                }
                () = sleep_until(&*self.clock, self.machine.poll_timeout()) => {
                    self.machine.handle_timeout(self.clock.now());
                    false
                }
            };
            if closes && !is_closing {
                is_closing = true;
                self.machine.handle_input(self.clock.now(), VotesInput::Stop);
            }
        }
    }

    /// The breaker has changed, or asks for the probe.
    fn look(&mut self) {
        let now = self.clock.now();
        if let Some(state) = self.heard.take() {
            self.machine.handle_input(now, VotesInput::Changed(state));
        }
        self.machine.handle_input(now, VotesInput::Woken);
    }

    fn done(&mut self, done: Result<VotesInput, JoinError>) {
        match done {
            Ok(input) => self.machine.handle_input(self.clock.now(), input),
            // The machine waits for its answer no longer than for any other.
            Err(error) => self.telling.panicked(&error),
        }
    }

    /// Does what the machine asks for and passes on what it reports.
    fn carry_out(&mut self, store: &Arc<dyn CoordinatorStore>, jobs: &mut JoinSet<VotesInput>) {
        while let Some(Sending { id, command }) = self.machine.poll_effect() {
            let asking = ask(Arc::clone(store), command, self.reply_within);
            jobs.spawn(async move { VotesInput::Answered { id, answer: asking.await } });
        }
        while let Some(event) = self.machine.poll_event() {
            self.telling.tell(event);
        }
    }
}
