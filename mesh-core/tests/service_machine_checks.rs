//! How a service machine takes what its checks say, and whom it checks.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;

use mesh_core::health::{Health, ProbeFailure, ProbeVerdict};
use mesh_core::machine::{ServiceEvent, ServiceInput, ServiceMachineConfig};
use mesh_core::service::{HealthCheck, HealthCheckBuilder, Instance};
use mesh_core::snapshot::{Entry, RegistryStatus};
use mesh_core::time::Instant;
use support::rig::*;
use support::*;

#[test]
fn an_instance_that_was_never_checked_may_be_picked() {
    let mut rig = Rig::of(all_checked(2));
    assert_eq!((rig.usable(), rig.health(0)), (vec![0, 1], Health::Unknown));
    rig.usually(Fate::Silence);
    rig.pass(ms(20));
    assert_eq!(rig.usable(), [0, 1]);
}

#[test]
fn the_first_answer_decides() {
    for (first, expected) in [
        (ProbeVerdict::Passed, Health::Healthy),
        (ProbeVerdict::Warned, Health::Degraded),
        (failure(), Health::Unhealthy),
    ] {
        let mut rig = Rig::of(all_checked(1));
        rig.usually(Fate::Silence);
        rig.until_probed(0);
        rig.answer(0, first.clone());
        assert_eq!(rig.health(0), expected);
        assert_eq!(rig.usable().is_empty(), expected == Health::Unhealthy);
        let event = ServiceEvent::Health { key: key(0), from: Health::Unknown, to: expected, verdict: first };
        assert!(rig.take().events.contains(&event));
    }
}

#[test]
fn it_takes_fall_failures_in_a_row_to_be_out_and_rise_successes_to_be_back() {
    let (passed, warned) = (ProbeVerdict::Passed, ProbeVerdict::Warned);
    let mut rig = Rig::of(all_checked(1));
    rig.answers([passed.clone(), failure(), failure(), passed.clone(), failure(), failure()]);
    assert_eq!((rig.health(0), rig.usable()), (Health::Healthy, vec![0]), "no three failures in a row");
    rig.answers([failure()]);
    assert_eq!((rig.health(0), rig.usable()), (Health::Unhealthy, vec![]));
    rig.answers([passed.clone(), failure(), warned.clone(), failure(), passed.clone()]);
    assert_eq!((rig.health(0), rig.usable()), (Health::Unhealthy, vec![]), "no two successes in a row");
    rig.answers([warned]);
    assert_eq!((rig.health(0), rig.usable()), (Health::Degraded, vec![0]));
    rig.answers([failure()]);
    assert_eq!(rig.health(0), Health::Degraded, "a failure that is being counted changes nothing");
    rig.answers([passed]);
    let changes = [
        (Health::Unknown, Health::Healthy),
        (Health::Healthy, Health::Unhealthy),
        (Health::Unhealthy, Health::Degraded),
        (Health::Degraded, Health::Healthy),
    ];
    assert_eq!(rig.take().changes(0), changes);
}

#[test]
fn the_thresholds_are_those_of_the_check() {
    let mut rig = Rig::of(vec![with_check(0, quick().rise(times(4)).fall(times(1)))]);
    rig.answers([ProbeVerdict::Passed, failure()]);
    assert_eq!(rig.health(0), Health::Unhealthy);
    rig.answers([ProbeVerdict::Passed, ProbeVerdict::Passed, ProbeVerdict::Passed]);
    assert_eq!(rig.health(0), Health::Unhealthy);
    rig.answers([ProbeVerdict::Passed]);
    assert_eq!(rig.health(0), Health::Healthy);
}

#[test]
fn silence_is_a_failure_when_the_timeout_has_passed() {
    let mut rig = Rig::of(all_checked(1));
    rig.usually(Fate::Silence);
    rig.until_probed(0);
    rig.pass(ms(49));
    assert_eq!(rig.health(0), Health::Unknown);
    rig.pass(ms(1));
    assert_eq!(rig.health(0), Health::Unhealthy);
    let verdict = ProbeVerdict::Failed(ProbeFailure::TimedOut);
    let event = ServiceEvent::Health { key: key(0), from: Health::Unknown, to: Health::Unhealthy, verdict };
    assert!(rig.take().events.contains(&event));
}

#[test]
fn both_the_registry_and_the_mesh_must_find_an_instance_well() {
    let entries = |status| {
        let checked = checked(0);
        vec![Entry::new(Arc::clone(checked.instance()), status, checked.check().cloned())]
    };
    let mut rig = Rig::of(entries(RegistryStatus::Critical));
    rig.pass(ms(500));
    assert_eq!((rig.health(0), rig.usable()), (Health::Healthy, vec![]));
    rig.observe(heard(entries(RegistryStatus::Passing)));
    assert_eq!(rig.usable(), [0]);
    rig.usually(fails());
    rig.pass(ms(500));
    assert_eq!((rig.health(0), rig.usable()), (Health::Unhealthy, vec![]));
}

