//! The keeper's inside: what it is about, and what it turns to when that ends.

use alloc::sync::Arc;

use super::event::{Failure, RegistrationError, RegistrationEvent};
use super::keeper::RegistrationKeeper;
use super::operation::Question;
use super::parts::{Part, Parts, Standing};
use super::removal::{Removal, RemovalStep, Removed};
use super::round::{Patience, Round, RoundStep, Turn};
use crate::port::RegistryError;
use crate::service::ServiceConfig;
use crate::time::Instant;

/// What a keeper is about.
#[derive(Debug)]
pub(super) enum Activity {
    /// It makes a configuration stand.
    Round { round: Round, purpose: Purpose },
    /// What it keeps stands; `confirmed` as far as the last verification could tell.
    Holding { confirmed: bool },
    /// It takes the entry away.
    Removing { removal: Removal, reason: Reason },
    /// It is to take the entry away and first waits for an order that is under way.
    Leaving,
    /// The first registration failed; `clean` if nothing of it stands.
    Failed { clean: bool },
    /// The entry was taken away; `confirmed` if it was seen to be gone.
    Left { confirmed: bool },
}

/// Why a configuration is made to stand.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Nothing was registered yet.
    First,
    /// It takes the place of another.
    Update,
    /// An update failed with `error`, and the previous configuration is put back.
    Revert { error: RegistrationError },
    /// What stood was lost.
    Restore,
}

/// Why an entry is taken away.
#[derive(Debug)]
pub(super) enum Reason {
    /// The first registration failed with `error`.
    Rollback { error: RegistrationError },
    /// The owner said so.
    Deregistration,
}

impl RegistrationKeeper {
    /// Makes `service` stand for `purpose`.
    pub(super) fn begin_round(&mut self, now: Instant, service: Arc<ServiceConfig>, purpose: Purpose) {
        let patience = match purpose {
            Purpose::First | Purpose::Update | Purpose::Revert { .. } => Patience::Limited,
            Purpose::Restore => Patience::Endless,
        };
        let mut round = Round::new(now, service, patience, &self.config);
        let step = match purpose {
            Purpose::Revert { .. } => RoundStep::Ask(Question::Inspect),
            Purpose::First | Purpose::Update | Purpose::Restore => round.order(),
        };
        self.activity = Activity::Round { round, purpose };
        self.follow_round(now, step);
    }

    /// Takes the entry away because the owner said so.
    pub(super) fn begin_deregistration(&mut self, now: Instant) {
        let mut removal = self.removal(now, Arc::clone(&self.service), self.config.deregister_deadline);
        let step = removal.remove(Part::Service);
        self.activity = Activity::Removing { removal, reason: Reason::Deregistration };
        self.follow_removal(now, step);
    }

    /// Rests after the entry was taken away.
    pub(super) fn left(&mut self, confirmed: bool, error: Option<RegistryError>) {
        self.activity = Activity::Left { confirmed };
        self.report(RegistrationEvent::Deregistered { confirmed, error });
    }

    pub(super) fn registered(&mut self, now: Instant, result: Result<(), RegistryError>) {
        match &mut self.activity {
            Activity::Round { round, .. } => {
                let step = round.registered(result, Turn { now, keeper: &self.config, rng: &mut self.rng });
                self.follow_round(now, step);
            }
            Activity::Leaving => self.begin_deregistration(now),
            Activity::Holding { .. } | Activity::Removing { .. } | Activity::Failed { .. } | Activity::Left { .. } => {}
        }
    }

    pub(super) fn inspected(&mut self, now: Instant, result: Result<Standing, RegistryError>) {
        let turn = Turn { now, keeper: &self.config, rng: &mut self.rng };
        match &mut self.activity {
            Activity::Round { round, .. } => {
                let step = round.inspected(result, turn);
                self.follow_round(now, step);
            }
            Activity::Removing { removal, .. } => {
                let step = removal.inspected(result, turn);
                self.follow_removal(now, step);
            }
            Activity::Holding { confirmed } => {
                let confirmed = *confirmed;
                self.verified(now, result, confirmed);
            }
            Activity::Leaving | Activity::Failed { .. } | Activity::Left { .. } => {}
        }
    }

    pub(super) fn deregistered(&mut self, now: Instant, part: Part, result: Result<(), RegistryError>) {
        let turn = Turn { now, keeper: &self.config, rng: &mut self.rng };
        match &mut self.activity {
            Activity::Round { round, .. } => {
                let step = round.deregistered(result, turn);
                self.follow_round(now, step);
            }
            Activity::Removing { removal, .. } => {
                let step = removal.deregistered(part, result, turn);
                self.follow_removal(now, step);
            }
            Activity::Holding { .. } | Activity::Leaving | Activity::Failed { .. } | Activity::Left { .. } => {}
        }
    }

    /// A pause is over.
    pub(super) fn resumed(&mut self, now: Instant) {
        match &mut self.activity {
            Activity::Round { round, .. } => {
                let step = round.resume();
                self.follow_round(now, step);
            }
            Activity::Removing { removal, .. } => {
                let step = removal.resume(&Turn { now, keeper: &self.config, rng: &mut self.rng });
                self.follow_removal(now, step);
            }
            Activity::Holding { .. } => {
                let until = now + self.config.operation_timeout;
                self.desk.ask(now, Question::Inspect, &self.service, until);
            }
            Activity::Leaving | Activity::Failed { .. } | Activity::Left { .. } => {}
        }
    }

