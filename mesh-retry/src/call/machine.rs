//! The call machine: decides after each attempt whether, when and why not to make another.

use core::borrow::Borrow;
use core::time::Duration;

use mesh_core::balance::Tried;
use mesh_core::machine::Machine;
use mesh_core::rng::Rng;
use mesh_core::time::{Instant, Monotonic};

use super::{AttemptId, CallEffect, CallEvent, CallInput, GiveUpReason, Unavailable};
use crate::backoff::{Cause, Waits};
use crate::classify::Class;
use crate::policy::RetryPolicy;

/// The retries of one call: see [the module](super) for what it is told, asks for and reports.
///
/// `P` is how it holds its policy: a reference keeps it small, an `Arc` or the policy itself lets it go anywhere.
///
/// It cannot be cloned, since two machines with the same entropy would wait for the same times.
#[derive(Debug)]
pub struct CallMachine<P = RetryPolicy> {
    policy: P,
    entropy: u64,
    clock: Monotonic,
    started: Instant,
    state: State,
    /// Effects asked for; also the number of the last attempt's id.
    asked: u64,
    /// Attempts that took place or are under way.
    attempts: u32,
    waits: Waits,
    tried: Tried,
    effect: Option<CallEffect>,
    ignored: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Attempting(AttemptId),
    Waiting {
        until: Instant,
    },
    /// With how it ended, until that has been told.
    Over(Option<CallEvent>),
}

impl<P: Borrow<RetryPolicy>> CallMachine<P> {
    /// A call that starts at `now` and asks for its first attempt at once.
    ///
    /// `entropy` seeds the waits and must differ from call to call: equal entropy, equal waits. The deadline
    /// counts from `now`. A policy that breaks its rules is followed as far as it goes: see
    /// [`RetryPolicy::validate`].
    #[must_use]
    pub fn new(policy: P, entropy: u64, now: Instant) -> Self {
        let mut clock = Monotonic::default();
        clock.observe(now);
        let mut call = Self {
            policy,
            entropy,
            clock,
            started: now,
            state: State::Over(None),
            asked: 0,
            attempts: 0,
            waits: Waits::new(),
            tried: Tried::new(),
            effect: None,
            ignored: 0,
        };
        call.ask(now);
        call
    }

    /// The instances that the next attempt is to avoid.
    #[must_use]
    pub const fn tried(&self) -> &Tried {
        &self.tried
    }

    /// How many attempts took place or are under way.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How many inputs were about an attempt that was not under way.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn policy(&self) -> &RetryPolicy {
        self.policy.borrow()
    }

    /// Asks for an attempt, if the deadline leaves any time for it.
    fn ask(&mut self, now: Instant) {
        if let Some(reason) = self.overdue(now) {
            self.give_up(reason);
            return;
        }
        let left = self.deadline().map(|deadline| deadline.since(now));
        self.asked = self.asked.saturating_add(1);
        self.attempts = self.attempts.saturating_add(1);
        let attempt = AttemptId::from_number(self.asked);
        let timeout = match (self.policy().attempt_timeout, left) {
            (Some(timeout), Some(left)) => Some(timeout.min(left)),
            (timeout, left) => timeout.or(left),
        };
        self.state = State::Attempting(attempt);
        self.effect = Some(CallEffect::Attempt { attempt, number: self.attempts, timeout });
    }

    fn unavailable(&mut self, now: Instant, reason: Unavailable) {
        self.attempts = self.attempts.saturating_sub(1);
        match reason {
            // With nothing to forget, asking again would go round for ever.
            Unavailable::AllExcluded if !self.tried.is_empty() => {
                self.tried.clear();
                self.ask(now);
            }
            Unavailable::AllExcluded | Unavailable::None => self.give_up(GiveUpReason::NoInstance),
        }
    }

    fn ended(&mut self, now: Instant, class: Class) {
        match class {
            Class::Success => self.end(CallEvent::Succeeded { attempts: self.attempts }),
            Class::Transient | Class::Unreachable => self.retry(now, Cause::Failed, None),
            Class::Throttled { retry_after } => self.retry(now, Cause::Throttled, retry_after),
            Class::Permanent => self.give_up(GiveUpReason::Permanent),
            Class::Final { by, .. } => self.give_up(GiveUpReason::Final { by }),
        }
    }

    /// Waits before the next attempt as the policy says, or gives up.
    fn retry(&mut self, now: Instant, cause: Cause, announced: Option<Duration>) {
        // First, so that a driver whose timer is late gets the same reason as one whose timer is not.
        if let Some(reason) = self.overdue(now) {
            self.give_up(reason);
            return;
        }
        if self.attempts >= self.policy().attempts_max.get() {
            self.give_up(GiveUpReason::AttemptsExhausted { attempts_max: self.policy().attempts_max });
            return;
        }
        // Most calls never wait, so a generator is made for each wait and not for each call.
        let mut rng = Rng::from_seed(self.entropy.wrapping_add(u64::from(self.attempts)));
        let mut waits = self.waits;
        let needed = match self.policy().wait(&mut waits, cause, announced, &mut rng) {
            Ok(needed) => needed,
            Err(too_long) => {
                self.give_up(too_long.into());
                return;
            }
        };
        self.waits = waits;
        let until = now.after(needed);
        match self.deadline() {
            Some(deadline) if until >= deadline => {
                self.give_up(GiveUpReason::DeadlineTooClose { needed, left: deadline.since(now) });
            }
            Some(_) | None => self.state = State::Waiting { until },
        }
    }

    fn give_up(&mut self, reason: GiveUpReason) {
        self.end(CallEvent::GaveUp { reason, attempts: self.attempts });
    }

    fn end(&mut self, event: CallEvent) {
        self.state = State::Over(Some(event));
    }

    fn deadline(&self) -> Option<Instant> {
        self.policy().deadline.map(|deadline| self.started.after(deadline))
    }

    fn overdue(&self, now: Instant) -> Option<GiveUpReason> {
        let deadline = self.policy().deadline?;
        (now >= self.started.after(deadline)).then_some(GiveUpReason::DeadlineExceeded { deadline })
    }
}

impl<P: Borrow<RetryPolicy>> Machine for CallMachine<P> {
    type Input = CallInput;
    type Effect = CallEffect;
    type Event = CallEvent;

    fn handle_input(&mut self, now: Instant, input: CallInput) {
        let now = self.clock.observe(now);
        if self.state != State::Attempting(input.attempt()) {
            self.ignored = self.ignored.saturating_add(1);
            return;
        }
        match input {
            CallInput::Picked { endpoint, .. } => self.tried.insert(endpoint),
            CallInput::Unavailable { reason, .. } => self.unavailable(now, reason),
            CallInput::Ended { class, .. } => self.ended(now, class),
            CallInput::TimedOut { .. } => self.retry(now, Cause::Failed, None),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        let now = self.clock.observe(now);
        match self.state {
            State::Attempting(attempt) => {
                // An attempt that the driver has not taken up yet is not asked for any more.
                if self.effect.take().is_none() {
                    self.effect = Some(CallEffect::Cancel { attempt });
                }
                if let Some(reason) = self.overdue(now) {
                    self.give_up(reason);
                }
            }
            State::Waiting { .. } => self.ask(now),
            State::Over(_) => {}
        }
    }

    fn poll_effect(&mut self) -> Option<CallEffect> {
        self.effect.take()
    }

    fn poll_event(&mut self) -> Option<CallEvent> {
        if let State::Over(event) = &mut self.state { event.take() } else { None }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Attempting(_) => self.deadline(),
            State::Waiting { until } => Some(until),
            State::Over(_) => None,
        }
    }
}
