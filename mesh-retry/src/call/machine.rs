//! The call machine: decides after each attempt whether, when and why not to make another.

use core::time::Duration;

use mesh_core::balance::Tried;
use mesh_core::machine::Machine;
use mesh_core::time::{Instant, Monotonic};

use super::copies::{Copies, Copy, Stage};
use super::decided::Decided;
use super::gate::AttemptEnd;
use super::terms::Terms;
use super::{
    AttemptId, AttemptKind, CallEffect, CallEvent, CallInput, CancelReason, Decision, GiveUpReason, Tally, Unavailable,
};
use crate::backoff::Waits;
use crate::budget::{Extra, Paid};
use crate::classify::Class;
use crate::deadline::Deadline;
use crate::policy::RetryPolicy;

/// One call: see [the module](super) for what it is told, asks for and reports.
///
/// `T` is what it goes by: a policy, or a reference to one, or whatever else is [`Terms`].
///
/// It cannot be cloned, since two machines with the same entropy would wait for the same times. Dropped before its
/// end, it gives back what it has been granted.
#[derive(Debug)]
pub struct CallMachine<T: Terms = RetryPolicy> {
    pub(super) terms: T,
    pub(super) entropy: u64,
    pub(super) clock: Monotonic,
    started: Instant,
    pub(super) state: State,
    pub(super) copies: Copies,
    pub(super) hedging: Hedging,
    /// How the last attempt failed.
    pub(super) last: Option<Class>,
    /// The worst that the copies of the current attempt have told so far.
    pub(super) announced: Option<Duration>,
    /// Effects asked for; also the number of the last attempt's id.
    pub(super) asked: u64,
    pub(super) tally: Tally,
    pub(super) waits: Waits,
    pub(super) tried: Tried,
    pub(super) decided: Decided,
    /// How often an attempt was put off that no instance let through.
    pub(super) held: u32,
    ignored: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Attempting,
    Waiting {
        kind: AttemptKind,
        until: Instant,
        /// What the attempt is paid with; `None` where there is no budget or it is to be asked again.
        paid: Option<Paid>,
        again: Option<Extra>,
    },
    /// With how it ended, until that has been told.
    Over(Option<CallEvent>),
}

/// When the next copy of the current attempt is sent, and how many more may be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hedging {
    pub(super) next: Option<Instant>,
    pub(super) left: u32,
}

impl<T: Terms> CallMachine<T> {
    /// A call that starts at `now` and asks for its first attempt at once.
    ///
    /// `entropy` seeds the waits and must differ from call to call: equal entropy, equal waits. The policy's
    /// deadline counts from `now`. A policy that breaks its rules is followed as far as it goes: see
    /// [`RetryPolicy::validate`].
    #[must_use]
    pub fn new(terms: T, entropy: u64, now: Instant) -> Self {
        Self::since(terms, entropy, now, now)
    }

    /// As [`CallMachine::new`], of a call that had to wait before its first attempt, as for a place in a queue: its deadline
    /// counts from `started`.
    #[must_use]
    pub fn since(terms: T, entropy: u64, started: Instant, now: Instant) -> Self {
        let mut clock = Monotonic::default();
        clock.observe(now);
        let mut call = Self {
            terms,
            entropy,
            clock,
            started,
            state: State::Attempting,
            copies: Copies::default(),
            hedging: Hedging::default(),
            last: None,
            announced: None,
            asked: 0,
            tally: Tally::default(),
            waits: Waits::new(),
            tried: Tried::new(),
            decided: Decided::default(),
            held: 0,
            ignored: 0,
        };
        if let Some(reason) = call.overdue(now) {
            call.give_up(reason);
            return call;
        }
        if let Some(budget) = call.terms.budget() {
            budget.deposit(now);
        }
        call.begin(now, AttemptKind::First, None);
        call
    }

    /// The instances that the next attempt is to avoid.
    #[must_use]
    pub const fn tried(&self) -> &Tried {
        &self.tried
    }

    /// What it has done so far.
    #[must_use]
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What was decided and has not been asked for, one decision after the other, for whoever explains or measures. Whoever
    /// asks after each input until there is none misses none; of what is not asked for the last is kept, and every copy.
    pub const fn take_decision(&mut self) -> Option<Decision> {
        self.decided.take()
    }

