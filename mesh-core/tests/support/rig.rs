//! A service machine under test: its clock, the answers of its world, and all that it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::{Balancer, Outcome, PickContext, PickError, Tried, View};
use mesh_core::health::outlier::OutlierConfig;
use mesh_core::health::{Health, Probe, ProbeFailure, ProbeId, ProbeReport, ProbeVerdict};
use mesh_core::machine::{
    DeregisterId, Machine, ServiceEffect, ServiceEvent, ServiceInput, ServiceMachine, ServiceMachineConfig,
};
use mesh_core::port::Resolution;
use mesh_core::route::RouteId;
use mesh_core::service::{CheckRunner, HealthCheck, HealthCheckBuilder, Instance};
use mesh_core::snapshot::{Entry, RegistryStatus};
use mesh_core::time::Instant;

use super::{at, instance, key, ms, number};

/// How the world answers a probe of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// With this, after this long.
    After(Duration, ProbeVerdict),
    /// Never.
    Silence,
}

/// A machine that is driven in virtual time, as a driver would.
pub(crate) struct Rig {
    pub(crate) machine: ServiceMachine,
    pub(crate) now: Instant,
    pub(crate) said: Said,
    /// The probes that were asked for and not answered, the latest of each instance.
    pub(crate) open: BTreeMap<u16, Probe>,
    usual: Fate,
    fates: BTreeMap<u16, Fate>,
    answers: BTreeMap<(Instant, u64), ServiceInput>,
    answers_made: u64,
}

/// What a machine said since it was last looked at.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) probes: Vec<(Instant, Probe)>,
    pub(crate) views: Vec<(Instant, Arc<View>)>,
    pub(crate) deregistrations: Vec<(Instant, DeregisterId, u16)>,
    pub(crate) events: Vec<ServiceEvent>,
}

/// The configuration of a machine that ejects nobody, so that nothing is due but what checks and the registry ask for.
pub(crate) fn plain() -> ServiceMachineConfig {
    let mut config = ServiceMachineConfig::default();
    config.outlier = OutlierConfig::off();
    config
}

impl Rig {
    /// A machine whose checks pass after a millisecond unless the instance has another fate.
    pub(crate) fn new(config: ServiceMachineConfig) -> Self {
        Self::seeded(config, 1)
    }

    pub(crate) fn seeded(config: ServiceMachineConfig, seed: u64) -> Self {
        let mut rig = Self {
            machine: ServiceMachine::new(config, seed),
            now: Instant::ZERO,
            said: Said::default(),
            open: BTreeMap::new(),
            usual: passes(),
            fates: BTreeMap::new(),
            answers: BTreeMap::new(),
            answers_made: 0,
        };
        rig.listen();
        rig
    }

    /// A machine that ejects nobody and has been told of `entries` by a registry that may be wrong.
    pub(crate) fn of(entries: Vec<Entry>) -> Self {
        let mut rig = Self::new(plain());
        rig.observe(super::heard(entries));
        rig
    }

    /// Every instance without a fate of its own has this one from now on.
    pub(crate) fn usually(&mut self, fate: Fate) {
        self.usual = fate;
    }

    /// The instance `number` has this fate from now on.
    pub(crate) fn fate(&mut self, number: u16, fate: Fate) {
        self.fates.insert(number, fate);
    }

    pub(crate) fn tell(&mut self, input: ServiceInput) {
        self.machine.handle_input(self.now, input);
        self.listen();
    }

    pub(crate) fn observe(&mut self, resolution: Resolution) {
        self.tell(ServiceInput::Observed(resolution));
    }

    /// Answers the open probe of an instance, now.
    pub(crate) fn answer(&mut self, number: u16, verdict: ProbeVerdict) {
        let probe = self.open.remove(&number).expect("a probe of this instance is open");
        self.reply(probe.id, verdict);
    }

    /// Answers any probe, now.
    pub(crate) fn reply(&mut self, id: ProbeId, verdict: ProbeVerdict) {
        self.tell(ServiceInput::Probed(id, ProbeReport { verdict, latency: ms(1) }));
    }