    /// What stands may be lost: the next verification is made now, but not within [`poll.cap`](super::Pace::cap) of the
    /// last one that a doubt caused. Whatever else is going on finds out by itself.
    pub(super) fn doubted(&mut self, now: Instant) {
        let at = self.doubts_from.max(now);
        if matches!(self.activity, Activity::Holding { .. }) && self.desk.hurry(at) {
            self.doubts_from = at + self.config.poll.cap;
        }
    }

    /// A verification was made, or could not be.
    fn verified(&mut self, now: Instant, result: Result<Standing, RegistryError>, was_confirmed: bool) {
        let event = match result {
            Ok(standing) => {
                let parts = standing.wrong(Parts::of(&self.service));
                if !parts.is_empty() {
                    self.report(RegistrationEvent::Lost { parts });
                    return self.begin_round(now, Arc::clone(&self.service), Purpose::Restore);
                }
                self.activity = Activity::Holding { confirmed: true };
                (!was_confirmed).then_some(RegistrationEvent::Confirmed)
            }
            Err(error) => {
                self.activity = Activity::Holding { confirmed: false };
                was_confirmed.then_some(RegistrationEvent::Unconfirmed { error })
            }
        };
        if let Some(event) = event {
            self.report(event);
        }
        self.desk.pause(now + self.config.until_verification(&mut self.rng));
    }

    fn follow_round(&mut self, now: Instant, step: RoundStep) {
        let Activity::Round { round, .. } = &self.activity else { return };
        match step {
            RoundStep::Ask(question) => {
                self.desk.ask(now, question, round.config(), now + self.config.operation_timeout);
            }
            RoundStep::Pause(delay) => self.desk.pause(now + delay),
            RoundStep::Retry { error, delay } => {
                self.desk.pause(now + delay);
                let attempts = round.attempts();
                self.report(RegistrationEvent::Retrying { error, attempts, delay });
            }
            RoundStep::Done(result) => self.end_round(now, result),
        }
    }

    fn end_round(&mut self, now: Instant, result: Result<(), RegistrationError>) {
        let activity = core::mem::replace(&mut self.activity, Activity::Holding { confirmed: true });
        let Activity::Round { round, purpose } = activity else { return };
        let error = match result {
            Ok(()) => return self.stands(now, &round, purpose),
            Err(error) => error,
        };
        match purpose {
            Purpose::First => {
                let removal = self.removal(now, Arc::clone(round.config()), self.config.rollback_deadline);
                let step = removal.look();
                self.activity = Activity::Removing { removal, reason: Reason::Rollback { error } };
                self.follow_removal(now, step);
            }
            Purpose::Update => self.begin_round(now, Arc::clone(&self.service), Purpose::Revert { error }),
            Purpose::Revert { error: cause } => {
                let changed = round.changed();
                self.report(RegistrationEvent::UpdateFailed { error: cause, changed, restored: false });
                self.restore_after(now, error);
            }
            Purpose::Restore => self.restore_after(now, error),
        }
    }

    /// A round made its configuration stand.
    fn stands(&mut self, now: Instant, round: &Round, purpose: Purpose) {
        let attempts = round.attempts();
        let event = match purpose {
            Purpose::First => RegistrationEvent::Registered { attempts, elapsed: now.since(self.started) },
            Purpose::Restore => RegistrationEvent::Restored { attempts },
            Purpose::Update => RegistrationEvent::Updated,
            Purpose::Revert { error } => {
                RegistrationEvent::UpdateFailed { error, changed: round.changed(), restored: true }
            }
        };
        self.service = Arc::clone(round.config());
        self.report(event);
        self.activity = Activity::Holding { confirmed: true };
        match self.queued.take() {
            Some(service) => self.begin_round(now, service, Purpose::Update),
            None => self.desk.pause(now + self.config.until_verification(&mut self.rng)),
        }
    }

    /// Restores what is kept, beginning with a pause after `error`.
    fn restore_after(&mut self, now: Instant, error: RegistrationError) {
        let mut round = Round::new(now, Arc::clone(&self.service), Patience::Endless, &self.config);
        let step = round.failed(error, Turn { now, keeper: &self.config, rng: &mut self.rng });
        self.activity = Activity::Round { round, purpose: Purpose::Restore };
        self.follow_round(now, step);
    }

    fn removal(&self, now: Instant, config: Arc<ServiceConfig>, budget: core::time::Duration) -> Removal {
        let settle = self.desk.registration_may_come(now).then_some(self.config.settle);
        Removal::new(now, config, budget, settle, &self.config)
    }

    fn follow_removal(&mut self, now: Instant, step: RemovalStep) {
        let Activity::Removing { removal, .. } = &self.activity else { return };
        match step {
            RemovalStep::Ask(question) => {
                self.desk.ask(now, question, removal.config(), removal.patient_until(now));
            }
            RemovalStep::Pause(delay) => self.desk.pause(now + delay),
            RemovalStep::Done(removed) => self.end_removal(removed),
        }
    }

    fn end_removal(&mut self, removed: Removed) {
        let Removed { stands, removed: rolled_back, certain, error: obstacle } = removed;
        let clean = certain && stands.is_empty();
        let activity = core::mem::replace(&mut self.activity, Activity::Failed { clean });
        self.desk.abandon();
        let Activity::Removing { reason, .. } = activity else { return };
        match reason {
            Reason::Rollback { error } => {
                let failure = Failure { error, stands, rolled_back, certain, rollback_error: obstacle };
                self.report(RegistrationEvent::Failed(failure));
            }
            Reason::Deregistration => self.left(clean, obstacle),
        }
    }
}
