//! The laws of machines, held against a service machine in random worlds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::policy::LoadReport;
use mesh_core::balance::{Balancer, Outcome, PickContext, View};
use mesh_core::health::{ProbeReport, ProbeVerdict};
use mesh_core::machine::laws::{Trace, World, assert_hold};
use mesh_core::machine::{
    Deregistration, Machine, ServiceEffect, ServiceEvent, ServiceInput, ServiceMachine, ServiceMachineConfig,
};
use mesh_core::port::Resolution;
use mesh_core::rng::Rng;
use mesh_core::route::Selector;
use mesh_core::service::{HealthCheckBuilder, Instance};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use support::rig::*;
use support::*;

#[test]
fn the_laws_hold_in_any_world_and_the_worlds_are_rich() {
    let seen = RefCell::new(BTreeSet::<&str>::new());
    let config = ProptestConfig {
        cases: 40,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let worlds = (any::<u64>(), prop::collection::vec((0..120_000_u64, input()), 0..40));
    let holds = |(seed, script): (u64, Vec<(u64, Input)>)| {
        let trace = laws(seed, script);
        seen.borrow_mut().extend(KINDS.iter().filter(|kind| trace.iter().any(|step| step.contains(**kind))));
        Ok(())
    };
    TestRunner::new(config).run(&worlds, holds).unwrap();
    let missing: Vec<_> = KINDS.iter().filter(|kind| !seen.borrow().contains(*kind)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn the_laws_hold_for_a_machine_that_is_told_nothing() {
    assert!(laws(1, vec![]).is_empty());
}

#[test]
fn another_seed_gives_other_times() {
    let script = || vec![(0, list(true, true, (0..5).map(|number| (number, Kind::Checked)).collect()))];
    assert_eq!(laws(1, script()), laws(1, script()));
    assert_ne!(laws(1, script()), laws(2, script()));
}

#[test]
fn an_input_from_the_past_happens_now() {
    let observed = ServiceInput::Observed(heard(all_checked(1)));
    let mut rig = Rig::new(ServiceMachineConfig::default());
    rig.machine.handle_input(at(9_000), ServiceInput::Lost);
    rig.machine.handle_input(at(1_000), observed);
    assert_eq!(rig.machine.confirmed_at(), Some(at(9_000)));
    assert!(rig.machine.poll_timeout().is_some_and(|due| due >= at(9_000)));
}

/// What effects and events are called in a trace.
const KINDS: [&str; 18] = [
    "Ejected {",
    "Released {",
    "Restored {",
    "by: Probe",
    "Probe(",
    "Deregister(",
    "Publish(",
    "Deregistering",
    "answer: Done",
    "answer: Again",
    "answer: Never",
    "to: Live",
    "to: Stale",
    "to: Doubted",
    "to: Healthy",
    "to: Degraded",
    "to: Unhealthy",
    "TimedOut",
];

fn laws(seed: u64, script: Vec<(u64, Input)>) -> Trace {
    let script = script.into_iter().map(|(millis, input)| (at(millis), input)).collect();
    let world = World { script, answer: &answer, until: at(240_000), seed };
    assert_hold(|| Owned(ServiceMachine::new(config(seed), seed)), &world)
}

/// Any answer at all: good, bad, late, twice, never.
fn answer(effect: &ServiceEffect, rng: &mut Rng) -> Option<(Duration, Input)> {
    let input = match effect {
        ServiceEffect::Publish(_) => return None,
        ServiceEffect::Deregister(id, _) => {
            let answers = [Deregistration::Done, Deregistration::Again, Deregistration::Never];
            ServiceInput::Deregistered(*id, answers[rng.below(3) as usize])
        }
        ServiceEffect::Probe(probe) => {
            // Some are ill for good, some now and then, some never.
            let ill = [8, 4, 0][usize::from(probe.instance.port() % 3)];
            let verdict = match rng.below(8) {
                drawn if drawn < ill => failure(),
                0..=4 => ProbeVerdict::Passed,
                _ => ProbeVerdict::Warned,
            };
            ServiceInput::Probed(probe.id, ProbeReport { verdict, latency: ms(1) })
        }
    };
    let longest = if rng.below(10) == 0 { ms(5_000) } else { ms(40) };
    let delay = rng.up_to(longest);
    match rng.below(12) {
        0 => None,
        1 => Some((delay, Input::Twice(input))),
        _ => Some((delay, Input::World(input))),
    }
}

fn config(seed: u64) -> ServiceMachineConfig {
    let mut config = ServiceMachineConfig::default();
    config.discovery.empty_hold = [ms(0), ms(5_000), ms(30_000)][(seed % 3) as usize];
    config.checks.in_flight_max = times(1 + (seed / 3 % 4) as u32);
    config.checks.stagger_max = [ms(0), ms(1_000)][(seed / 12 % 2) as usize];
    config.check = (seed / 24).is_multiple_of(8).then(|| slow().build_for_any().unwrap());
    config
}

/// A service machine whose owner's commands are inputs too.
#[derive(Debug)]
struct Owned(ServiceMachine);

#[derive(Clone, Debug)]
enum Input {
    World(ServiceInput),
    Twice(ServiceInput),
    Drain(u16),
    Undrain(u16),
    Route(u16),
    /// Requests to this instance fail.
    Fail(u16),
    /// So many requests succeed; those on probation get the first.
    Serve(u16),
}

impl Machine for Owned {
    type Input = Input;
    type Effect = ServiceEffect;
    type Event = ServiceEvent;

    fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::World(input) => self.0.handle_input(now, input),
            Input::Twice(input) => {
                self.0.handle_input(now, input.clone());
                self.0.handle_input(now, input);
            }
            Input::Drain(number) => self.0.drain(key(number)),
            Input::Undrain(number) => self.0.undrain(&key(number)),
            Input::Route(number) => drop(self.0.route(Selector::any().tag(format!("t{number}").as_str()).unwrap())),
            Input::Fail(number) => fail(self.0.view(), number, 5),
            Input::Serve(requests) => serve(self.0.view(), now, requests),
        }
        // The owner's commands carry no time; the machine is told it as all inputs tell it.
        self.0.handle_input(now, ServiceInput::Sweep);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_effect(&mut self) -> Option<ServiceEffect> {
        self.0.poll_effect()
    }

    fn poll_event(&mut self) -> Option<ServiceEvent> {
        self.0.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }
}

/// Lets requests succeed, wherever they go.
fn serve(view: &Arc<View>, now: Instant, requests: u16) {
    let balancer = Balancer::new();
    balancer.publish(Arc::clone(view));
    let mut handle = balancer.handle();
    for entropy in 0..u64::from(requests) {
        if let Ok(lease) = handle.pick(now, &PickContext::default(), entropy) {
            lease.finish(now + ms(3), Outcome::Success);
        }
    }
}

/// How an instance is listed.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Registered(RegistryStatus),
    Checked,
    OtherCheck,
    Moved,
    Tagged,
}

fn kind() -> impl Strategy<Value = Kind> {
    use RegistryStatus::{Critical, Maintenance, Passing, Unknown, Warning};
    let registered = prop::sample::select(vec![Unknown, Passing, Warning, Critical, Maintenance]);
    prop_oneof![
        2 => registered.prop_map(Kind::Registered),
        6 => Just(Kind::Checked),
        1 => Just(Kind::OtherCheck),
        1 => Just(Kind::Moved),
        1 => Just(Kind::Tagged),
    ]
}

fn input() -> impl Strategy<Value = Input> {
    let members = prop::collection::vec((0..6_u16, kind()), 0..6);
    let list =
        (any::<bool>(), any::<bool>(), members).prop_map(|(certain, known, members)| list(certain, known, members));
    let members = prop::collection::vec((0..6_u16, kind()), 0..6);
    let recalled = members.prop_map(|members| {
        let snapshot =
            Arc::new(Snapshot::new(members.into_iter().map(|(number, kind)| listed(number, kind)).collect()));
        ServiceInput::Recalled { snapshot, age: ms(700) }
    });
    let number = 0..6_u16;
    let load = number.clone().prop_map(|number| ServiceInput::Load(key(number), LoadReport::default().in_flight(3)));
    prop_oneof![
        6 => list,
        1 => recalled.prop_map(Input::World),
        1 => Just(Input::World(ServiceInput::Confirmed)),
        2 => Just(Input::Twice(ServiceInput::Lost)),
        1 => Just(Input::Twice(ServiceInput::Sweep)),
        1 => load.prop_map(Input::World),
        1 => number.clone().prop_map(Input::Drain),
        1 => number.clone().prop_map(Input::Undrain),
        1 => number.clone().prop_map(Input::Route),
        3 => number.prop_map(Input::Fail),
        5 => (1..40_u16).prop_map(Input::Serve),
    ]
}

fn list(certain: bool, known: bool, members: Vec<(u16, Kind)>) -> Input {
    let snapshot = Arc::new(Snapshot::new(members.into_iter().map(|(number, kind)| listed(number, kind)).collect()));
    let resolution = if certain { Resolution::certain } else { Resolution::heard };
    Input::World(ServiceInput::Observed(resolution(snapshot, known)))
}

fn listed(number: u16, kind: Kind) -> Entry {
    let build = |host: &str, tag: &str| {
        let builder = Instance::builder("api", host, 10_000 + number).id(key(number).id().clone());
        builder.tag(tag).build().unwrap()
    };
    match kind {
        Kind::Registered(status) => entry(number, status),
        Kind::Checked => left_to_the_mesh(build("127.0.0.1", "t"), slow()),
        Kind::OtherCheck => left_to_the_mesh(build("127.0.0.1", "t"), slow().deregister_after(None)),
        Kind::Moved => left_to_the_mesh(build("127.0.0.2", "t"), slow()),
        Kind::Tagged => left_to_the_mesh(build("127.0.0.1", &format!("t{number}")), slow()),
    }
}

/// Seldom enough for a run of minutes.
fn slow() -> HealthCheckBuilder {
    quick().interval(ms(4_000)).timeout(ms(1_000))
}
