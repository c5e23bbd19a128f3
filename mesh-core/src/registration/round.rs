//! One round of registering: order, see that it stands, order again.
//!
//! Decides when a failed order is repeated, when an acknowledged one counts as not carried out, and when the
//! round is given up. It never takes back what it ordered, except a part that is in the way.

use alloc::sync::Arc;
use core::time::Duration;

use super::config::{KeeperConfig, Pacing};
use super::event::RegistrationError;
use super::operation::Question;
use super::parts::{Parts, Standing};
use crate::port::{RegistryError, StateChange};
use crate::rng::Rng;
use crate::service::ServiceConfig;
use crate::time::Instant;

/// The round in which one configuration is made to stand.
#[derive(Debug)]
pub(super) struct Round {
    config: Arc<ServiceConfig>,
    wanted: Parts,
    patience: Patience,
    attempts: u32,
    started: Instant,
    retry: Pacing,
    stage: Stage,
    changed: Parts,
}

/// How long a round goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until the configured attempts or time are used up, or the registry refuses.
    Limited,
    /// For as long as it takes.
    Endless,
}

/// What a round does next.
#[derive(Debug)]
pub(super) enum RoundStep {
    /// Asks the registry.
    Ask(Question),
    /// Pauses.
    Pause(Duration),
    /// Pauses before it repeats what failed.
    Retry { error: RegistrationError, delay: Duration },
    /// It is over: the configuration stands, or it does not and why.
    Done(Result<(), RegistrationError>),
}

/// What every decision is made with: the time, the numbers and the dice.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    pub(super) now: Instant,
    pub(super) keeper: &'a KeeperConfig,
    pub(super) rng: &'a mut Rng,
}

impl Round {
    /// A round that makes `config` stand.
    pub(super) fn new(now: Instant, config: Arc<ServiceConfig>, patience: Patience, keeper: &KeeperConfig) -> Self {
        Self {
            wanted: Parts::of(&config),
            config,
            patience,
            attempts: 0,
            started: now,
            retry: Pacing::new(keeper.retry),
            stage: Stage::Ordering,
            changed: Parts::NONE,
        }
    }

    /// Gives an order.
    pub(super) fn order(&mut self) -> RoundStep {
        self.attempts = self.attempts.saturating_add(1);
        self.stage = Stage::Ordering;
        RoundStep::Ask(Question::Register)
    }

    /// Goes on after a pause.
    pub(super) fn resume(&mut self) -> RoundStep {
        match self.stage {
            Stage::Ordering => self.order(),
            Stage::FindingOut { .. } | Stage::Seeking(_) => RoundStep::Ask(Question::Inspect),
        }
    }

    /// Takes in the answer to an order.
    pub(super) fn registered(&mut self, result: Result<(), RegistryError>, turn: Turn<'_>) -> RoundStep {
        match result {
            Ok(()) => self.stage = Stage::Seeking(Seeking::new(self.wanted, &turn)),
            Err(error) if error.is_transient() && error.state_changed() != StateChange::No => {
                self.stage = Stage::FindingOut { error };
            }
            Err(error) => return self.failed(error.into(), turn),
        }
        RoundStep::Ask(Question::Inspect)
    }

    /// Takes in what stands.
    pub(super) fn inspected(&mut self, result: Result<Standing, RegistryError>, mut turn: Turn<'_>) -> RoundStep {
        if result.as_ref().is_ok_and(|standing| standing.wrong(self.wanted).is_empty()) {
            return RoundStep::Done(Ok(()));
        }
        let missed = match &mut self.stage {
            Stage::Ordering => {
                self.changed = result.map_or(self.wanted, |standing| standing.wrong(self.wanted));
                return self.order();
            }
            Stage::FindingOut { error } => Err(error.clone().into()),
            Stage::Seeking(seeking) => seeking.missed(result, &mut turn),
        };
        missed.unwrap_or_else(|error| self.failed(error, turn))
    }

    /// Takes in whether a part that was in the way was taken away.
    pub(super) fn deregistered(&mut self, result: Result<(), RegistryError>, mut turn: Turn<'_>) -> RoundStep {
        let next = match (&mut self.stage, result) {
            (_, Err(error)) if !error.is_transient() => Err(error.into()),
            (Stage::Seeking(seeking), result) => {
                seeking.last = result.err();
                seeking.look_again(&mut turn)
            }
            (Stage::Ordering | Stage::FindingOut { .. }, _) => return self.order(),
        };
        next.unwrap_or_else(|error| self.failed(error, turn))
    }

