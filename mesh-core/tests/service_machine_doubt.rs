//! Whose word counts when most of a service is called ill, and how weights follow health.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use mesh_core::balance::{Outcome, Strategy};
use mesh_core::health::{Health, ScoreConfig, ServiceVerdict, Status};
use mesh_core::machine::ServiceMachineConfig;
use mesh_core::snapshot::{Entry, RegistryStatus};
use support::rig::*;
use support::traffic::*;
use support::*;

#[test]
fn a_registry_that_calls_most_of_a_service_critical_is_not_believed_of_those_that_our_checks_find_well() {
    let entries = |critical: u16| {
        (0..5).map(move |number| {
            let status = if number < critical { RegistryStatus::Critical } else { RegistryStatus::Passing };
            let checked = checked(number);
            Entry::new(Arc::clone(checked.instance()), status, checked.check().cloned())
        })
    };
    let mut config = ServiceMachineConfig::default();
    config.discovery.outage_hold = Duration::ZERO;
    let mut traffic = Traffic::over(entries(0).collect(), config);
    traffic.rig.pass(secs(1));
    traffic.rig.observe(heard(entries(2).collect()));
    assert_eq!(traffic.rig.usable(), [2, 3, 4], "two of five may be so");
    traffic.rig.observe(heard(entries(4).collect()));
    assert_eq!(traffic.rig.usable(), [0, 1, 2, 3, 4]);
    traffic.rig.fate(3, fails());
    traffic.rig.pass(secs(1));
    assert_eq!(traffic.rig.usable(), [0, 1, 2, 4], "both say so");
    traffic.rig.observe(heard(entries(1).collect()));
    assert_eq!(traffic.rig.usable(), [1, 2, 4]);
}

#[test]
fn checks_that_fail_on_most_of_a_service_are_not_believed_of_instances_that_answer_their_requests() {
    let mut traffic = Traffic::over(all_checked(4), ServiceMachineConfig::default());
    traffic.rig.pass(secs(1));
    for _ in 0..200 {
        traffic.request(Outcome::Success);
    }
    traffic.rig.usually(fails());
    for _ in 0..20 {
        traffic.rig.pass(secs(1));
        for _ in 0..50 {
            traffic.request(Outcome::Success);
        }
    }
    assert_eq!((traffic.rig.usable().len(), traffic.rig.health(0)), (4, Health::Unhealthy));
    assert_eq!(traffic.status(0), Status::Degraded);
    assert_eq!(traffic.rig.machine.aggregate().verdict(), ServiceVerdict::Degraded);
    // One whose requests fail as well is out at once, and all are when nobody asks any more.
    traffic.fail(2, 60);
    assert_eq!(traffic.rig.usable(), [0, 1, 3]);
    traffic.rig.pass(secs(11));
    assert_eq!(traffic.rig.usable(), Vec::<u16>::new());
}

#[test]
fn what_instances_answered_long_ago_makes_nobody_doubt_that_they_are_dead() {
    for weighting in [ScoreConfig::off(), ScoreConfig::default()] {
        let mut config = plain();
        config.weighting = weighting;
        let mut traffic = Traffic::over(all_checked(4), config);
        traffic.rig.pass(secs(1));
        for _ in 0..4_000 {
            traffic.request(Outcome::Success);
        }
        for number in 0..3 {
            traffic.rig.fate(number, fails());
            traffic.end_all(number, 20, Outcome::Unreachable);
        }
        traffic.rig.pass(secs(60));
        assert_eq!(traffic.rig.usable(), [3]);
    }
}

#[test]
fn weights_follow_health_where_that_is_asked_for() {
    let mut config = ServiceMachineConfig::default();
    config.weighting = ScoreConfig::default();
    config.strategy = Strategy::RoundRobin;
    let mut traffic = Traffic::over(all_checked(3), config);
    traffic.rig.pass(secs(1));
    assert_eq!(traffic.weights(), [1; 3]);
    traffic.rig.fate(1, Fate::After(ms(1), mesh_core::health::ProbeVerdict::Warned));
    traffic.rig.pass(secs(1));
    assert_eq!(traffic.weights(), [100, 55, 100]);
    traffic.rig.fate(1, passes());
    traffic.rig.pass(secs(1));
    assert_eq!(traffic.weights(), [1; 3]);
    // One that fails a twelfth of its requests: too few to be an outlier.
    for round in 0..400 {
        let lease = traffic.pick();
        let ill = number(lease.instance()) == 2 && round % 36 < 3;
        traffic.end(lease, if ill { Outcome::Failure } else { Outcome::Success });
    }
    traffic.rig.pass(secs(5));
    let weights = traffic.weights();
    assert_eq!(weights, [100, 100, 85]);
}

#[test]
fn weights_count_overload_where_outlier_detection_does() {
    let overloaded = Outcome::Overloaded { retry_after: None };
    for (is_failure, weights) in [(false, [1; 3]), (true, [100, 100, 85])] {
        let mut config = ServiceMachineConfig::default();
        config.weighting = ScoreConfig::default();
        config.strategy = Strategy::RoundRobin;
        config.outlier.overloaded_is_failure = is_failure;
        let mut traffic = Traffic::over(all_checked(3), config);
        traffic.rig.pass(secs(1));
        for round in 0..400 {
            let lease = traffic.pick();
            let ill = number(lease.instance()) == 2 && round % 36 < 3;
            traffic.end(lease, if ill { overloaded } else { Outcome::Success });
        }
        traffic.rig.pass(secs(5));
        assert_eq!(traffic.weights(), weights);
    }
}

#[test]
fn the_latency_of_an_even_fleet_is_between_the_middle_two() {
    let mut config = ServiceMachineConfig::default();
    config.weighting = ScoreConfig::default();
    config.strategy = Strategy::RoundRobin;
    let mut traffic = Traffic::over(all_checked(4), config);
    traffic.rig.pass(secs(1));
    let (mut slow, mut quick) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let lease = traffic.pick();
        if number(lease.instance()) < 2 { slow.push(lease) } else { quick.push(lease) }
    }
    for (leases, wait) in [(quick, 10), (slow, 30)] {
        traffic.rig.pass(ms(wait));
        leases.into_iter().for_each(|lease| traffic.end(lease, Outcome::Success));
    }
    traffic.rig.pass(secs(5));
    // Of 20 ms, 40 are twice as many: 3 of the 3.5 that lie between half as many again and five times.
    assert_eq!(traffic.weights(), [85, 85, 100, 100]);
}