    /// Lets time pass: answers arrive and deadlines come.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.step(until) {}
        self.now = until;
    }

    /// Does the next thing that is due by `until`, answers before deadlines; false when there is none.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        let answer = self.answers.first_key_value().map(|(&(at, _), _)| at).filter(|&at| at <= until);
        let due = self.machine.poll_timeout().filter(|&due| due <= until);
        match (answer, due) {
            (Some(at), due) if due.is_none_or(|due| at <= due) => {
                let (_, input) = self.answers.pop_first().unwrap();
                self.now = self.now.max(at);
                self.tell(input);
            }
            (_, Some(due)) => {
                self.now = self.now.max(due);
                self.machine.handle_timeout(self.now);
                assert!(self.machine.poll_timeout().is_none_or(|next| next > self.now), "the deadline stands still");
                self.listen();
            }
            (_, None) => return false,
        }
        true
    }

    /// Takes in what the machine has to say, and lets the world answer it. Called after every command.
    pub(crate) fn listen(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                ServiceEffect::Probe(probe) => self.probe(probe),
                ServiceEffect::Publish(view) => self.said.views.push((self.now, view)),
                ServiceEffect::Deregister(id, instance) => {
                    self.said.deregistrations.push((self.now, id, number(&instance)));
                }
            }
        }
        while let Some(event) = self.machine.poll_event() {
            self.said.events.push(event);
        }
    }

    fn probe(&mut self, probe: Probe) {
        let number = number(&probe.instance);
        if let Fate::After(delay, verdict) = self.fates.get(&number).unwrap_or(&self.usual) {
            self.answers_made += 1;
            let report = ProbeReport { verdict: verdict.clone(), latency: *delay };
            self.answers.insert((self.now + *delay, self.answers_made), ServiceInput::Probed(probe.id, report));
        }
        self.said.probes.push((self.now, probe.clone()));
        self.open.insert(number, probe);
    }

    /// What was said since the last look.
    pub(crate) fn take(&mut self) -> Said {
        std::mem::take(&mut self.said)
    }

    pub(crate) fn health(&self, number: u16) -> Health {
        self.machine.health(&key(number))
    }

    /// The instances that may be picked on a route.
    pub(crate) fn usable_on(&self, route: RouteId) -> Vec<u16> {
        self.machine.view().usable(route).map(|(_, instance)| number(instance)).collect()
    }

    pub(crate) fn usable(&self) -> Vec<u16> {
        self.usable_on(RouteId::ALL)
    }

    /// Why a pick is refused.
    pub(crate) fn refusal(&self) -> PickError {
        let balancer = Balancer::new();
        balancer.publish(Arc::clone(self.machine.view()));
        balancer.handle().pick(self.now, &PickContext::default(), 1).map(drop).unwrap_err()
    }

    /// Lets requests to an instance fail.
    pub(crate) fn fail(&self, number: u16, times: u32) {
        fail(self.machine.view(), number, times);
    }
}

impl Said {
    pub(crate) fn probed(&self) -> Vec<u16> {
        self.probes.iter().map(|(_, probe)| number(&probe.instance)).collect()
    }

    pub(crate) fn probed_at(&self, instance: u16) -> Vec<Instant> {
        self.probes.iter().filter(|(_, probe)| number(&probe.instance) == instance).map(|(at, _)| *at).collect()
    }

    pub(crate) fn deregistered(&self) -> Vec<u16> {
        self.deregistrations.iter().map(|(.., number)| *number).collect()
    }

    /// The changes of an instance's health, as pairs.
    pub(crate) fn changes(&self, number: u16) -> Vec<(Health, Health)> {
        let change = |event: &ServiceEvent| {
            let ServiceEvent::Health { key, from, to, .. } = event else { return None };
            (*key == super::key(number)).then_some((*from, *to))
        };
        self.events.iter().filter_map(change).collect()
    }
}

/// Lets requests to an instance fail, in a fleet of at most nine; does nothing where it may not be picked.
pub(crate) fn fail(view: &Arc<View>, wanted: u16, times: u32) {
    let (wanted, others): (Vec<_>, Vec<_>) =
        view.usable(RouteId::ALL).partition(|(_, instance)| number(instance) == wanted);
    assert!(others.len() <= Tried::CAPACITY, "no call can exclude so many");
    let mut excluded = Tried::new();
    others.iter().for_each(|(endpoint, _)| excluded.insert(endpoint.id()));
    let balancer = Balancer::new();
    balancer.publish(Arc::clone(view));
    let (mut handle, context) = (balancer.handle(), PickContext { excluded: &excluded, ..PickContext::default() });
    for entropy in 0..if wanted.is_empty() { 0 } else { u64::from(times) } {
        handle.pick(at(0), &context, entropy).unwrap().finish(at(0), Outcome::Failure);
    }
}

pub(crate) fn passes() -> Fate {
    Fate::After(ms(1), ProbeVerdict::Passed)
}

pub(crate) fn fails() -> Fate {
    Fate::After(ms(1), failure())
}

pub(crate) fn failure() -> ProbeVerdict {
    ProbeVerdict::Failed(ProbeFailure::Status(503))
}

/// A check that the mesh runs every 100 ms, given up after 50, rise 2, fall 3; a minute before deregistration.
pub(crate) fn quick() -> HealthCheckBuilder {
    HealthCheck::http("/health").run_by(CheckRunner::Mesh).interval(ms(100)).timeout(ms(50))
}

/// An entry with a check that the registry leaves to the mesh.
pub(crate) fn left_to_the_mesh(instance: Instance, check: HealthCheckBuilder) -> Entry {
    let check = check.build(&instance).unwrap();
    Entry::new(Arc::new(instance), RegistryStatus::Unknown, Some(Arc::new(check)))
}

pub(crate) fn with_check(number: u16, check: HealthCheckBuilder) -> Entry {
    left_to_the_mesh(instance(number), check)
}

/// Entries like [`checked`](super::checked), numbered from 0.
pub(crate) fn all_checked(count: u16) -> Vec<Entry> {
    (0..count).map(super::checked).collect()
}

pub(crate) fn times(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}
