//! A registry of one entry, as simple as can be, and a run of a keeper against it in virtual time.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::sync::Arc;
use std::time::Duration;

use mesh_core::machine::Machine;
use mesh_core::port::RegistryError;
use mesh_core::registration::{
    KeeperConfig, OpId, Part, PartState, Parts, RegistrationEffect, RegistrationEvent, RegistrationInput,
    RegistrationKeeper, Standing, UpdateError,
};
use mesh_core::service::{HealthCheck, ServiceConfig};
use mesh_core::time::Instant;

/// What becomes of one operation.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It is carried out and answered truthfully after this long.
    Fine(Duration),
    /// It never arrives, and the caller knows at once.
    Unreachable,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// It is lost on its way.
    RequestLost,
    /// The connection breaks: it is carried out or not.
    Broken { carried_out: bool },
    /// It is refused for good, with these parts carried out.
    Refused { carried_out: Parts },
    /// It is acknowledged and not carried out.
    Pretended,
}

/// A registry that holds at most one entry.
#[derive(Debug, Default)]
pub(crate) struct Model {
    service: Option<Arc<ServiceConfig>>,
    check: Option<Arc<HealthCheck>>,
}

impl Model {
    pub(crate) fn stands(&self) -> Parts {
        let service = self.service.is_some().then_some(Part::Service);
        service.into_iter().chain(self.check.is_some().then_some(Part::Check)).collect()
    }

    pub(crate) fn standing(&self, config: &ServiceConfig) -> Standing {
        let service = state(self.service.as_ref().map(|held| held.instance() == config.instance()));
        let check = state(self.check.as_ref().map(|held| config.check() == Some(held)));
        Standing { service, check }
    }

    pub(crate) fn holds(&self, config: &ServiceConfig) -> bool {
        self.standing(config).wrong(Parts::of(config)).is_empty()
    }

    pub(crate) fn register(&mut self, config: &Arc<ServiceConfig>, parts: Parts) {
        if parts.contains(Part::Service) {
            self.service = Some(Arc::clone(config));
        }
        // Like Consul's, this registry keeps the check of an entry whose replacement brings none.
        if let Some(check) = config.check().filter(|_| parts.contains(Part::Check)) {
            self.check = Some(Arc::clone(check));
        }
    }

    /// Takes a part away; a registry that keeps its parts apart leaves the other one.
    pub(crate) fn remove(&mut self, part: Part) {
        match part {
            Part::Service => self.service = None,
            Part::Check => self.check = None,
        }
    }

    /// Forgets everything, as a registry without a disk does when it restarts.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }
}

/// One keeper, its registry, and the time.
pub(crate) struct Run {
    pub(crate) keeper: RegistrationKeeper,
    pub(crate) model: Model,
    pub(crate) now: Instant,
    pub(crate) events: Vec<(Instant, RegistrationEvent)>,
    pub(crate) effects: Vec<RegistrationEffect>,
    fates: Box<dyn FnMut(&RegistrationEffect) -> Fate>,
    pending: Vec<(Instant, u64, Arrival)>,
    sequence: u64,
    last_seen: Option<Standing>,
}

#[derive(Clone, Debug)]
enum Arrival {
    At { effect: RegistrationEffect, fate: Fate },
    Back(RegistrationInput),
}

impl Run {
    pub(crate) fn new(config: KeeperConfig) -> Self {
        Self::of(config, 7, |_| Fate::Fine(ms(2)))
    }

    pub(crate) fn of(
        config: KeeperConfig,
        seed: u64,
        fates: impl FnMut(&RegistrationEffect) -> Fate + 'static,
    ) -> Self {
        let keeper = RegistrationKeeper::new(config, service(8080), seed, Instant::ZERO).unwrap();
        let mut run = Self {
            keeper,
            model: Model::default(),
            now: Instant::ZERO,
            events: Vec::new(),
            effects: Vec::new(),
            fates: Box::new(fates),
            pending: Vec::new(),
            sequence: 0,
            last_seen: None,
        };
        run.drain();
        run
    }

    /// From now on operations end like this.
    pub(crate) fn fates(&mut self, fates: impl FnMut(&RegistrationEffect) -> Fate + 'static) {
        self.fates = Box::new(fates);
    }