    /// How many attempts took place or are under way.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.tally.attempts
    }

    /// How many inputs were about an attempt that was not under way.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    pub(super) fn give_up(&mut self, reason: GiveUpReason) {
        self.end(CallEvent::GaveUp { reason, attempts: self.tally.attempts });
    }

    fn end(&mut self, event: CallEvent) {
        self.hedging = Hedging::default();
        self.state = State::Over(Some(event));
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let own = self.terms.policy().deadline.map_or(Deadline::NEVER, |own| Deadline::after(self.started, own));
        own.min(self.terms.deadline()).instant()
    }

    pub(super) fn overdue(&self, now: Instant) -> Option<GiveUpReason> {
        let deadline = self.deadline().filter(|deadline| now >= *deadline)?;
        Some(GiveUpReason::DeadlineExceeded { deadline: deadline.since(self.started) })
    }

    /// How long an attempt that begins `now` may take.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        let policy = self.terms.policy();
        let left = self.deadline().map(|deadline| deadline.since(now));
        let measured = policy.attempt_timeout_rule.and_then(|rule| self.terms.time(now, &rule));
        [left, measured, policy.attempt_timeout].into_iter().flatten().min()
    }

    /// Ends the call at its deadline.
    fn expire(&mut self, now: Instant, reason: GiveUpReason) {
        self.abandon_all(now, AttemptEnd::TimedOut);
        self.give_up(reason);
    }

    /// Abandons what is under way, and forgets what the driver has not taken up.
    fn abandon_all(&mut self, now: Instant, end: AttemptEnd) {
        while let Some(copy) = self.copies.take(Copy::is_live) {
            let was_asked = copy.stage == Stage::Asked;
            self.release(now, &copy, if was_asked { AttemptEnd::NotMade } else { end });
            if !was_asked {
                let stage = Stage::Abandoned { lost: end == AttemptEnd::Cancelled };
                self.copies.put(Copy { stage, ..copy });
            }
        }
    }

    /// An attempt ended with `class`, or was timed out.
    fn ended(&mut self, now: Instant, id: AttemptId, class: Option<Class>) {
        let Some(copy) = self.copies.take_live(id) else { return };
        self.release(now, &copy, class.map_or(AttemptEnd::TimedOut, AttemptEnd::Ended));
        match class {
            Some(Class::Success) => {
                self.abandon_all(now, AttemptEnd::Cancelled);
                self.end(CallEvent::Succeeded { attempts: self.tally.attempts });
            }
            Some(Class::Permanent) => {
                self.abandon_all(now, AttemptEnd::Cancelled);
                self.give_up(GiveUpReason::Permanent);
            }
            Some(Class::Final { by, .. }) => {
                self.abandon_all(now, AttemptEnd::Cancelled);
                self.give_up(GiveUpReason::Final { by });
            }
            Some(Class::Transient | Class::Unreachable | Class::Throttled { .. }) | None => self.failed(now, class),
        }
    }

    /// What follows from an attempt after which another may succeed.
    fn failed(&mut self, now: Instant, class: Option<Class>) {
        // First, so that a driver whose timer is late gets the same reason as one whose timer is not.
        if let Some(reason) = self.overdue(now) {
            self.expire(now, reason);
            return;
        }
        self.last = class;
        self.announced = self.announced.max(class.and_then(Class::retry_after));
        let is_last = self.copies.count_live() == 0;
        let may_retry = self.tally.retries.saturating_add(1) < self.terms.policy().attempts_max.get();
        if self.hedging.next.is_some() && !(is_last && may_retry) {
            // What a failed copy leaves to the next one need not wait for its time, unless the callee asks for time.
            match class {
                Some(Class::Throttled { .. }) => {
                    self.hedging.next = self.hedging.next.max(Some(now.after(self.announced.unwrap_or_default())));
                }
                Some(_) | None => self.hedge(now),
            }
        }
        if self.copies.count_live() == 0 {
            self.retry(now);
        }
    }

    /// No instance, or none that may be asked, was found for an attempt.
    fn unavailable(&mut self, now: Instant, id: AttemptId, reason: Unavailable) {
        let Some(mut copy) = self.copies.take_live(id) else { return };
        self.tally.uncount(copy.kind);
        // The budget hears of it where the attempt is given up, not where it is asked for again.
        let paid = copy.paid.take();
        self.leave(now, &copy.passes, AttemptEnd::NotMade, now.since(copy.began));
        if let Some(reason) = self.overdue(now) {
            self.settle(now, AttemptEnd::NotMade, paid);
            self.expire(now, reason);
            return;
        }
        let is_shut = matches!(reason, Unavailable::Shut(_));
        if copy.kind == AttemptKind::Hedge || is_shut && self.copies.count_live() > 0 {
            self.settle(now, AttemptEnd::NotMade, paid);
            self.hedging = Hedging::default();
            if self.copies.count_live() == 0 {
                self.retry(now);
            }
            return;
        }
        if let Unavailable::Shut(shut) = reason {
            self.hedging = Hedging::default();
            self.hold(now, copy.kind, paid, shut);
            return;
        }
        // With nothing to forget, asking again would go round for ever.
        if reason == Unavailable::AllExcluded && !self.tried.is_empty() {
            self.tried.clear();
            if let Err(reason) = self.ask(now, copy.kind, paid) {
                self.abandon_all(now, AttemptEnd::Cancelled);
                self.give_up(reason);
            }
            return;
        }
        self.settle(now, AttemptEnd::NotMade, paid);
        self.abandon_all(now, AttemptEnd::Cancelled);
        self.give_up(GiveUpReason::NoInstance);
    }
}