#[test]
fn an_instance_that_moved_to_another_address_starts_unchecked() {
    for (host, port) in [("127.0.0.1", 10_001), ("127.0.0.2", 10_000)] {
        let named = |host: &str, port: u16| Instance::builder("api", host, port).id("api-7").build().unwrap();
        let (before, after) = (named("127.0.0.1", 10_000), named(host, port));
        let mut rig = Rig::of(vec![left_to_the_mesh(before.clone(), quick())]);
        rig.answers_of(0, [failure()]);
        rig.until_probed(0);
        let old = rig.open[&0].id;
        rig.observe(heard(vec![left_to_the_mesh(after.clone(), quick())]));
        assert_eq!((rig.machine.health(before.key()), rig.usable().len()), (Health::Unknown, 1));
        rig.take();
        rig.reply(old, failure());
        assert!(rig.take().events.is_empty(), "the old process has nothing to say of the new one");
        rig.pass(ms(120));
        let probes = rig.take().probes;
        assert!(probes.iter().all(|(_, probe)| probe.instance.authority() == after.authority()));
        assert!(!probes.is_empty());
    }
}

#[test]
fn new_metadata_and_weights_change_nothing_about_the_health() {
    let mut rig = Rig::of(all_checked(1));
    rig.answers([failure()]);
    rig.take();
    let tagged = Instance::builder("api", "127.0.0.1", 10_000).tag("new").weight(9).build().unwrap();
    rig.observe(heard(vec![left_to_the_mesh(tagged.clone(), quick())]));
    assert_eq!(rig.health(0), Health::Unhealthy);
    rig.until_probed(0);
    assert_eq!(*rig.open[&0].instance, tagged, "the next probe knows the new instance");
    rig.answer(0, ProbeVerdict::Passed);
    assert_eq!((rig.health(0), rig.take().changes(0)), (Health::Unhealthy, vec![]));
}

#[test]
fn a_replaced_check_starts_anew_and_the_same_check_does_not() {
    let mut rig = Rig::of(all_checked(1));
    rig.answers([failure()]);
    rig.observe(heard(vec![with_check(0, quick()), entry(1, RegistryStatus::Passing)]));
    assert_eq!(rig.health(0), Health::Unhealthy);
    for other in [quick().interval(ms(200)), quick().fall(times(9)), HealthCheck::http("/ready"), HealthCheck::tcp()] {
        rig.observe(heard(vec![with_check(0, other)]));
        assert_eq!((rig.health(0), rig.usable()), (Health::Unknown, vec![0]));
        rig.answers([failure()]);
        assert_eq!((rig.health(0), rig.usable()), (Health::Unhealthy, vec![]));
    }
}

#[test]
fn an_instance_whose_check_is_taken_away_is_not_checked_any_more() {
    let mut rig = Rig::of(all_checked(1));
    rig.answers([failure()]);
    rig.until_probed(0);
    rig.observe(heard(vec![entry(0, RegistryStatus::Passing)]));
    assert_eq!((rig.health(0), rig.usable(), rig.machine_due()), (Health::Unknown, vec![0], None));
    rig.take();
    rig.answer(0, failure());
    rig.pass(ms(1_000));
    let said = rig.take();
    assert!(said.probes.is_empty() && said.events.is_empty());
}

#[test]
fn an_instance_that_comes_back_is_as_new() {
    let mut rig = Rig::of(all_checked(2));
    rig.answers_of(0, [failure()]);
    rig.until_probed(0);
    rig.observe(heard(vec![checked(1)]));
    rig.take();
    rig.answer(0, ProbeVerdict::Passed);
    assert!(rig.take().events.is_empty(), "an answer of one that left is nobody's");
    rig.observe(heard(all_checked(2)));
    assert_eq!((rig.health(0), rig.usable()), (Health::Unknown, vec![0, 1]));
}

#[test]
fn a_configured_check_stands_in_for_those_of_the_registry() {
    let mut config = ServiceMachineConfig::default();
    config.check = Some(HealthCheck::tcp().interval(ms(1_000)).build_for_any().unwrap());
    let mut rig = Rig::new(config.clone());
    rig.observe(heard(vec![checked(0), entry(1, RegistryStatus::Passing)]));
    rig.pass(ms(3_000));
    let said = rig.take();
    assert!(said.probes.iter().all(|(_, probe)| Some(&*probe.check) == config.check.as_ref()));
    assert!((0..2).all(|number| (2..=3).contains(&said.probed_at(number).len())));
    // One whose check the registry changes or takes away is none the wiser.
    rig.fate(0, fails());
    rig.pass(ms(2_500));
    assert_eq!(rig.health(0), Health::Unhealthy);
    rig.observe(heard(vec![with_check(0, HealthCheck::tcp()), entry(1, RegistryStatus::Passing)]));
    rig.observe(heard(vec![entry(0, RegistryStatus::Passing), entry(1, RegistryStatus::Passing)]));
    assert_eq!(rig.health(0), Health::Unhealthy);
}

