//! Taking an entry away, part by part, until the registry is seen to hold nothing of it.
//!
//! Decides which part goes next, when to look, and when to stop trying. It trusts no acknowledgement: only an
//! inspection says that something is gone.

use alloc::sync::Arc;
use core::time::Duration;

use super::config::{KeeperConfig, Pacing};
use super::operation::Question;
use super::parts::{Part, Parts, Standing};
use super::round::Turn;
use crate::port::{RegistryError, StateChange};
use crate::service::ServiceConfig;
use crate::time::Instant;

/// The removal of one entry.
#[derive(Debug)]
pub(super) struct Removal {
    config: Arc<ServiceConfig>,
    deadline: Instant,
    patience: Duration,
    retry: Pacing,
    after_pause: Question,
    settle: Option<Duration>,
    asked: Parts,
    refused: Parts,
    found: Parts,
    stands: Parts,
    certain: bool,
    error: Option<RegistryError>,
}

/// What a removal does next.
#[derive(Debug)]
pub(super) enum RemovalStep {
    /// Asks the registry.
    Ask(Question),
    /// Pauses.
    Pause(Duration),
    /// It is over.
    Done(Removed),
}

/// What a removal achieved.
#[derive(Debug)]
pub(super) struct Removed {
    /// What still stands.
    pub(super) stands: Parts,
    /// What stood and no longer does.
    pub(super) removed: Parts,
    /// Whether `stands` was seen after the last change; otherwise it may stand.
    pub(super) certain: bool,
    /// What stood in the way of the end that was wanted.
    pub(super) error: Option<RegistryError>,
}

impl Removal {
    /// The removal of the entry of `config`, to be over within `budget` from `now`. With `settle`, when nothing
    /// is found, it looks once more that much later.
    pub(super) fn new(
        now: Instant,
        config: Arc<ServiceConfig>,
        budget: Duration,
        settle: Option<Duration>,
        keeper: &KeeperConfig,
    ) -> Self {
        Self {
            stands: Parts::of(&config),
            config,
            deadline: now + budget,
            patience: keeper.operation_timeout.min(budget / OPERATIONS_MIN),
            retry: Pacing::new(keeper.retry),
            after_pause: Question::Inspect,
            settle,
            asked: Parts::NONE,
            refused: Parts::NONE,
            found: Parts::NONE,
            certain: false,
            error: None,
        }
    }

    /// Begins with a look at what stands.
    pub(super) const fn look(&self) -> RemovalStep {
        RemovalStep::Ask(Question::Inspect)
    }

    /// Takes `part` away.
    pub(super) fn remove(&mut self, part: Part) -> RemovalStep {
        self.asked = self.asked.with(part.into());
        RemovalStep::Ask(Question::Deregister(part))
    }

    /// Goes on after a pause.
    pub(super) fn resume(&mut self, turn: &Turn<'_>) -> RemovalStep {
        if turn.now >= self.deadline {
            return self.done();
        }
        match self.after_pause {
            Question::Deregister(part) => self.remove(part),
            Question::Inspect | Question::Register => self.look(),
        }
    }

    /// Takes in what stands.
    pub(super) fn inspected(&mut self, result: Result<Standing, RegistryError>, turn: Turn<'_>) -> RemovalStep {
        let standing = match result {
            Ok(standing) => standing,
            Err(error) if error.is_transient() => return self.again(error, Question::Inspect, turn),
            Err(error) => return self.blind(error),
        };
        self.stands = standing.stands();
        self.found = self.found.with(self.stands);
        self.certain = true;
        if self.stands.is_empty() {
            return self.nothing_left(&turn);
        }
        match self.stands.without(self.refused).iter().next() {
            None => self.done(),
            Some(_) if turn.now >= self.deadline => self.done(),
            Some(part) if self.asked.contains(part) => self.pause(Question::Deregister(part), turn),
            Some(part) => self.remove(part),
        }
    }

    /// Takes in the answer to the removal of `part`.
    pub(super) fn deregistered(
        &mut self,
        part: Part,
        result: Result<(), RegistryError>,
        turn: Turn<'_>,
    ) -> RemovalStep {
        self.certain = false;
        match result {
            Ok(()) => {}
            Err(error) if error.state_changed() == StateChange::No && error.is_transient() => {
                return self.again(error, Question::Deregister(part), turn);
            }
            Err(error) if error.is_transient() => self.error = Some(error),
            Err(error) => {
                self.refused = self.refused.with(part.into());
                self.error = Some(error);
            }
        }
        if turn.now < self.deadline { self.look() } else { self.done() }
    }

    /// The entry that is taken away.
    pub(super) const fn config(&self) -> &Arc<ServiceConfig> {
        &self.config
    }

    /// Until when the answer to an operation that is asked for now is waited for.
    pub(super) fn patient_until(&self, now: Instant) -> Instant {
        self.deadline.min(now + self.patience)
    }

    /// Nothing stands; what was ordered before may still come, and then may stand.
    fn nothing_left(&mut self, turn: &Turn<'_>) -> RemovalStep {
        let left = self.deadline.since(turn.now);
        let Some(wait) = self.settle.take().map(|settle| settle.min(left)).filter(|wait| !wait.is_zero()) else {
            return self.done();
        };
        (self.stands, self.certain) = (Parts::of(&self.config), false);
        (self.asked, self.after_pause) = (Parts::NONE, Question::Inspect);
        RemovalStep::Pause(wait)
    }

    /// The registry lets nobody look: what may stand is taken away unseen, once.
    fn blind(&mut self, error: RegistryError) -> RemovalStep {
        self.error = Some(error);
        match self.stands.without(self.asked).iter().next() {
            Some(part) => self.remove(part),
            None => self.done(),
        }
    }

    fn again(&mut self, error: RegistryError, question: Question, turn: Turn<'_>) -> RemovalStep {
        self.error = Some(error);
        self.pause(question, turn)
    }

    fn pause(&mut self, then: Question, turn: Turn<'_>) -> RemovalStep {
        if turn.now >= self.deadline {
            return self.done();
        }
        self.after_pause = then;
        RemovalStep::Pause(self.retry.draw(turn.rng).min(self.deadline.since(turn.now)))
    }

    fn done(&mut self) -> RemovalStep {
        let (stands, certain) = (self.stands, self.certain);
        let gone = certain && stands.is_empty();
        let error = self.error.take().filter(|_| !gone);
        RemovalStep::Done(Removed { stands, removed: self.found.without(stands), certain, error })
    }
}

/// How many operations that go unanswered fit into a removal: one lost answer must leave time for another try.
const OPERATIONS_MIN: u32 = 3;
