//! What a service machine publishes, and when: a view whenever a pick could tell the difference, and only then.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::collections::VecDeque;
use std::sync::Arc;

use mesh_core::balance::policy::{LoadReport, P2cConfig};
use mesh_core::balance::{Balancer, Knowledge, PickContext, PickError, Strategy, View};
use mesh_core::discovery::Freshness;
use mesh_core::health::ProbeVerdict;
use mesh_core::machine::{Machine, ServiceEffect, ServiceEvent, ServiceInput, ServiceMachine, ServiceMachineConfig};
use mesh_core::port::Resolution;
use mesh_core::rng::Rng;
use mesh_core::route::Selector;
use mesh_core::service::{Instance, Weight, Weights};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use support::rig::*;
use support::*;

#[test]
fn nothing_is_published_before_the_registry_has_answered() {
    let mut rig = Rig::new(ServiceMachineConfig::default());
    assert_eq!((rig.machine.view().version(), rig.machine.poll_timeout()), (0, None));
    rig.machine.drain(key(0));
    rig.machine.route(tagged("a")).unwrap();
    rig.listen();
    for input in [ServiceInput::Confirmed, ServiceInput::Lost, ServiceInput::Sweep] {
        rig.tell(input);
    }
    assert!(rig.take().views.is_empty());
    assert_eq!((rig.machine.view().knowledge(), rig.refusal()), (Knowledge::Pending, PickError::Pending));
}

#[test]
fn the_first_answer_is_published_even_when_there_is_nothing_in_it() {
    for known in [false, true] {
        let mut rig = Rig::new(ServiceMachineConfig::default());
        rig.observe(Resolution::heard(Arc::new(Snapshot::default()), known));
        assert_eq!(rig.take().views.len(), 1);
        let (knowledge, refusal) = if known {
            (Knowledge::Known, PickError::NoneRegistered)
        } else {
            (Knowledge::Unknown, PickError::UnknownService)
        };
        assert_eq!((rig.machine.view().knowledge(), rig.refusal()), (knowledge, refusal));
    }
}

#[test]
fn a_service_that_becomes_known_or_unknown_is_published() {
    let mut rig = Rig::new(ServiceMachineConfig::default());
    let empty = |known| Resolution::certain(Arc::new(Snapshot::default()), known);
    rig.observe(empty(false));
    rig.observe(empty(true));
    rig.observe(certain(vec![entry(0, RegistryStatus::Passing)]));
    rig.observe(empty(false));
    let published = rig.take().views;
    let seen: Vec<_> = published.iter().map(|(_, view)| (view.knowledge(), view.census().registered)).collect();
    let expected = [(Knowledge::Unknown, 0), (Knowledge::Known, 0), (Knowledge::Known, 1), (Knowledge::Unknown, 0)];
    assert_eq!(seen, expected);
}

#[test]
fn what_changes_nothing_for_a_pick_is_not_published() {
    let mut rig = Rig::of(vec![checked(0), entry(1, RegistryStatus::Passing)]);
    rig.take();
    rig.observe(heard(vec![checked(0), entry(1, RegistryStatus::Passing)]));
    rig.observe(certain(vec![entry(1, RegistryStatus::Passing), checked(0)]));
    // The registry now has nothing to say of 1, or of the check of 0; both may be picked as before.
    rig.observe(heard(vec![entry(0, RegistryStatus::Passing), entry(1, RegistryStatus::Unknown)]));
    rig.observe(heard(vec![checked(0), entry(1, RegistryStatus::Passing)]));
    for input in [ServiceInput::Confirmed, ServiceInput::Lost, ServiceInput::Confirmed, ServiceInput::Sweep] {
        rig.tell(input);
    }
    rig.tell(ServiceInput::Load(key(0), LoadReport::default().in_flight(7)));
    rig.tell(ServiceInput::Load(key(9), LoadReport::default().in_flight(7)));
    rig.machine.drain(key(7));
    rig.machine.undrain(&key(7));
    rig.machine.undrain(&key(0));
    rig.machine.route(Selector::any()).unwrap();
    rig.listen();
    assert!(rig.take().views.is_empty());
}