#[test]
fn a_sweep_checks_at_once_whoever_fails_requests_and_nobody_else() {
    let mut rig = Rig::of((0..5).map(|number| with_check(number, slow())).collect());
    rig.pass(ms(2_000));
    rig.take();
    rig.fail(1, 5);
    rig.fail(2, 4);
    rig.fail(3, 17);
    rig.tell(ServiceInput::Sweep);
    let said = rig.take();
    assert_eq!(said.probed(), [1, 3]);
    assert!(said.probes.iter().all(|(asked, _)| *asked == rig.now));
    // The next regular check is an interval later.
    rig.pass(ms(29_000));
    assert!(!rig.take().probed().iter().any(|number| [1, 3].contains(number)));
    rig.pass(ms(5_000));
    assert!([1, 3].iter().all(|number| rig.said.probed_at(*number).len() == 1));
}

#[test]
fn how_many_failures_make_a_sweep_is_configured() {
    let mut config = ServiceMachineConfig::default();
    config.wake_after = times(2);
    let mut rig = Rig::new(config);
    rig.observe(heard((0..3).map(|number| with_check(number, slow())).collect()));
    rig.pass(ms(2_000));
    rig.take();
    rig.fail(0, 1);
    rig.fail(1, 2);
    rig.tell(ServiceInput::Sweep);
    assert_eq!(rig.take().probed(), [1]);
}

#[test]
fn a_sweep_looks_at_those_that_are_out_too_but_not_at_those_that_nobody_checks() {
    let mut rig = Rig::of(vec![with_check(0, slow()), entry(1, RegistryStatus::Passing), checked(2)]);
    rig.pass(ms(2_000));
    rig.fail(0, 5);
    rig.fail(1, 5);
    rig.machine.drain(key(0));
    rig.listen();
    rig.take();
    rig.tell(ServiceInput::Sweep);
    assert_eq!(rig.take().probed(), [0]);
}

#[test]
fn a_sweep_hurries_nobody_who_was_checked_a_moment_ago_or_is_known_to_be_unhealthy() {
    for (interval, gap) in [(30_000, 1_000), (400, 400)] {
        let mut rig = Rig::of(vec![with_check(0, quick().interval(ms(interval)))]);
        rig.answers([ProbeVerdict::Passed]);
        rig.fail(0, 5);
        rig.take();
        rig.now += ms(gap - 1);
        rig.tell(ServiceInput::Sweep);
        assert!(rig.take().probes.is_empty(), "a moment ago");
        rig.now += ms(1);
        rig.tell(ServiceInput::Sweep);
        assert_eq!(rig.take().probed(), [0]);
        rig.answer(0, failure());
        rig.answers([failure(), failure()]);
        assert_eq!(rig.health(0), Health::Unhealthy);
        rig.now += ms(gap);
        rig.take();
        rig.tell(ServiceInput::Sweep);
        assert!(rig.take().probes.is_empty(), "what for?");
    }
}

#[test]
fn an_instance_that_recovered_has_no_failures_behind_it() {
    let mut rig = Rig::of(all_checked(1));
    rig.answers([ProbeVerdict::Passed]);
    rig.fail(0, 6);
    rig.answers([ProbeVerdict::Passed]);
    assert_eq!(rig.failures_in_row(), 6, "an instance that was not out has not recovered");
    rig.answers([failure(), failure(), failure(), ProbeVerdict::Passed]);
    assert_eq!(rig.failures_in_row(), 6);
    rig.answers([ProbeVerdict::Passed]);
    assert_eq!((rig.health(0), rig.failures_in_row()), (Health::Healthy, 0));
}

trait Checks {
    fn until_probed(&mut self, number: u16);
    fn answers(&mut self, verdicts: impl IntoIterator<Item = ProbeVerdict>);
    fn answers_of(&mut self, number: u16, verdicts: impl IntoIterator<Item = ProbeVerdict>);
    fn machine_due(&self) -> Option<Instant>;
    fn failures_in_row(&self) -> u32;
}

impl Checks for Rig {
    /// Lets time pass until a probe of the instance is open.
    fn until_probed(&mut self, number: u16) {
        self.fate(number, Fate::Silence);
        let probes = |rig: &Self| rig.said.probed_at(number).len();
        let before = probes(self);
        while probes(self) == before {
            assert!(self.step(Instant::MAX), "it is checked");
        }
    }

    /// Answers the next probes of the instance 0.
    fn answers(&mut self, verdicts: impl IntoIterator<Item = ProbeVerdict>) {
        self.answers_of(0, verdicts);
    }

    fn answers_of(&mut self, number: u16, verdicts: impl IntoIterator<Item = ProbeVerdict>) {
        for verdict in verdicts {
            self.until_probed(number);
            self.answer(number, verdict);
        }
    }

    fn machine_due(&self) -> Option<Instant> {
        use mesh_core::machine::Machine as _;
        self.machine.poll_timeout()
    }

    /// Of the first instance.
    fn failures_in_row(&self) -> u32 {
        self.machine.view().endpoints().next().unwrap().failures_in_row()
    }
}

/// Every 30 s.
fn slow() -> HealthCheckBuilder {
    HealthCheck::http("/health")
}
