//! Decides who of those who wait goes in next, and who waits in vain.

use core::convert::Infallible;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use mesh_core::machine::Machine;
use mesh_core::time::{Instant, Monotonic};

use super::config::Order;
use super::gate::Bulkhead;
use super::message::{BulkheadEffect, BulkheadInput, EntrantId};
use super::queue::{Queue, Waiter};
use super::reason::Refusal;

/// The queue in front of a [`Bulkhead`]: see [the module](super) for what it is told and asks for. One for each bulkhead.
#[derive(Debug)]
pub struct BulkheadMachine {
    bulkhead: Arc<Bulkhead>,
    clock: Monotonic,
    queue: Queue,
    /// Since when there has been somebody waiting without interruption.
    busy_since: Option<Instant>,
    effects: VecDeque<BulkheadEffect>,
    ignored: u64,
}

impl BulkheadMachine {
    /// An empty queue in front of `bulkhead`.
    #[must_use]
    pub fn new(bulkhead: Arc<Bulkhead>) -> Self {
        Self {
            bulkhead,
            clock: Monotonic::default(),
            queue: Queue::default(),
            busy_since: None,
            effects: VecDeque::new(),
            ignored: 0,
        }
    }

    /// What it is the queue of.
    #[must_use]
    pub const fn bulkhead(&self) -> &Arc<Bulkhead> {
        &self.bulkhead
    }

    /// How many inputs were about a call that does not wait, or waits already.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Whether there has been somebody waiting for so long that there is an overload.
    #[must_use]
    pub fn is_overloaded(&self, now: Instant) -> bool {
        self.overload_at().is_some_and(|at| at <= now)
    }

    fn enter(&mut self, now: Instant, id: EntrantId, deadline: Option<Instant>) {
        if self.queue.contains(id) {
            self.ignored = self.ignored.saturating_add(1);
            return;
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.refuse(id, Refusal::DeadlinePassed { waited: Duration::ZERO });
            return;
        }
        let passed = self.bulkhead.enter(now).map_err(|_| self.objection(now, deadline));
        match passed {
            Ok(pass) => self.effects.push_back(BulkheadEffect::Admit { id, waited: Duration::ZERO, pass }),
            Err(Some(refusal)) => self.refuse(id, refusal),
            Err(None) => self.join(now, id, deadline),
        }
    }

    /// Why a call should not wait, if there is a reason.
    fn objection(&self, now: Instant, deadline: Option<Instant>) -> Option<Refusal> {
        let waiting_max = self.bulkhead.config().waiting_max;
        if self.queue.len() >= waiting_max {
            return Some(Refusal::QueueFull { waiting_max, retry_at: self.free_at(now, 1) });
        }
        let ahead = if self.serves_newest(now) { 0 } else { self.queue.len() };
        let (left, expected) = (deadline?.since(now), self.bulkhead.time_until_free(ahead + 1)?);
        let is_hopeless = expected >= left;
        let retry_at = now.after(expected.saturating_sub(left));
        is_hopeless.then_some(Refusal::DeadlineTooClose { ahead, expected, left, retry_at })
    }

    fn join(&mut self, now: Instant, id: EntrantId, deadline: Option<Instant>) {
        // Somebody may have left since.
        if let Some(pass) = self.bulkhead.join(now) {
            self.effects.push_back(BulkheadEffect::Admit { id, waited: Duration::ZERO, pass });
            return;
        }
        self.queue.push(Waiter { id, since: now }, deadline);
        self.busy_since.get_or_insert(now);
    }

    fn abandon(&mut self, id: EntrantId) {
        if self.queue.remove(id).is_some() {
            self.bulkhead.give_up();
        } else if let Some(at) = self.effects.iter().position(|effect| effect.id() == id) {
            // It was answered, and nobody has heard the answer.
            if let Some(BulkheadEffect::Admit { pass, .. }) = self.effects.remove(at) {
                // Whoever waits for the place is admitted right after this.
                let _ = self.bulkhead.withdraw(pass);
            }
        } else {
            self.ignored = self.ignored.saturating_add(1);
        }
    }

    /// Sheds those who wait in vain, and lets in whom there is room for.
    fn settle(&mut self, now: Instant) {
        while let Some(Waiter { id, since }) = self.queue.pop_late(now) {
            self.bulkhead.give_up();
            self.refuse(id, Refusal::DeadlinePassed { waited: now.since(since) });
        }
        while let Some((due, wait_max)) = self.next_shed()
            && due <= now
            && let Some(Waiter { id, since }) = self.queue.pop_oldest()
        {
            self.bulkhead.give_up();
            let retry_at = self.free_at(now, self.queue.len() + 1);
            self.refuse(id, Refusal::WaitedTooLong { waited: now.since(since), wait_max, retry_at });
        }
        while let Some(pass) = self.next_pass(now) {
            let next = if self.serves_newest(now) { self.queue.pop_newest() } else { self.queue.pop_oldest() };
            let Some(Waiter { id, since }) = next else { break };
            self.effects.push_back(BulkheadEffect::Admit { id, waited: now.since(since), pass });
        }
        if self.queue.len() == 0 {
            self.busy_since = None;
        }
    }

    /// A pass for one of those who wait here.
    fn next_pass(&self, now: Instant) -> Option<super::Pass> {
        if self.queue.len() == 0 { None } else { self.bulkhead.admit(now) }
    }

    /// When whoever has waited longest is shed, and how long he may wait then.
    fn next_shed(&self) -> Option<(Instant, Duration)> {
        let config = self.bulkhead.config();
        let since = self.queue.oldest()?.since;
        let always = config.wait_max.map(|wait| (since.after(wait), wait));
        let overloaded = config.overload_wait_max.zip(self.overload_at());
        let overloaded = overloaded.map(|(wait, overload)| (since.after(wait).max(overload), wait));
        always.into_iter().chain(overloaded).min()
    }

    /// When there is an overload, if somebody still waits by then.
    fn overload_at(&self) -> Option<Instant> {
        self.busy_since.map(|since| since.after(self.bulkhead.config().overload_after))
    }

    fn serves_newest(&self, now: Instant) -> bool {
        match self.bulkhead.config().order {
            Order::Fifo => false,
            Order::AdaptiveLifo => self.is_overloaded(now),
        }
    }

    fn free_at(&self, now: Instant, places: u32) -> Option<Instant> {
        self.bulkhead.time_until_free(places).map(|wait| now.after(wait))
    }

    fn refuse(&mut self, id: EntrantId, refusal: Refusal) {
        self.effects.push_back(BulkheadEffect::Refuse { id, refusal });
    }
}

impl Machine for BulkheadMachine {
    type Input = BulkheadInput;
    type Effect = BulkheadEffect;
    type Event = Infallible;

    fn handle_input(&mut self, now: Instant, input: BulkheadInput) {
        let now = self.clock.observe(now);
        // Nobody is judged by a queue of people who wait in vain.
        self.settle(now);
        match input {
            BulkheadInput::Enter { id, deadline } => self.enter(now, id, deadline),
            BulkheadInput::Left => {}
            BulkheadInput::Abandon(id) => self.abandon(id),
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        let now = self.clock.observe(now);
        self.settle(now);
    }

    fn poll_effect(&mut self) -> Option<BulkheadEffect> {
        self.effects.pop_front()
    }

    fn poll_event(&mut self) -> Option<Infallible> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let shed = self.next_shed().map(|(due, _)| due);
        self.queue.next_deadline().into_iter().chain(shed).min()
    }
}