#[test]
fn a_probe_is_published_only_when_it_lets_an_instance_in_or_out() {
    let mut rig = Rig::of(vec![checked(0)]);
    rig.usually(Fate::Silence);
    let mut published = |verdict: ProbeVerdict| {
        while rig.open.is_empty() {
            rig.pass(ms(10));
        }
        rig.take();
        rig.answer(0, verdict);
        let views = rig.take().views;
        views.first().map(|(_, view)| view.census().usable)
    };
    let (passed, warned) = (ProbeVerdict::Passed, ProbeVerdict::Warned);
    assert_eq!(published(passed.clone()), None, "from unknown to healthy");
    assert_eq!(published(warned.clone()), None, "from healthy to degraded");
    assert_eq!(published(failure()), None, "one of three failures");
    assert_eq!(published(failure()), None, "two of three failures");
    assert_eq!(published(failure()), Some(0), "out");
    assert_eq!(published(failure()), None, "out already");
    assert_eq!(published(passed.clone()), None, "one of two successes");
    assert_eq!(published(warned), Some(1), "in again");
    assert_eq!(published(passed), None, "from degraded to healthy");
}

#[test]
fn a_flip_of_an_instance_that_is_out_anyway_is_published_only_if_the_reason_changes() {
    let mut rig = Rig::of(vec![checked(0)]);
    rig.machine.drain(key(0));
    rig.fate(0, fails());
    rig.listen();
    rig.take();
    rig.pass(ms(2_000));
    assert!(rig.take().views.is_empty(), "drained, then drained and unhealthy");
    rig.machine.undrain(&key(0));
    rig.listen();
    let views = rig.take().views;
    assert_eq!((views.len(), views[0].1.census().unhealthy, views[0].1.census().drained), (1, 1, 0));
}

#[test]
fn new_metadata_and_weights_are_published() {
    let plain = || Instance::builder("api", "127.0.0.1", 10_000);
    let mut rig = Rig::of(vec![of(plain().build().unwrap(), RegistryStatus::Passing)]);
    for changed in [plain().tag("a"), plain().meta("k", "v"), plain().weight(7), plain().version("1.2.0")] {
        rig.take();
        rig.observe(heard(vec![of(changed.build().unwrap(), RegistryStatus::Passing)]));
        assert_eq!(rig.take().views.len(), 1);
    }
}

#[test]
fn the_registry_decides_who_may_be_picked_where_the_mesh_does_not_check() {
    use RegistryStatus::{Critical, Maintenance, Passing, Unknown, Warning};
    let statuses = [Unknown, Passing, Warning, Critical, Maintenance];
    let rig = Rig::of((0..).zip(statuses).map(|(number, status)| entry(number, status)).collect());
    assert_eq!(rig.usable(), [0, 1, 2]);
    let census = rig.machine.view().census();
    assert_eq!((census.registered, census.usable, census.unhealthy, census.drained), (5, 3, 1, 1));
    assert!(rig.machine.view().is_out(&key(3)) && rig.machine.view().is_out(&key(4)));
}

#[test]
fn an_instance_that_warns_has_its_warning_weight() {
    let weights = |passing, warning| Weights { passing: Weight::new(passing), warning: Weight::new(warning) };
    let weighted =
        |number: u16, weights| Instance::builder("api", "127.0.0.1", 10_000 + number).weights(weights).build().unwrap();
    let share = |status| {
        let warns = of(weighted(0, weights(40, 10)), status);
        share_of_first(Rig::of(vec![warns, of(weighted(1, weights(10, 10)), RegistryStatus::Passing)]).machine.view())
    };
    let (before, after) = (share(RegistryStatus::Passing), share(RegistryStatus::Warning));
    assert!((0.75..0.85).contains(&before) && (0.45..0.55).contains(&after), "{before} {after}");
    // A warning weight of 0 drains.
    let rig = Rig::of(vec![of(weighted(0, weights(5, 0)), RegistryStatus::Warning)]);
    assert_eq!((rig.usable(), rig.machine.view().census().drained), (vec![], 1));
}

