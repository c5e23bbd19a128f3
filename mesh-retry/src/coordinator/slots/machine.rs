//! The part of the slots that talks to the store.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use mesh_core::machine::Machine;
use mesh_core::rng::Rng;
use mesh_core::time::{Instant, Monotonic};

use super::super::exchange::{Exchange, SendId, Sending, StoreAnswer};
use super::super::store::{Slots, StateKey, StoreCommand, StoreFailure, StoreReply, StoreTime, TakeSlots};
use super::config::SlotsConfig;
use super::hot::{EMPTY, RetrySlots, TOUCHED};

/// Keeps a block of numbers at hand for [`RetrySlots`]. One for each of them.
///
/// It asks for the first block when it is made, for the next one soon after the first number of a block was used, and
/// when none is left, but no sooner than a quarter of [`refill_after`](SlotsConfig::refill_after) after it last asked: retries
/// have jitter meanwhile. Blocks are as large as what was used lately. While the store does not answer it asks less and less
/// often, down to every 30 s, and retries have jitter.
#[derive(Debug)]
pub struct SlotsMachine {
    config: SlotsConfig,
    counter: StateKey,
    slots: Arc<RetrySlots>,
    clock: Monotonic,
    rng: Rng,
    exchange: Exchange,
    /// When to ask for a block, while that is not under way.
    ask_at: Option<Instant>,
    /// When to ask at the earliest.
    patient_until: Instant,
    /// How many numbers the block under way has, and the one before it had.
    asked: u32,
    block: u32,
    /// How many retries are to be expected until the next block.
    demand: u32,
    failures: u32,
    effects: VecDeque<Sending>,
    events: VecDeque<SlotsEvent>,
    ignored: u64,
}

/// What the machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotsInput {
    /// A retry has called [`Wake::wake`](super::super::Wake::wake).
    Woken,
    /// A command was answered, or will not be.
    Answered {
        /// Which sending.
        id: SendId,
        /// What became of it.
        answer: StoreAnswer,
    },
}

/// What the machine tells, for the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotsEvent {
    /// A block is at hand.
    Refilled {
        /// How many numbers.
        count: u32,
        /// How many retries used a number since the block before, or found none.
        demand: u32,
        /// How long the answer took.
        latency: Duration,
        /// The store's time.
        at: StoreTime,
    },
    /// The store gave no block.
    Failed {
        /// Why; an answer that did not come in time is unknown.
        failure: StoreFailure,
        /// How long it took to know.
        after: Duration,
        /// When it is asked again.
        again_at: Instant,
    },
}

impl SlotsMachine {
    /// Asks for the first block of numbers of `counter`, for `slots`, which have the same `config`. `seed` draws the times
    /// between questions; give each machine its own.
    #[must_use]
    pub fn new(config: SlotsConfig, counter: StateKey, slots: Arc<RetrySlots>, seed: u64, now: Instant) -> Self {
        let mut machine = Self {
            config,
            counter,
            slots,
            clock: Monotonic::default(),
            rng: Rng::from_seed(seed),
            exchange: Exchange::new(),
            ask_at: None,
            patient_until: Instant::ZERO,
            asked: 0,
            block: 0,
            demand: 0,
            failures: 0,
            effects: VecDeque::new(),
            events: VecDeque::new(),
            ignored: 0,
        };
        let now = machine.clock.observe(now);
        machine.ask(now);
        machine
    }

    /// What it keeps a block at hand for.
    #[must_use]
    pub const fn slots(&self) -> &Arc<RetrySlots> {
        &self.slots
    }

    /// How many answers came that nobody waited for.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn ask(&mut self, now: Instant) {
        let used = self.block.saturating_sub(self.slots.left()).saturating_add(self.slots.take_missed());
        // What was used counts half as much with each block that follows.
        self.demand = used.max(self.demand / 2);
        self.asked = self.config.block(self.demand);
        self.ask_at = None;
        let command = TakeSlots { counter: self.counter, count: self.asked };
        self.effects.push_back(self.exchange.send(now, self.config.reply_within, StoreCommand::TakeSlots(command)));
    }

    /// Sets the time of the next question by what retries have found.
    fn plan(&mut self, now: Instant) {
        let at = match self.slots.woken_for() {
            EMPTY => now,
            TOUCHED => now.after(self.config.refill_after),
            _ => return,
        };
        let at = at.max(self.patient_until);
        self.ask_at = Some(self.ask_at.map_or(at, |planned| planned.min(at)));
    }

    fn answered(&mut self, now: Instant, sent_at: Instant, answer: StoreAnswer) {
        match answer {
            Ok(StoreReply::Slots(Slots { at, first })) => {
                self.slots.refill(first, self.asked);
                self.block = self.asked;
                self.failures = 0;
                // A process whose retries use up blocks faster than they come has jitter meanwhile, not a busy store.
                self.patient_until = sent_at.after(self.config.refill_after / EARLIER);
                let (count, demand, latency) = (self.asked, self.demand, now.since(sent_at));
                self.events.push_back(SlotsEvent::Refilled { count, demand, latency, at });
            }
            Ok(_) => self.failed(now, sent_at, StoreFailure::Unknown),
            Err(failure) => self.failed(now, sent_at, failure),
        }
    }

    fn failed(&mut self, now: Instant, sent_at: Instant, failure: StoreFailure) {
        let step = self.config.refill_after.saturating_mul(1 << self.failures.min(DOUBLINGS)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        let again_at = now.after(step.saturating_sub(self.rng.up_to(step / 2)));
        (self.patient_until, self.ask_at) = (again_at, Some(again_at));
        self.events.push_back(SlotsEvent::Failed { failure, after: now.since(sent_at), again_at });
    }
}

impl Machine for SlotsMachine {
    type Input = SlotsInput;
    type Effect = Sending;
    type Event = SlotsEvent;

    fn handle_input(&mut self, now: Instant, input: SlotsInput) {
        let now = self.clock.observe(now);
        match input {
            // A block that is under way serves whoever wants one.
            SlotsInput::Woken if self.exchange.is_open() => {}
            SlotsInput::Woken => self.plan(now),
            SlotsInput::Answered { id, answer } => match self.exchange.answered(id) {
                Some(sent_at) => self.answered(now, sent_at, answer),
                None => self.ignored = self.ignored.saturating_add(1),
            },
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        let now = self.clock.observe(now);
        if let Some(sent_at) = self.exchange.expired(now) {
            self.failed(now, sent_at, StoreFailure::Unknown);
        } else if self.ask_at.is_some_and(|at| at <= now) {
            self.ask(now);
        }
    }

    fn poll_effect(&mut self) -> Option<Sending> {
        self.effects.pop_front()
    }

    fn poll_event(&mut self) -> Option<SlotsEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.deadline().or(self.ask_at)
    }
}

/// A block that is used up is replaced after so small a part of the time after which others are.
const EARLIER: u32 = 4;
const DOUBLINGS: u32 = 16;
const PAUSE_MAX: Duration = Duration::from_secs(30);
