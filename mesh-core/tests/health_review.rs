//! What the parts of health make of each other: ejections beside drains, damping and checks, old trials beside new ones,
//! and any world at all.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::{Outcome, Strategy};
use mesh_core::health::Status;
use mesh_core::health::outlier::{InRow, OutlierEvent};
use mesh_core::machine::{ServiceEvent, ServiceMachineConfig};
use mesh_core::service::{Instance, Weight, Weights};
use mesh_core::snapshot::{Entry, RegistryStatus};
use support::rig::*;
use support::traffic::*;
use support::*;

#[test]
fn nobody_who_answers_requests_is_deregistered_because_checks_fail_on_most() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    serve(&mut traffic, 200);
    traffic.rig.usually(fails());
    for _ in 0..150 {
        traffic.rig.pass(secs(1));
        serve(&mut traffic, 50);
    }
    assert_eq!(traffic.rig.usable(), [0, 1, 2, 3]);
    assert_eq!(traffic.rig.take().deregistered(), Vec::<u16>::new());
}

#[test]
fn those_who_are_left_by_a_drain_are_not_all_ejected() {
    let mut traffic = Traffic::of(4);
    for number in [0, 1] {
        traffic.rig.machine.drain(key(number));
    }
    traffic.rig.listen();
    for number in [2, 3] {
        traffic.fail(number, 5);
    }
    assert_eq!(traffic.rig.usable().len(), 1, "{:?}", traffic.statuses());
    // Nor is anybody kept out whom a drain of all others makes the last.
    let mut traffic = Traffic::of(4);
    traffic.fail(0, 5);
    for number in [1, 2, 3] {
        traffic.rig.machine.drain(key(number));
    }
    traffic.rig.listen();
    assert_eq!(traffic.rig.usable(), [0]);
}

#[test]
fn those_who_are_left_by_checks_are_not_all_ejected() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    for number in [0, 1] {
        traffic.rig.fate(number, fails());
    }
    traffic.rig.pass(secs(1));
    for number in [2, 3] {
        traffic.fail(number, 5);
    }
    assert_eq!(traffic.rig.usable().len(), 1, "{:?}", traffic.statuses());
}

#[test]
fn one_that_flapped_is_held_out_only_while_others_serve() {
    for others in ["fail", "leave", "drain", "failing checks"] {
        let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
        traffic.rig.pass(secs(1));
        for fate in [fails(), passes()].into_iter().cycle().take(6) {
            traffic.rig.fate(0, fate.clone());
            traffic.rig.fate(1, fate);
            traffic.rig.pass(secs(1));
        }
        assert_eq!(traffic.rig.usable(), [2, 3], "both are held out");
        match others {
            "fail" => {
                traffic.fail(2, 5);
                traffic.fail(3, 5);
            }
            "leave" => traffic.rig.observe(certain(all_checked(2))),
            "drain" => {
                traffic.rig.machine.drain(key(2));
                traffic.rig.machine.drain(key(3));
                traffic.rig.listen();
            }
            _ => {
                traffic.rig.fate(2, fails());
                traffic.rig.fate(3, fails());
                traffic.rig.pass(secs(1));
            }
        }
        assert_ne!(traffic.rig.usable(), Vec::<u16>::new(), "{others}: {:?}", traffic.statuses());
    }
}

#[test]
fn a_trial_of_old_says_nothing_of_the_one_that_is_under_way() {
    let mut config = ServiceMachineConfig::default();
    config.outlier.ejection.jitter_max = Duration::ZERO;
    for end in [Some(Outcome::Success), Some(Outcome::Failure), Some(Outcome::Cancelled), None] {
        let mut traffic = Traffic::over(listed(4), config.clone());
        traffic.fail(1, 5);
        traffic.rig.pass(secs(30));
        let old = traffic.pick();
        assert_eq!(number(old.instance()), 1);
        // Nobody waits for it longer than for half a minute: it hangs, and so does who does not answer it.
        traffic.rig.pass(secs(30) - ms(1));
        assert_eq!(traffic.status(1), Status::Probing);
        traffic.rig.pass(ms(1));
        assert_eq!(traffic.status(1), Status::Ejected);
        traffic.rig.pass(secs(60));
        assert_eq!(traffic.status(1), Status::Probing);
        let trial = traffic.pick();
        assert_eq!(number(trial.instance()), 1);
        match end {
            Some(outcome) => traffic.end(old, outcome),
            None => drop(old),
        }
        assert_eq!(traffic.status(1), Status::Probing, "{end:?}");
        assert!((0..50).all(|_| traffic.request(Outcome::Success) != 1), "{end:?}: two at a time");
        traffic.end(trial, Outcome::Success);
        assert_eq!(traffic.status(1), Status::Unknown);
    }
}

#[test]
fn draining_one_that_is_down_is_no_fall() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    traffic.rig.fate(0, fails());
    traffic.rig.pass(secs(1));
    for _ in 0..5 {
        traffic.rig.machine.drain(key(0));
        traffic.rig.machine.undrain(&key(0));
        traffic.rig.listen();
    }
    traffic.rig.fate(0, passes());
    traffic.rig.pass(secs(1));
    assert_eq!(traffic.status(0), Status::Healthy);
}

#[test]
fn falling_while_it_is_drained_is_no_fall() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    for _ in 0..4 {
        traffic.rig.machine.drain(key(0));
        traffic.rig.listen();
        traffic.rig.fate(0, fails());
        traffic.rig.pass(secs(1));
        traffic.rig.machine.undrain(&key(0));
        traffic.rig.listen();
        assert_eq!(traffic.status(0), Status::Unhealthy);
        traffic.rig.fate(0, passes());
        traffic.rig.pass(secs(1));
        assert_eq!(traffic.status(0), Status::Healthy);
    }
    assert_eq!(traffic.rig.machine.history(&key(0)).unwrap().flaps(), 0);
}