impl<T: Terms> Machine for CallMachine<T> {
    type Input = CallInput;
    type Effect = CallEffect;
    type Event = CallEvent;

    fn handle_input(&mut self, now: Instant, input: CallInput) {
        let now = self.clock.observe(now);
        let id = input.attempt();
        if self.copies.live(id).is_none() {
            self.ignored = self.ignored.saturating_add(1);
            return;
        }
        match input {
            CallInput::Picked { endpoint, .. } => self.tried.insert(endpoint),
            CallInput::Unavailable { reason, .. } => self.unavailable(now, id, reason),
            CallInput::Ended { class, .. } => self.ended(now, id, Some(class)),
            CallInput::TimedOut { .. } => self.ended(now, id, None),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        let now = self.clock.observe(now);
        match self.state {
            State::Attempting => match self.overdue(now) {
                Some(reason) => self.expire(now, reason),
                None => self.hedge_while_due(now),
            },
            State::Waiting { kind, paid, again, .. } => self.resume(now, kind, paid, again),
            State::Over(_) => {}
        }
    }

    fn poll_effect(&mut self) -> Option<CallEffect> {
        if let Some(copy) = self.copies.take(|copy| !copy.is_live()) {
            let why = if copy.stage == (Stage::Abandoned { lost: true }) {
                CancelReason::Lost
            } else {
                CancelReason::Deadline
            };
            return Some(CallEffect::Cancel { attempt: copy.id, why });
        }
        self.copies.first(|copy| copy.stage == Stage::Asked)?;
        let timeout = self.timeout(self.clock.latest());
        let copy = self.copies.first(|copy| copy.stage == Stage::Asked)?;
        copy.stage = Stage::UnderWay;
        Some(CallEffect::Attempt { attempt: copy.id, number: copy.number, kind: copy.kind, timeout })
    }

    fn poll_event(&mut self) -> Option<CallEvent> {
        if let State::Over(event) = &mut self.state { event.take() } else { None }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Attempting => match (self.deadline(), self.hedging.next) {
                (Some(deadline), Some(next)) => Some(deadline.min(next)),
                (deadline, next) => deadline.or(next),
            },
            State::Waiting { until, .. } => Some(until),
            State::Over(_) => None,
        }
    }
}

impl<T: Terms> Drop for CallMachine<T> {
    fn drop(&mut self) {
        let now = self.clock.latest();
        self.abandon_all(now, AttemptEnd::Cancelled);
        if let State::Waiting { kind, paid, .. } = self.state
            && (paid.is_some() || kind == AttemptKind::First)
        {
            self.settle(now, AttemptEnd::NotMade, paid);
        }
    }
}
