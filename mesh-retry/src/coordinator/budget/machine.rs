//! Decides when to settle with the store, and who answers while it does not.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use mesh_core::machine::Machine;
use mesh_core::rng::Rng;
use mesh_core::time::{Instant, Monotonic};

use super::demand::Demand;
use super::fleet::FleetBudget;
use super::message::{FleetAnswers, FleetChange, FleetEffect, FleetEvent, FleetInput, FleetState};
use super::told::Told;
use crate::coordinator::store::{ProcessId, StateKey};

/// The part of a [`FleetBudget`] that speaks with the store. One for each.
///
/// Effects: [`FleetEffect::Send`], one at a time: the next one after its reply, its failure or its time.
/// Timers: the look at what calls have done (every half second, every five where there have been none for a minute), the end
/// of a lease, of the wait for a reply and of the time without a store, and when to settle next.
/// Bounds: one settlement under way, eleven marks of first attempts; of what is late or unknown only the number is kept.
#[derive(Debug)]
pub struct FleetMachine {
    pub(super) budget: Arc<FleetBudget>,
    pub(super) name: StateKey,
    pub(super) process: ProcessId,
    pub(super) rng: Rng,
    clock: Monotonic,
    pub(super) state: FleetState,
    pub(super) is_closing: bool,
    pub(super) seen: Seen,
    pub(super) lease: Lease,
    pub(super) told: Told,
    pub(super) demand: Demand,
    pub(super) link: Link,
    effects: VecDeque<FleetEffect>,
    events: VecDeque<FleetEvent>,
    ignored: u64,
}

/// What the calls had done at the last look.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) requests: u64,
    shared_requests: u64,
    deferred: u64,
    denied: u64,
    /// How often the local share had paid, and had not.
    share: (u64, u64),
    /// When there last was a call, and whether that is less than a minute ago.
    active_at: Instant,
    pub(super) is_active: bool,
    /// Calls that were told to ask again since the last settlement was sent: somebody waits for tokens.
    pub(super) waiting: u64,
}

/// What the process holds.
#[derive(Debug)]
pub(super) struct Lease {
    /// How many tokens there were at the last look.
    pub(super) tokens: u32,
    pub(super) end: Instant,
    /// How many are to go back.
    pub(super) unspent: u32,
}

/// How it stands with the store.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) epoch: u64,
    pub(super) under_way: Option<UnderWay>,
    pub(super) sent_at: Instant,
    /// Nothing is sent before.
    pub(super) not_before: Instant,
    pub(super) failures: u32,
    pub(super) expired_at: Instant,
}

/// A settlement whose reply is awaited.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnderWay {
    pub(super) epoch: u64,
    pub(super) sent_at: Instant,
    pub(super) want: u32,
    pub(super) returned: u32,
    /// How many first attempts had been told before.
    pub(super) told_before: u64,
}

impl FleetMachine {
    /// The machine of `budget`, which the fleet calls `name`, in the process `process`; it draws from `seed`.
    #[must_use]
    pub fn new(budget: Arc<FleetBudget>, name: StateKey, process: ProcessId, seed: u64, now: Instant) -> Self {
        Self {
            budget,
            name,
            process,
            rng: Rng::from_seed(seed),
            clock: Monotonic::default(),
            state: FleetState::NoAssignment,
            is_closing: false,
            seen: Seen::at(now),
            lease: Lease { tokens: 0, end: Instant::ZERO, unspent: 0 },
            told: Told::default(),
            demand: Demand::new(now),
            link: Link::new(now),
            effects: VecDeque::new(),
            events: VecDeque::new(),
            ignored: 0,
        }
    }

    /// The budget that it serves.
    #[must_use]
    pub const fn budget(&self) -> &Arc<FleetBudget> {
        &self.budget
    }

    /// Who answers those who ask for retries.
    #[must_use]
    pub const fn state(&self) -> FleetState {
        self.state
    }

    /// How many replies and failures were of no settlement under way.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Does all that is due.
    fn step(&mut self, now: Instant) {
        self.look(now);
        self.end_lease(now);
        if self.reply_due_at().is_some_and(|due| due <= now) {
            self.unanswered(now);
        }
        self.reconsider(now);
        if self.settles_at().is_some_and(|due| due <= now) {
            self.settle(now);
        }
    }

    /// Takes note of what calls have done since the last look.
    fn look(&mut self, now: Instant) {
        let share = self.budget.share();
        share.credit(now.since(self.seen.at));
        self.seen.at = now;
        let is_woken = self.budget.take_wake();
        let (requests, shared) = (self.budget.requests(), share.deposits());
        let (deferred, denied) = (self.budget.deferred(), self.budget.denied());
        let tokens = self.budget.tokens();

        let by_share = self.budget.shared();
        let spent = self.lease.tokens.saturating_sub(tokens);
        let asked_in_vain = deferred.saturating_sub(self.seen.deferred);
        let wanted = asked_in_vain + denied.saturating_sub(self.seen.denied) + u64::from(spent);
        self.demand.observe(now, wanted);
        let answers = FleetAnswers {
            by_lease: u64::from(spent),
            by_share: by_share.0.saturating_sub(self.seen.share.0),
            deferred: asked_in_vain,
            denied: denied.saturating_sub(self.seen.denied) + by_share.1.saturating_sub(self.seen.share.1),
        };
        self.lease.tokens = tokens;
        let is_used = is_woken || wanted > 0 || requests > self.seen.requests || shared > self.seen.shared_requests;
        if is_used {
            self.seen.active_at = now;
        }
        self.seen.is_active = is_used || (self.seen.is_active && now.since(self.seen.active_at) < ACTIVE_FOR);
        self.seen.waiting = self.seen.waiting.saturating_add(asked_in_vain);
        (self.seen.requests, self.seen.shared_requests) = (requests, shared);
        (self.seen.deferred, self.seen.denied, self.seen.share) = (deferred, denied, by_share);
        if !answers.is_none() {
            self.report(FleetEvent::Answered(answers));
        }
        self.told.mark(now, requests);
    }