#[test]
fn a_drained_instance_is_out_until_it_is_undrained() {
    let mut rig = Rig::of(vec![entry(0, RegistryStatus::Passing), entry(1, RegistryStatus::Passing)]);
    rig.take();
    rig.machine.drain(key(0));
    rig.machine.drain(key(0));
    rig.listen();
    assert_eq!((rig.usable(), rig.take().views.len()), (vec![1], 1));
    rig.machine.undrain(&key(0));
    rig.machine.undrain(&key(0));
    rig.listen();
    assert_eq!((rig.usable(), rig.take().views.len()), (vec![0, 1], 1));
}

#[test]
fn an_instance_may_be_drained_before_it_is_known_and_the_drain_ends_with_it() {
    let both = || certain(vec![entry(0, RegistryStatus::Passing), entry(1, RegistryStatus::Passing)]);
    let mut rig = Rig::of(vec![entry(1, RegistryStatus::Passing)]);
    rig.machine.drain(key(0));
    rig.observe(both());
    assert_eq!(rig.usable(), [1]);
    rig.machine.undrain(&key(0));
    rig.observe(both());
    assert_eq!(rig.usable(), [0, 1]);
    rig.machine.drain(key(0));
    rig.observe(certain(vec![entry(1, RegistryStatus::Passing)]));
    rig.observe(both());
    assert_eq!(rig.usable(), [0, 1], "the same name, a new instance");
}

#[test]
fn a_drain_does_not_end_before_its_instance_has_left() {
    let both = || vec![entry(0, RegistryStatus::Passing), entry(1, RegistryStatus::Passing)];
    let mut rig = Rig::new(ServiceMachineConfig::default());
    rig.machine.drain(key(0));
    // It has yet to come, whoever else leaves meanwhile.
    rig.observe(certain(vec![entry(1, RegistryStatus::Passing)]));
    rig.observe(certain(vec![entry(2, RegistryStatus::Passing)]));
    rig.observe(heard(both()));
    assert_eq!(rig.usable(), [1]);
    // It is as good as gone, and is not.
    rig.observe(heard(vec![]));
    rig.tell(ServiceInput::Lost);
    rig.observe(heard(vec![entry(0, RegistryStatus::Critical)]));
    rig.observe(heard(both()));
    assert_eq!(rig.usable(), [1]);
}

#[test]
fn of_too_many_events_that_nobody_fetches_the_oldest_are_forgotten() {
    let mut machine = ServiceMachine::new(ServiceMachineConfig::default(), 1);
    machine.handle_input(at(0), ServiceInput::Observed(heard(vec![])));
    for millis in 0..ServiceMachine::EVENTS_MAX as u64 {
        machine.handle_input(at(millis), ServiceInput::Lost);
        machine.handle_input(at(millis), ServiceInput::Confirmed);
    }
    let events: Vec<_> = std::iter::from_fn(|| machine.poll_event()).collect();
    let stale = |millis: usize| Freshness::Stale { since: at(millis as u64) };
    let (first, last) = (stale(ServiceMachine::EVENTS_MAX / 2), stale(ServiceMachine::EVENTS_MAX - 1));
    assert_eq!(events.len(), ServiceMachine::EVENTS_MAX);
    assert_eq!(events.first(), Some(&ServiceEvent::Freshness { from: Freshness::Live, to: first }));
    assert_eq!(events.last(), Some(&ServiceEvent::Freshness { from: last, to: Freshness::Live }));
}