    /// Decides what comes after a failure: a pause, or the end.
    pub(super) fn failed(&mut self, error: RegistrationError, turn: Turn<'_>) -> RoundStep {
        self.stage = Stage::Ordering;
        let delay = delay_after(&error, &mut self.retry, turn.keeper, turn.rng);
        if self.patience == Patience::Endless {
            return RoundStep::Retry { error, delay };
        }
        match error {
            RegistrationError::Registry(last) if last.is_transient() => {
                let attempts_left = self.attempts < turn.keeper.register_attempts_max.get();
                let in_time = turn.now + delay < self.started + turn.keeper.register_deadline;
                if attempts_left && in_time {
                    return RoundStep::Retry { error: last.into(), delay };
                }
                let (attempts, elapsed) = (self.attempts, turn.now.since(self.started));
                RoundStep::Done(Err(RegistrationError::GaveUp { attempts, elapsed, last }))
            }
            RegistrationError::Registry(_)
            | RegistrationError::GaveUp { .. }
            | RegistrationError::NotVisible { .. } => RoundStep::Done(Err(error)),
        }
    }

    /// What is made to stand.
    pub(super) const fn config(&self) -> &Arc<ServiceConfig> {
        &self.config
    }

    /// How many orders were given.
    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// What was not as it should be when the round looked before its first order.
    pub(super) const fn changed(&self) -> Parts {
        self.changed
    }
}

#[derive(Debug)]
enum Stage {
    /// An order is to be given, or was and is not answered. A look at what stands, before the first order, says
    /// whether one is needed.
    Ordering,
    /// An order failed with `error` but may have been carried out.
    FindingOut { error: RegistryError },
    /// An order was acknowledged and must become visible.
    Seeking(Seeking),
}

/// The search for what was acknowledged.
#[derive(Debug)]
struct Seeking {
    wanted: Parts,
    until: Instant,
    poll: Pacing,
    wrong: Parts,
    last: Option<RegistryError>,
}

impl Seeking {
    fn new(wanted: Parts, turn: &Turn<'_>) -> Self {
        let until = turn.now + turn.keeper.visible_within;
        Self { wanted, until, poll: Pacing::new(turn.keeper.poll), wrong: wanted, last: None }
    }

    /// What was sought is not there: a part in the way is taken away, anything else takes time.
    fn missed(
        &mut self,
        found: Result<Standing, RegistryError>,
        turn: &mut Turn<'_>,
    ) -> Result<RoundStep, RegistrationError> {
        match found {
            Err(error) if !error.is_transient() => return Err(error.into()),
            Err(error) => self.last = Some(error),
            Ok(standing) => {
                (self.wrong, self.last) = (standing.wrong(self.wanted), None);
                let surplus = standing.surplus(self.wanted);
                if let Some(part) = surplus.iter().next().filter(|_| self.wrong == surplus && turn.now < self.until) {
                    return Ok(RoundStep::Ask(Question::Deregister(part)));
                }
            }
        }
        self.look_again(turn)
    }

    /// Looks once more after a pause, unless the time is over.
    fn look_again(&mut self, turn: &mut Turn<'_>) -> Result<RoundStep, RegistrationError> {
        if turn.now < self.until {
            return Ok(RoundStep::Pause(self.poll.draw(turn.rng).min(self.until.since(turn.now))));
        }
        let within = turn.keeper.visible_within;
        Err(RegistrationError::NotVisible { within, parts: self.wrong, last: self.last.take() })
    }
}

/// The wait before the next order. A registry that throttles is obeyed up to the cap of the waits.
fn delay_after(error: &RegistrationError, retry: &mut Pacing, keeper: &KeeperConfig, rng: &mut Rng) -> Duration {
    let drawn = retry.draw(rng);
    match error {
        RegistrationError::Registry(refusal) if !refusal.is_transient() => keeper.refused_retry,
        RegistrationError::Registry(failure) => {
            drawn.max(failure.retry_after().unwrap_or_default().min(keeper.retry.cap))
        }
        RegistrationError::GaveUp { .. } | RegistrationError::NotVisible { .. } => drawn,
    }
}