    /// Takes the tokens back that are worth nothing any more.
    fn end_lease(&mut self, now: Instant) {
        if self.lease.tokens > 0 && self.lease.end <= now {
            let unspent = self.budget.take_back();
            self.lease.unspent = self.lease.unspent.saturating_add(unspent);
            self.lease.tokens = 0;
        }
    }

    /// Changes the state where the store does not answer.
    fn reconsider(&mut self, now: Instant) {
        if self.state == FleetState::Leased && self.link.failures > 0 && self.lease.tokens == 0 {
            self.link.expired_at = now;
            self.change(FleetState::Expired, FleetChange::LeaseOver);
        }
        let is_lost = self.link.failures >= FAILURES_MAX;
        match self.state {
            FleetState::NoAssignment | FleetState::Expired if is_lost => self.go_alone(FleetChange::Failures),
            FleetState::Expired if self.expires_at() <= now => self.go_alone(FleetChange::ExpiredTooLong),
            FleetState::NoAssignment | FleetState::Expired | FleetState::Leased | FleetState::LocalFallback => {}
        }
    }

    /// Lets the local share answer.
    pub(super) fn go_alone(&mut self, why: FleetChange) {
        let unspent = self.budget.go_alone();
        self.lease.unspent = self.lease.unspent.saturating_add(unspent);
        self.lease.tokens = 0;
        self.seen.waiting = 0;
        // Whom the same outage sent here does not come back with all the others.
        let ttl = self.budget.config().lease_ttl;
        self.link.not_before = self.seen.at.after(self.rng.up_to(ttl));
        self.change(FleetState::LocalFallback, why);
    }

    pub(super) fn change(&mut self, to: FleetState, why: FleetChange) {
        if self.state != to {
            self.events.push_back(FleetEvent::StateChanged { from: self.state, to, why });
            self.state = to;
        }
    }

    pub(super) fn emit(&mut self, effect: FleetEffect) {
        self.effects.push_back(effect);
    }

    pub(super) fn report(&mut self, event: FleetEvent) {
        self.events.push_back(event);
    }

    /// The settlement under way, if it is the one of `epoch`.
    fn answered(&mut self, epoch: u64) -> Option<UnderWay> {
        let answered = self.link.under_way.take_if(|under_way| under_way.epoch == epoch);
        self.ignored += u64::from(answered.is_none());
        answered
    }

    fn shut_down(&mut self) {
        if !self.is_closing {
            self.is_closing = true;
            self.go_alone(FleetChange::Shutdown);
            self.link.not_before = Instant::ZERO;
        }
    }

    fn expires_at(&self) -> Instant {
        self.link.expired_at.after(self.budget.config().expired_for)
    }

    fn look_at(&self) -> Option<Instant> {
        let is_quick = self.seen.is_active || self.state == FleetState::NoAssignment;
        let period = if is_quick { LOOK_EVERY } else { LOOK_EVERY_IDLE };
        (!self.is_closing).then(|| self.seen.at.after(period))
    }
}

impl Machine for FleetMachine {
    type Input = FleetInput;
    type Effect = FleetEffect;
    type Event = FleetEvent;

    fn handle_input(&mut self, now: Instant, input: FleetInput) {
        let now = self.clock.observe(now);
        match input {
            FleetInput::Woken => {}
            FleetInput::Reply { epoch, settled } => {
                // What was spent of the lease that is to be prolonged was wanted.
                self.look(now);
                if let Some(under_way) = self.answered(epoch) {
                    self.settled(now, &under_way, &settled);
                }
            }
            FleetInput::Failed { epoch, failure } => {
                if let Some(under_way) = self.answered(epoch) {
                    self.failed(now, &under_way, failure);
                }
            }
            FleetInput::Shutdown => {
                // What was spent is told, before all that is left goes back.
                self.look(now);
                self.shut_down();
            }
        }
        self.step(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock.observe(now);
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.step(now);
        }
    }

    fn poll_effect(&mut self) -> Option<FleetEffect> {
        self.effects.pop_front()
    }

    fn poll_event(&mut self) -> Option<FleetEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let lease_end = (self.lease.tokens > 0).then_some(self.lease.end);
        let expires = (self.state == FleetState::Expired).then(|| self.expires_at());
        [self.look_at(), lease_end, expires, self.reply_due_at(), self.settles_at()].into_iter().flatten().min()
    }
}

impl Seen {
    const fn at(now: Instant) -> Self {
        Self {
            at: now,
            requests: 0,
            shared_requests: 0,
            deferred: 0,
            denied: 0,
            share: (0, 0),
            active_at: now,
            is_active: false,
            waiting: 0,
        }
    }
}

impl Link {
    const fn new(now: Instant) -> Self {
        Self { epoch: 0, under_way: None, sent_at: now, not_before: now, failures: 0, expired_at: Instant::ZERO }
    }
}

/// How often to look at what calls have done, and how often where there were none for [`ACTIVE_FOR`].
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOK_EVERY_IDLE: Duration = Duration::from_secs(5);
const ACTIVE_FOR: Duration = Duration::from_secs(60);

/// After how many failures in a row the store is taken as away.
const FAILURES_MAX: u32 = 3;