    /// From now on every operation ends like this.
    pub(crate) fn fate(&mut self, fate: Fate) {
        self.fates(move |_| fate.clone());
    }

    pub(crate) fn deregister(&mut self) {
        self.keeper.deregister(self.now);
        self.drain();
    }

    pub(crate) fn update(&mut self, config: Arc<ServiceConfig>) {
        self.try_update(config).unwrap();
    }

    pub(crate) fn try_update(&mut self, config: Arc<ServiceConfig>) -> Result<(), UpdateError> {
        let accepted = self.keeper.update(self.now, config);
        self.drain();
        accepted
    }

    /// Hands the keeper an answer of one's own making.
    pub(crate) fn answer(&mut self, input: RegistrationInput) {
        self.keeper.handle_input(self.now, input);
        self.drain();
    }

    /// Lets this much time pass.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..STEPS_MAX {
            if !self.step(until) {
                self.now = until;
                return;
            }
        }
        panic!("more than {STEPS_MAX} steps within {time:?}: {:?}", self.keeper);
    }

    /// The names of the events since the last call, in their order.
    pub(crate) fn told(&mut self) -> Vec<&'static str> {
        self.events.drain(..).map(|(_, event)| event.as_str()).collect()
    }

    /// The last event.
    pub(crate) fn last(&self) -> &RegistrationEvent {
        &self.events.last().expect("an event").1
    }

    /// When the last event came.
    pub(crate) fn last_at(&self) -> Duration {
        self.events.last().expect("an event").0.since(Instant::ZERO)
    }

    pub(crate) fn count(&self, wanted: impl Fn(&RegistrationEffect) -> bool) -> usize {
        self.effects.iter().filter(|effect| wanted(effect)).count()
    }

    fn step(&mut self, until: Instant) -> bool {
        let next = (0..self.pending.len()).min_by_key(|&i| (self.pending[i].0, self.pending[i].1));
        let arrival_at = next.map_or(Instant::MAX, |i| self.pending[i].0);
        let timer_at = self.keeper.poll_timeout().unwrap_or(Instant::MAX);
        if arrival_at.min(timer_at) > until {
            return false;
        }
        self.now = self.now.max(arrival_at.min(timer_at));
        match next.filter(|_| arrival_at <= timer_at) {
            Some(index) => match self.pending.swap_remove(index).2 {
                Arrival::At { effect, fate } => self.arrive(&effect, &fate),
                Arrival::Back(input) => self.hand(input),
            },
            None => self.keeper.handle_timeout(self.now),
        }
        self.drain();
        true
    }

    /// Hands the keeper an answer, and remembers what it saw in it; an answer that comes too late it does not look at.
    fn hand(&mut self, input: RegistrationInput) {
        let standing =
            if let RegistrationInput::Inspected { result: Ok(standing), .. } = &input { Some(*standing) } else { None };
        let ignored = self.keeper.ignored();
        self.keeper.handle_input(self.now, input);
        if self.keeper.ignored() == ignored {
            self.last_seen = standing.or(self.last_seen);
        }
    }

    fn drain(&mut self) {
        while let Some(effect) = self.keeper.poll_effect() {
            let fate = (self.fates)(&effect);
            let way = if let Fate::Fine(delay) = fate { delay / 2 } else { ms(1) };
            self.effects.push(effect.clone());
            self.later(way, Arrival::At { effect, fate });
        }
        while let Some(event) = self.keeper.poll_event() {
            self.check(&event);
            self.events.push((self.now, event));
        }
    }

    fn arrive(&mut self, effect: &RegistrationEffect, fate: &Fate) {
        let carried_out = match fate {
            Fate::Fine(_) | Fate::AnswerLost | Fate::Broken { carried_out: true } => Parts::ALL,
            Fate::Refused { carried_out } => *carried_out,
            Fate::Unreachable | Fate::RequestLost | Fate::Pretended | Fate::Broken { carried_out: false } => {
                Parts::NONE
            }
        };
        let result = match fate {
            Fate::Fine(_) | Fate::Pretended => Ok(()),
            Fate::AnswerLost | Fate::RequestLost => return self.carry_out(effect, carried_out),
            Fate::Unreachable => Err(RegistryError::Unreachable { source: None }),
            Fate::Broken { .. } => Err(RegistryError::Unavailable { reason: "broken pipe".into(), source: None }),
            Fate::Refused { .. } => Err(RegistryError::Refused { reason: "no such check".into(), source: None }),
        };
        self.carry_out(effect, carried_out);
        let answer = match effect {
            RegistrationEffect::Register { op, .. } => RegistrationInput::Registered { op: *op, result },
            RegistrationEffect::Deregister { op, .. } => RegistrationInput::Deregistered { op: *op, result },
            RegistrationEffect::Inspect { op, config } => {
                let standing = self.model.standing(config);
                RegistrationInput::Inspected { op: *op, result: result.map(|()| standing) }
            }
        };
        let way = if let Fate::Fine(delay) = fate { *delay / 2 } else { ms(1) };
        self.later(way, Arrival::Back(answer));
    }

    fn carry_out(&mut self, effect: &RegistrationEffect, parts: Parts) {
        match effect {
            RegistrationEffect::Register { config, .. } => self.model.register(config, parts),
            RegistrationEffect::Deregister { part, .. } if parts.contains(*part) => self.model.remove(*part),
            RegistrationEffect::Deregister { .. } | RegistrationEffect::Inspect { .. } => {}
        }
    }

    fn later(&mut self, delay: Duration, arrival: Arrival) {
        self.pending.push((self.now + delay, self.sequence, arrival));
        self.sequence += 1;
    }

    /// What the keeper says stands, it has seen; what it says is gone, it has seen gone.
    fn check(&self, event: &RegistrationEvent) {
        let seen = self.last_seen.unwrap_or_default();
        match event {
            RegistrationEvent::Registered { .. }
            | RegistrationEvent::Restored { .. }
            | RegistrationEvent::Confirmed
            | RegistrationEvent::Updated
            | RegistrationEvent::UpdateFailed { restored: true, .. } => {
                let wrong = seen.wrong(Parts::of(self.keeper.service()));
                assert!(wrong.is_empty(), "{event:?}, but the last inspection saw {seen:?}");
            }
            RegistrationEvent::Deregistered { confirmed: true, .. } => {
                assert!(seen.stands().is_empty(), "{event:?}, but the last inspection saw {seen:?}");
            }
            RegistrationEvent::Failed(failure) if failure.certain => {
                assert_eq!(failure.stands, seen.stands(), "{event:?}, but the last inspection saw {seen:?}");
            }
            RegistrationEvent::Retrying { .. }
            | RegistrationEvent::Lost { .. }
            | RegistrationEvent::Unconfirmed { .. }
            | RegistrationEvent::Failed(_)
            | RegistrationEvent::UpdateFailed { .. }
            | RegistrationEvent::Deregistered { .. } => {}
            other => panic!("what does {other:?} promise?"),
        }
    }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The service on `port`; the id is the same for every port.
