//! The keeper's outside: its commands, and its place in the world as a machine.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use super::activity::{Activity, Purpose, Reason};
use super::config::KeeperConfig;
use super::event::{RegistrationEvent, UpdateError};
use super::message::{RegistrationEffect, RegistrationInput};
use super::operation::{Desk, Due, Question};
use crate::machine::Machine;
use crate::port::RegistryError;
use crate::rng::Rng;
use crate::service::{ConfigError, ServiceConfig};
use crate::time::{Instant, Monotonic};

/// Keeps one instance registered: registers, verifies, registers again, rolls back, deregisters.
///
/// It begins registering when it is built, and does so until it is told to [`deregister`](Self::deregister) or
/// the first registration fails for good.
///
/// - *Inputs*: [`RegistrationInput`], the answers to its effects and doubts; late and unknown answers are counted.
/// - *Effects*: [`RegistrationEffect`], one operation at a time.
/// - *Events*: [`RegistrationEvent`].
/// - *Timers*: one, for the answer that is waited for or the pause that is made.
/// - *Bounds*: one effect and [`RegistrationKeeper::EVENTS_MAX`] events wait to be fetched.
#[derive(Debug)]
pub struct RegistrationKeeper {
    pub(super) config: KeeperConfig,
    pub(super) service: Arc<ServiceConfig>,
    pub(super) queued: Option<Arc<ServiceConfig>>,
    pub(super) activity: Activity,
    pub(super) desk: Desk,
    pub(super) events: VecDeque<RegistrationEvent>,
    pub(super) clock: Monotonic,
    pub(super) started: Instant,
    /// The earliest time of the next verification that a doubt may cause.
    pub(super) doubts_from: Instant,
    pub(super) rng: Rng,
}

impl RegistrationKeeper {
    /// How many events wait to be fetched; of more, the oldest are forgotten. A driver that fetches them after
    /// every input never has more than four.
    pub const EVENTS_MAX: usize = 32;

    /// A keeper that registers `service` from `now` on, with jitter drawn from `seed`.
    ///
    /// # Errors
    /// What is wrong with `config`.
    pub fn new(
        config: KeeperConfig,
        service: Arc<ServiceConfig>,
        seed: u64,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut clock = Monotonic::default();
        clock.observe(now);
        let mut keeper = Self {
            config,
            service: Arc::clone(&service),
            queued: None,
            activity: Activity::Holding { confirmed: true },
            desk: Desk::default(),
            events: VecDeque::new(),
            clock,
            started: now,
            doubts_from: now,
            rng: Rng::from_seed(seed),
        };
        keeper.begin_round(now, service, Purpose::First);
        Ok(keeper)
    }

    /// Makes `service` stand in place of what stands, as soon as that does.
    ///
    /// Ends in [`RegistrationEvent::Updated`] or [`RegistrationEvent::UpdateFailed`], unless the registration
    /// itself fails or is taken away before. On failure the previous configuration is put back.
    ///
    /// # Errors
    /// Why the update was not accepted; nothing changed.
    pub fn update(&mut self, now: Instant, service: Arc<ServiceConfig>) -> Result<(), UpdateError> {
        let now = self.clock.observe(now);
        let (kept, given) = (self.service.instance(), service.instance());
        if kept.service() != given.service() {
            let (registered, given) = (kept.service().clone(), given.service().clone());
            return Err(UpdateError::OtherService { registered, given });
        }
        if kept.key() != given.key() {
            return Err(UpdateError::OtherInstance { registered: kept.id().clone(), given: given.id().clone() });
        }
        match &self.activity {
            _ if self.queued.is_some() => return Err(UpdateError::Busy),
            Activity::Round { purpose: Purpose::Update | Purpose::Revert { .. }, .. } => return Err(UpdateError::Busy),
            Activity::Round { purpose: Purpose::First | Purpose::Restore, .. } => self.queued = Some(service),
            Activity::Holding { .. } => self.begin_round(now, service, Purpose::Update),
            Activity::Removing { .. } | Activity::Leaving | Activity::Failed { .. } | Activity::Left { .. } => {
                return Err(UpdateError::NotRegistered);
            }
        }
        Ok(())
    }

