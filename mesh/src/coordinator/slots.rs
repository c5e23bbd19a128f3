//! The slots of one service's retries: carries what their machine asks for to the store, and the answers back.

use std::sync::Arc;
use std::time::Duration;

use mesh_cache::coordinator_store::CoordinatorStore;
use mesh_core::machine::Machine as _;
use mesh_core::port::Clock;
use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::rng::Rng;
use mesh_core::service::ServiceName;
use mesh_core::time::Instant;
use mesh_retry::coordinator::Sending;
use mesh_retry::coordinator::slots::{RetrySlots, SlotsEvent, SlotsInput, SlotsMachine};
use tokio::task::JoinSet;

use super::asking::ask;
use super::bell::Bell;
use super::telling::SkewTelling;
use crate::driver::sleep_until;

/// The slots of one service, as its calls and its owner hold them.
#[derive(Debug)]
pub(crate) struct SlotsSeat {
    slots: Arc<RetrySlots>,
    bell: Bell,
}

impl SlotsSeat {
    pub(super) const fn new(slots: Arc<RetrySlots>, bell: Bell) -> Self {
        Self { slots, bell }
    }

    /// How long the next retry waits besides its backoff: shorter than the `room` that it has before its deadline.
    pub(crate) fn take_within(&self, room: Option<Duration>, rng: &mut Rng) -> Duration {
        self.slots.take_within(room, rng)
    }

    /// Takes no more numbers. Retries that are still made have jitter, once those at hand are used.
    pub(crate) fn leave(&self) {
        self.bell.close();
    }
}

/// Tells what becomes of the slots of one service.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) service: ServiceName,
    pub(super) recorder: Arc<dyn Recorder>,
    /// Where nobody else measures the clock of their store.
    pub(super) skew: Option<SkewTelling>,
}

/// Drives the machine of one service's slots until its owner lets it end.
#[derive(Debug)]
pub(crate) struct SlotsDriver {
    machine: SlotsMachine,
    bell: Bell,
    store: Arc<dyn CoordinatorStore>,
    clock: Arc<dyn Clock>,
    reply_within: Duration,
    telling: Telling,
    /// The command under way; and, for a moment, one that was given up.
    jobs: JoinSet<SlotsInput>,
}

impl SlotsDriver {
    pub(super) fn new(
        machine: SlotsMachine,
        bell: Bell,
        (store, reply_within): (Arc<dyn CoordinatorStore>, Duration),
        clock: Arc<dyn Clock>,
        telling: Telling,
    ) -> Self {
        Self { machine, bell, store, clock, reply_within, telling, jobs: JoinSet::new() }
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.carry_out();
            tokio::select! {
                closes = self.bell.rung() => {
                    if closes {
                        return;
                    }
                    self.machine.handle_input(self.clock.now(), SlotsInput::Woken);
                }
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => match done {
                    Ok(input) => self.machine.handle_input(self.clock.now(), input),
                    // The machine waits for its answer no longer than for any other.
                    Err(error) => {
                        tracing::error!(service = %self.telling.service, %error, "the coordinator's store panicked");
                    }
                },
                () = sleep_until(&*self.clock, self.machine.poll_timeout()) => {
                    self.machine.handle_timeout(self.clock.now());
                }
            }
        }
    }

    /// Does what the machine asks for and passes on what it reports.
    fn carry_out(&mut self) {
        while let Some(Sending { id, command }) = self.machine.poll_effect() {
            let asking = ask(Arc::clone(&self.store), command, self.reply_within);
            self.jobs.spawn(async move { SlotsInput::Answered { id, answer: asking.await } });
        }
        let now = self.clock.now();
        while let Some(event) = self.machine.poll_event() {
            self.telling.tell(now, &event);
        }
    }
}

impl Telling {
    fn tell(&mut self, now: Instant, event: &SlotsEvent) {
        let service = &self.service;
        let (result, count, latency) = match *event {
            SlotsEvent::Refilled { count, latency, at, .. } => {
                if let Some(skew) = &mut self.skew {
                    skew.measure(now, latency, at);
                }
                ("refilled", count, latency)
            }
            SlotsEvent::Failed { failure, after, .. } => (failure.name(), 0, after),
            ref other => return tracing::info!(%service, ?other, "slots event"),
        };
        tracing::debug!(%service, result, count, ?latency, "slots for retries");
        self.recorder.record(&Measurement::RetrySlots { service, result, count, latency });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mesh_cache::coordinator_store::MemoryCoordinator;
    use mesh_core::recorder::NoRecorder;
    use mesh_retry::coordinator::slots::SlotsConfig;
    use mesh_retry::coordinator::store::StateKey;

    use super::*;
    use crate::TokioClock;

    #[tokio::test(start_paused = true)]
    async fn who_has_left_uses_what_is_at_hand_and_then_has_jitter_and_asks_for_nothing() {
        let clock = TokioClock::new();
        let (config, bell) = (SlotsConfig::default(), Bell::default());
        let slots = Arc::new(RetrySlots::new(&config, Arc::new(bell.clone())));
        let machine = SlotsMachine::new(config, StateKey::new(1), Arc::clone(&slots), 1, clock.now());
        let store: Arc<dyn CoordinatorStore> = Arc::new(MemoryCoordinator::new(Arc::new(clock)));
        let driver = SlotsDriver::new(
            machine,
            bell.clone(),
            (store, config.reply_within),
            Arc::new(clock),
            Telling { service: "api".parse().unwrap(), recorder: Arc::new(NoRecorder), skew: None },
        );
        let (seat, driving) = (SlotsSeat::new(slots, bell), tokio::spawn(driver.run()));
        let mut rng = Rng::from_seed(1);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(slot(seat.take_within(None, &mut rng)), 0);
        seat.leave();
        tokio::time::timeout(Duration::from_secs(1), driving).await.unwrap().unwrap();
        let numbered = BTreeSet::from_iter((0..10).map(|_| slot(seat.take_within(None, &mut rng))));
        assert_eq!(numbered.len(), 10, "each slot once");
        tokio::time::sleep(Duration::from_secs(10)).await;
        let drawn = BTreeSet::from_iter((0..10).map(|_| slot(seat.take_within(None, &mut rng))));
        assert!((3..10).contains(&drawn.len()), "{drawn:?}");
    }

    /// In which slot of 100 ms one is that waits so long.
    const fn slot(wait: Duration) -> u128 {
        wait.as_millis() / 100
    }
}