pub(crate) fn service(port: u16) -> Arc<ServiceConfig> {
    Arc::new(ServiceConfig::builder("api", "10.0.0.7", port).id("api-1").build().unwrap())
}

/// The service on `port`, without a check.
pub(crate) fn unchecked(port: u16) -> Arc<ServiceConfig> {
    Arc::new(ServiceConfig::builder("api", "10.0.0.7", port).id("api-1").without_check().build().unwrap())
}

pub(crate) fn is_register(effect: &RegistrationEffect) -> bool {
    matches!(effect, RegistrationEffect::Register { .. })
}

pub(crate) fn is_inspect(effect: &RegistrationEffect) -> bool {
    matches!(effect, RegistrationEffect::Inspect { .. })
}

pub(crate) fn is_deregister(effect: &RegistrationEffect) -> bool {
    matches!(effect, RegistrationEffect::Deregister { .. })
}

pub(crate) fn op_of(effect: &RegistrationEffect) -> OpId {
    match effect {
        RegistrationEffect::Register { op, .. }
        | RegistrationEffect::Inspect { op, .. }
        | RegistrationEffect::Deregister { op, .. } => *op,
    }
}

fn state(matches: Option<bool>) -> PartState {
    match matches {
        None => PartState::Absent,
        Some(true) => PartState::Matches,
        Some(false) => PartState::Differs,
    }
}

const STEPS_MAX: usize = 100_000;
