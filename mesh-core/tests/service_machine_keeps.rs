//! Whom automatic deregistration counts when it keeps the last ones of a service.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::time::Duration;

use mesh_core::machine::{Deregistration, ServiceInput, ServiceMachineConfig};
use mesh_core::snapshot::RegistryStatus;
use support::rig::*;
use support::*;

#[test]
fn half_a_fleet_may_go_and_one_more_may_not() {
    for (sick, gone) in [(1, 1), (2, 2), (3, 0), (4, 0)] {
        let mut rig = Rig::of(all_checked(4));
        (0..sick).for_each(|number| rig.fate(number, fails()));
        rig.pass(secs(80));
        assert_eq!(rig.take().deregistered().len(), gone, "{sick} of four are sick");
    }
}

#[test]
fn whom_the_registry_finds_unhealthy_counts_with_the_sick() {
    let mut rig = Rig::of(all_checked(2).into_iter().chain([entry(2, RegistryStatus::Critical)]).collect());
    rig.fate(0, fails());
    rig.pass(secs(120));
    assert!(rig.take().deregistrations.is_empty(), "two of three");
    rig.observe(heard(all_checked(2).into_iter().chain([entry(2, RegistryStatus::Passing)]).collect()));
    rig.pass(secs(31));
    assert_eq!(rig.take().deregistered().first(), Some(&0), "one of three");
}

#[test]
fn one_that_was_taken_out_counts_as_gone_while_the_list_may_be_behind() {
    let mut rig = one_asked_for_and_another_due_in(15, Deregistration::Done);
    rig.fate(0, passes());
    rig.pass(secs(29));
    assert!(rig.take().deregistrations.is_empty(), "three may be left, and three are kept");
    // Half a minute later the registry still lists it, so it was not taken out or is back.
    rig.pass(secs(32));
    assert_eq!(rig.take().deregistered(), [1]);
}

#[test]
fn one_that_was_taken_out_counts_as_gone_when_nobody_may_go() {
    let mut rig = one_asked_for_and_another_due_in(45, Deregistration::Done);
    rig.pass(secs(25));
    rig.fate(2, fails());
    rig.pass(secs(10));
    // Its turn came while most were sick; that said nothing about whether it is still there.
    rig.fate(2, passes());
    rig.pass(secs(20));
    assert!(!rig.take().deregistered().contains(&1), "three may be left, and three are kept");
}

#[test]
fn one_that_was_taken_out_counts_as_gone_while_the_registry_is_lost_and_half_a_minute_longer() {
    let mut rig = one_asked_for_and_another_due_in(45, Deregistration::Done);
    rig.tell(ServiceInput::Lost);
    rig.pass(secs(40));
    rig.tell(ServiceInput::Confirmed);
    rig.pass(secs(19));
    assert!(rig.take().deregistrations.is_empty(), "three may be left, and three are kept");
}

#[test]
fn one_that_was_not_taken_out_counts_at_once() {
    for answer in [Deregistration::Again, Deregistration::Never] {
        let mut rig = one_asked_for_and_another_due_in(15, answer);
        rig.pass(secs(20));
        assert_eq!(rig.take().deregistered(), [1], "{answer:?}");
    }
}

#[test]
fn one_that_left_is_not_counted_twice() {
    let mut rig = one_asked_for_and_another_due_in(15, Deregistration::Done);
    rig.observe(heard((1..5).map(checked).collect()));
    rig.pass(secs(20));
    assert_eq!(rig.take().deregistered(), [1], "three others are left");
}

/// Four instances of which three are kept: the deregistration of 0 was answered just now and it is still listed,
/// and 1 is sick and due so many seconds later.
fn one_asked_for_and_another_due_in(seconds: u64, answer: Deregistration) -> Rig {
    let mut config = ServiceMachineConfig::default();
    config.deregister_keeps = times(3);
    config.checks.stagger_max = Duration::ZERO;
    let mut rig = Rig::new(config);
    rig.fate(0, fails());
    rig.observe(heard(all_checked(4)));
    rig.pass(secs(seconds));
    rig.fate(1, fails());
    while rig.said.deregistrations.is_empty() {
        rig.pass(ms(10));
    }
    let (_, id, number) = rig.take().deregistrations[0];
    assert_eq!(number, 0);
    rig.tell(ServiceInput::Deregistered(id, answer));
    rig
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