#[test]
fn a_configuration_says_everything_that_is_wrong_with_it() {
    let config = |choices, jitter| {
        let (mut config, mut p2c) = (ServiceMachineConfig::default(), P2cConfig::default());
        p2c.choices = choices;
        config.strategy = Strategy::P2cLeastLoaded(p2c);
        config.checks.jitter_percent = jitter;
        config.validate().map_err(|error| error.to_string())
    };
    assert_eq!((config(2, 0), config(10, 100)), (Ok(()), Ok(())));
    assert!(ServiceMachineConfig::default().validate().is_ok());
    let both = config(11, 101).unwrap_err();
    assert!(["choices", "11", "2 to 10", "jitter_percent", "101", "0 to 100"].iter().all(|part| both.contains(part)));
    assert!(config(1, 10).is_err_and(|error| error.contains("choices") && !error.contains("jitter")));
    let window = |window| {
        let mut config = ServiceMachineConfig::default();
        config.count_window = window;
        config.validate().map_err(|error| error.to_string())
    };
    assert_eq!(window(ms(1_000)), Ok(()));
    let error = window(ms(1_001)).unwrap_err();
    assert!(["count_window", "1.001s", "at most 1s"].iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn a_new_route_is_published_and_a_known_one_is_not() {
    let instance = Instance::builder("api", "127.0.0.1", 10_000).tag("a").build().unwrap();
    let mut rig = Rig::of(vec![of(instance, RegistryStatus::Passing), entry(1, RegistryStatus::Passing)]);
    rig.take();
    let route = rig.machine.route(tagged("a")).unwrap();
    rig.listen();
    assert_eq!((rig.take().views.len(), rig.usable_on(route)), (1, vec![0]));
    assert_eq!(rig.machine.route(tagged("a")), Ok(route));
    rig.listen();
    assert!(rig.take().views.is_empty());
}

#[test]
fn one_route_too_many_is_refused_and_nothing_is_published() {
    let mut rig = Rig::of(vec![entry(0, RegistryStatus::Passing)]);
    let routes = (1..64).map(|number| rig.machine.route(tagged(&format!("t{number}"))).unwrap());
    assert_eq!(routes.last().map(|route| route.index()), Some(63));
    rig.listen();
    rig.take();
    assert!(rig.machine.route(tagged("more")).is_err());
    rig.listen();
    assert!(rig.take().views.is_empty());
}

#[test]
fn of_views_that_nobody_took_only_the_newest_is_left_and_it_comes_last() {
    let mut machine = ServiceMachine::new(ServiceMachineConfig::default(), 1);
    for count in 1..4 {
        machine.handle_input(at(0), ServiceInput::Observed(heard(all_checked(count))));
    }
    machine.handle_timeout(at(1_000));
    machine.drain(key(0));
    let effects: Vec<_> = std::iter::from_fn(|| machine.poll_effect()).collect();
    let views: Vec<&Arc<View>> = effects.iter().filter_map(view_of).collect();
    assert!(effects.len() > 1 && views.len() == 1);
    assert!(view_of(effects.last().unwrap()).is_some_and(|view| Arc::ptr_eq(view, machine.view())));
    assert_eq!((views[0].census().registered, views[0].census().drained), (3, 1));
}

#[test]
fn each_view_has_a_higher_version_than_the_one_before() {
    let mut rig = Rig::of(all_checked(3));
    rig.usually(fails());
    rig.pass(ms(3_000));
    let versions: Vec<_> = rig.take().views.iter().map(|(_, view)| view.version()).collect();
    assert!(versions.len() == 4 && versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

fn view_of(effect: &ServiceEffect) -> Option<&Arc<View>> {
    match effect {
        ServiceEffect::Publish(view) => Some(view),
        ServiceEffect::Probe(_) | ServiceEffect::Deregister(..) => None,
    }
}

fn of(instance: Instance, status: RegistryStatus) -> Entry {
    Entry::new(Arc::new(instance), status, None)
}

fn tagged(tag: &str) -> Selector {
    Selector::any().tag(tag).unwrap()
}

/// The share of a thousand requests that the instance 0 gets under the default policy, with fifty in flight.
fn share_of_first(view: &Arc<View>) -> f64 {
    let balancer = Balancer::new();
    balancer.publish(Arc::clone(view));
    let (mut handle, mut rng, mut leases) = (balancer.handle(), Rng::from_seed(5), VecDeque::new());
    let mut picked = 0;
    for _ in 0..1_000 {
        let lease = handle.pick_owned(at(0), &PickContext::default(), rng.next_u64()).unwrap();
        picked += u32::from(number(lease.instance()) == 0);
        leases.push_back(lease);
        if leases.len() > 50 {
            leases.pop_front();
        }
    }
    f64::from(picked) / 1_000.0
}