    /// Takes the registration away, whatever state it is in, and ends in [`RegistrationEvent::Deregistered`].
    ///
    /// What is going on is broken off, but an order to register that is under way is waited for, lest it be
    /// carried out after the deregistration; so the end comes at most
    /// [`operation_timeout`](KeeperConfig::operation_timeout) and
    /// [`deregister_deadline`](KeeperConfig::deregister_deadline) from now. A second call does nothing, unless
    /// the first could not be confirmed: then it tries again.
    pub fn deregister(&mut self, now: Instant) {
        let now = self.clock.observe(now);
        self.queued = None;
        match &self.activity {
            Activity::Leaving
            | Activity::Removing { reason: Reason::Deregistration, .. }
            | Activity::Left { confirmed: true } => {}
            Activity::Failed { clean: true } => self.left(true, None),
            Activity::Round { .. } if self.desk.registration_in_flight() => self.activity = Activity::Leaving,
            Activity::Round { .. }
            | Activity::Holding { .. }
            | Activity::Removing { reason: Reason::Rollback { .. }, .. }
            | Activity::Failed { clean: false }
            | Activity::Left { confirmed: false } => self.begin_deregistration(now),
        }
    }

    /// What is going on.
    #[must_use]
    pub const fn state(&self) -> RegistrationState {
        match &self.activity {
            Activity::Round { purpose, .. } => match purpose {
                Purpose::First => RegistrationState::Registering,
                Purpose::Update | Purpose::Revert { .. } => RegistrationState::Updating,
                Purpose::Restore => RegistrationState::Restoring,
            },
            Activity::Holding { .. } => RegistrationState::Registered,
            Activity::Removing { reason: Reason::Rollback { .. }, .. } => RegistrationState::RollingBack,
            Activity::Removing { reason: Reason::Deregistration, .. } | Activity::Leaving => {
                RegistrationState::Deregistering
            }
            Activity::Failed { .. } => RegistrationState::Failed,
            Activity::Left { .. } => RegistrationState::Deregistered,
        }
    }

    /// The configuration that is kept; an update's own once it stands.
    #[must_use]
    pub const fn service(&self) -> &Arc<ServiceConfig> {
        &self.service
    }

    /// How many answers came late or to nothing that was asked.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.desk.ignored()
    }

    pub(super) fn report(&mut self, event: RegistrationEvent) {
        if self.events.len() >= Self::EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Machine for RegistrationKeeper {
    type Input = RegistrationInput;
    type Effect = RegistrationEffect;
    type Event = RegistrationEvent;

    fn handle_input(&mut self, now: Instant, input: Self::Input) {
        let now = self.clock.observe(now);
        match input {
            RegistrationInput::Registered { op, result } => {
                if self.desk.settle(op, |asked| asked == Question::Register).is_some() {
                    self.registered(now, result);
                }
            }
            RegistrationInput::Inspected { op, result } => {
                if self.desk.settle(op, |asked| asked == Question::Inspect).is_some() {
                    self.inspected(now, result);
                }
            }
            RegistrationInput::Deregistered { op, result } => {
                if let Some(Question::Deregister(part)) =
                    self.desk.settle(op, |asked| matches!(asked, Question::Deregister(_)))
                {
                    self.deregistered(now, part, result);
                }
            }
            RegistrationInput::Doubted => self.doubted(now),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = now.max(self.clock.latest());
        let Some(due) = self.desk.pop_due(now) else { return };
        self.clock.observe(now);
        match due {
            Due::Pause => self.resumed(now),
            Due::Answer { to, after } => {
                let error = RegistryError::Timeout { after };
                match to {
                    Question::Register => self.registered(now, Err(error)),
                    Question::Inspect => self.inspected(now, Err(error)),
                    Question::Deregister(part) => self.deregistered(now, part, Err(error)),
                }
            }
        }
    }

    fn poll_effect(&mut self) -> Option<Self::Effect> {
        self.desk.take_effect()
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.desk.next_due()
    }
}

/// What a [`RegistrationKeeper`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegistrationState {
    /// It registers for the first time.
    Registering,
    /// The registration stands and is verified from time to time.
    Registered,
    /// It replaces what stands, or puts it back.
    Updating,
    /// What stood was lost, and it registers again.
    Restoring,
    /// The first registration failed and is taken back.
    RollingBack,
    /// The first registration failed.
    Failed,
    /// It takes the registration away.
    Deregistering,
    /// The registration was taken away, or the time to do so ran out.
    Deregistered,
}
