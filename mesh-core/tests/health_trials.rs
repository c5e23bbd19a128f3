//! Trials of instances whose ejection ended: how one ends that nobody waited for, that no sweep told of, or that could not
//! be made.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::time::Duration;

use mesh_core::balance::Outcome;
use mesh_core::health::Status;
use mesh_core::health::outlier::{Comeback, OutlierConfig};
use mesh_core::machine::ServiceMachineConfig;
use support::rig::*;
use support::traffic::*;
use support::*;

#[test]
fn a_trial_that_was_given_up_is_held_against_nobody() {
    let mut traffic = Traffic::over(listed(4), exact());
    traffic.fail(1, 5);
    traffic.rig.pass(ms(34_900));
    let trial = traffic.pick();
    assert_eq!(number(trial.instance()), 1);
    // The sweep at 35 s sees it under way.
    traffic.rig.pass(ms(1_100));
    traffic.end(trial, Outcome::Cancelled);
    traffic.rig.pass(secs(29));
    assert_eq!(traffic.status(1), Status::Unknown);
}

#[test]
fn how_a_trial_ended_counts_though_nobody_was_woken_for_it() {
    for (outcome, becomes) in [(Outcome::Success, Status::Unknown), (Outcome::Failure, Status::Ejected)] {
        for early in [false, true] {
            let mut traffic = Traffic::over(listed(4), exact());
            traffic.fail(1, 5);
            traffic.rig.pass(ms(34_900));
            let trial = traffic.pick();
            assert_eq!(number(trial.instance()), 1);
            traffic.rig.pass(ms(if early { 0 } else { 29_999 }));
            let _ = trial.finish(traffic.rig.now, outcome);
            traffic.rig.pass(ms(if early { 100 } else { 1 }));
            assert_eq!(traffic.status(1), becomes, "{outcome:?}, early: {early}");
        }
    }
}

#[test]
fn one_that_could_not_be_tried_while_its_check_failed_warms_up_when_it_is_well() {
    let mut traffic = Traffic::over(all_checked(3), exact());
    traffic.rig.pass(secs(1));
    traffic.fail(2, 5);
    traffic.rig.fate(2, fails());
    traffic.rig.pass(secs(100));
    assert_eq!(traffic.status(2), Status::Unhealthy);
    traffic.rig.fate(2, passes());
    traffic.rig.pass(secs(1));
    assert_eq!(traffic.status(2), Status::Healthy);
    assert_eq!(traffic.weights(), [100, 100, 10]);
    traffic.rig.pass(secs(11));
    assert_eq!(traffic.weights(), [1; 3]);
}

#[test]
fn a_trial_that_is_overloaded_is_no_proof_of_health() {
    let rules = [(false, true, Status::Ejected), (true, false, Status::Ejected), (false, false, Status::Probing)];
    for (is_failure, lowers_rate, becomes) in rules {
        let mut config = exact();
        config.outlier.overloaded_is_failure = is_failure;
        config.outlier.overloaded_lowers_rate = lowers_rate;
        let mut traffic = Traffic::over(listed(4), config);
        traffic.fail(1, 5);
        traffic.rig.pass(secs(30));
        let trial = traffic.pick();
        assert_eq!(number(trial.instance()), 1);
        traffic.end(trial, Outcome::Overloaded { retry_after: None });
        assert_eq!(traffic.status(1), becomes, "{is_failure} {lowers_rate}");
        if becomes == Status::Probing {
            assert_eq!(number(traffic.pick().instance()), 1, "another is tried");
        }
    }
}

#[test]
fn one_that_comes_back_untried_is_out_again_after_as_many_failures() {
    let mut config = exact();
    config.outlier = OutlierConfig::envoy();
    config.outlier.ejection.share_max_percent = 50;
    let mut mixed = exact();
    mixed.outlier.ejection.comeback = Comeback::Full;
    mixed.outlier.ejection.fresh_start = false;
    for config in [config, mixed] {
        let mut traffic = Traffic::over(listed(4), config);
        for _ in 0..3 {
            traffic.fail(1, 5);
            assert_eq!(traffic.status(1), Status::Ejected);
            while traffic.status(1) == Status::Ejected {
                traffic.rig.pass(secs(1));
            }
            traffic.fail(1, 4);
            assert_eq!(traffic.status(1), Status::Unknown);
            traffic.fail(1, 1);
            assert_eq!(traffic.status(1), Status::Ejected);
            traffic.rig.pass(secs(150));
        }
    }
}

/// Ejections without jitter.
fn exact() -> ServiceMachineConfig {
    let mut config = ServiceMachineConfig::default();
    config.outlier.ejection.jitter_max = Duration::ZERO;
    config
}