#[test]
fn a_doubt_that_begins_and_ends_makes_no_second_fall_of_one() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    for _ in 0..2 {
        serve(&mut traffic, 200);
        for number in 0..3 {
            traffic.rig.fate(number, fails());
            traffic.rig.pass(secs(1));
        }
        assert_eq!(traffic.status(0), Status::Degraded, "most fail");
        traffic.rig.fate(2, passes());
        traffic.rig.pass(secs(1));
        assert_eq!(traffic.status(0), Status::Unhealthy);
        traffic.rig.usually(passes());
        (0..3).for_each(|number| traffic.rig.fate(number, passes()));
        traffic.rig.pass(secs(1));
    }
    assert_eq!(traffic.statuses(), [Status::Healthy; 4]);
}

#[test]
fn the_one_whose_check_makes_most_fail_does_not_fall_and_rise_in_one_moment() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    serve(&mut traffic, 200);
    traffic.rig.take();
    traffic.rig.usually(fails());
    traffic.rig.pass(secs(1));
    let fall = |event: ServiceEvent| {
        let ServiceEvent::Status { key, change, .. } = event else { return None };
        (change.to == Status::Unhealthy).then_some(key)
    };
    let mut fallen: Vec<_> = traffic.rig.take().events.into_iter().filter_map(fall).collect();
    fallen.sort();
    assert_eq!(fallen.len(), 2, "those who were first: {fallen:?}");
    assert!((0..4).all(|number| traffic.status(number) == Status::Degraded));
}

#[test]
fn one_that_takes_the_place_of_another_lets_nobody_out_of_turn() {
    for moves in [true, false] {
        let mut traffic = Traffic::of(4);
        traffic.fail(2, 5);
        traffic.fail(3, 5);
        assert_eq!(traffic.rig.usable(), [0, 1]);
        let mut entries = listed(if moves { 4 } else { 5 });
        let first = Instance::builder("api", "127.0.0.2", 10_000).id(instance(0).id().as_str()).build().unwrap();
        if moves {
            entries[0] = Entry::new(Arc::new(first), RegistryStatus::Unknown, None);
        } else {
            entries.remove(0);
        }
        traffic.rig.take();
        traffic.rig.observe(certain(entries));
        let restored = |event: &ServiceEvent| matches!(event, ServiceEvent::Outlier(OutlierEvent::Restored { .. }));
        let events = traffic.rig.take().events;
        assert!(!events.iter().any(restored), "moves: {moves}, {events:?}");
        assert_eq!(traffic.rig.machine.view().census().ejected, 2);
    }
}

#[test]
fn a_run_that_is_never_told_from_a_longer_one_is_refused_as_a_threshold() {
    let threshold = |length| {
        let mut config = ServiceMachineConfig::default();
        config.outlier.failures_in_row = Some(InRow::new(times(length), 100));
        config.validate()
    };
    assert!(threshold(1_023).is_ok());
    assert!(threshold(1_024).is_err());
    let mut config = ServiceMachineConfig::default();
    config.wake_after = times(1_024);
    assert!(config.validate().is_err());
}

#[test]
fn weights_keep_their_ratios_where_a_heavy_instance_joins_while_another_warms_up() {
    let weighing = |number: u16, weight: u16| {
        let weights = Weights::of(Weight::new(weight));
        let built = Instance::builder("api", "127.0.0.1", 10_000 + number).weights(weights).build().unwrap();
        Entry::new(Arc::new(built), RegistryStatus::Passing, None)
    };
    let mut entries = vec![weighing(0, 10), weighing(1, 10), weighing(2, 10)];
    let mut config = ServiceMachineConfig::default();
    config.strategy = Strategy::RoundRobin;
    let mut traffic = Traffic::over(entries.clone(), config);
    traffic.fail(0, 5);
    traffic.rig.pass(secs(33));
    let trial = traffic.pick();
    traffic.end(trial, Outcome::Success);
    assert_eq!(traffic.weights(), [100, 1_000, 1_000]);
    entries.extend([weighing(3, 1_000), weighing(4, 4_000)]);
    traffic.rig.observe(heard(entries));
    let weights = traffic.weights();
    assert_eq!(u32::from(weights[4]), 4 * u32::from(weights[3]), "{weights:?}");
    assert_eq!(u32::from(weights[3]), 100 * u32::from(weights[1]), "{weights:?}");
    assert!(weights[0] < weights[1], "{weights:?}");
    traffic.rig.pass(secs(11));
    assert_eq!(traffic.weights(), [10, 10, 10, 1_000, 4_000]);
}

#[test]
fn sweeps_that_find_nothing_publish_nothing() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    for fate in [passes(), fails()] {
        traffic.rig.usually(fate);
        serve(&mut traffic, 100);
        traffic.rig.pass(secs(1));
        traffic.rig.take();
        for _ in 0..30 {
            traffic.rig.pass(secs(1));
            // One that fails now and then is looked at, and stays what it is.
            traffic.fail(1, 4);
            traffic.end_all(1, 40, Outcome::Success);
            serve(&mut traffic, 40);
        }
        let said = traffic.rig.take();
        assert_eq!((said.views.len(), said.events.len()), (0, 0), "{:?}", said.events);
    }
}

/// Lets so many requests succeed, wherever they go.
fn serve(traffic: &mut Traffic, requests: u32) {
    for _ in 0..requests {
        traffic.request(Outcome::Success);
    }
}
