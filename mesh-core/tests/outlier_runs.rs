//! Failures in a row: when a run is found, when it is found again, and how many requests that takes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod outlier_support;

use std::num::NonZeroU32;

use mesh_core::health::outlier::*;
use mesh_core::rng::Rng;
use mesh_core::time::Instant;
use outlier_support::*;

#[test]
fn a_run_is_found_at_its_threshold_with_its_numbers() {
    for config in [OutlierConfig::default(), with_share(OutlierConfig::envoy(), 100)] {
        let mut rig = Rig::new(config, 2);
        (0..4).for_each(|_| rig.fail(0));
        assert_eq!(rig.ejections(), []);
        rig.fail(0);
        assert_eq!(rig.ejections(), [(0, Cause::InRow { run: Run::Any, length: 5, threshold: 5 })]);
    }
}

#[test]
fn a_run_that_is_only_reported_is_reported_once_for_each_threshold() {
    let mut config = with_share(OutlierConfig::envoy(), 100);
    config.failures_in_row.as_mut().unwrap().enforcing_percent = 0;
    let mut rig = Rig::new(config, 2);
    let mut spared = Vec::new();
    for nth in 1..=15 {
        rig.fail(0);
        spared.extend(rig.spared().into_iter().map(|_| nth));
    }
    assert_eq!(spared, [5, 10, 15]);
    // One found before does not hide the next, however the run began.
    rig.serve(0, 1, 0);
    rig.fleet[0].1.failures_in_row = 0;
    (0..4).for_each(|_| rig.fail(0));
    assert_eq!(rig.spared(), []);
    rig.fail(0);
    assert_eq!(rig.spared().len(), 1);
}

#[test]
fn a_run_that_no_one_told_of_is_found_by_the_sweep() {
    let mut rig = Rig::new(OutlierConfig::default(), 3);
    rig.serve(2, 0, 7);
    rig.fleet[2].1.failures_in_row = 7;
    rig.sweep();
    assert_eq!(rig.ejections(), [(2, Cause::InRow { run: Run::Any, length: 7, threshold: 5 })]);
}

#[test]
fn the_runs_of_the_gateway_and_of_the_way_have_thresholds_of_their_own() {
    let mut config = with_share(OutlierConfig::envoy(), 100);
    config.gateway_in_row = Some(InRow::new(NonZeroU32::new(3).unwrap(), 100));
    config.local_in_row = Some(InRow::new(NonZeroU32::new(2).unwrap(), 100));
    let mut rig = Rig::new(config, 3);
    let gateway = Reading { failures: 3, failures_in_row: 3, gateway_in_row: 3, ..Reading::default() };
    rig.detector.heed(Instant::ZERO, &key(0), &Reading { gateway_in_row: 2, ..gateway });
    assert_eq!(rig.ejections(), []);
    rig.detector.heed(Instant::ZERO, &key(0), &gateway);
    assert_eq!(rig.ejections(), [(0, Cause::InRow { run: Run::Gateway, length: 3, threshold: 3 })]);
    rig.lose(1);
    assert_eq!(rig.ejections(), []);
    rig.lose(1);
    assert_eq!(rig.ejections(), [(1, Cause::InRow { run: Run::Local, length: 2, threshold: 2 })]);
}

#[test]
fn grpc_looks_at_no_runs_and_off_at_nothing() {
    let mut rig = Rig::new(with_share(OutlierConfig::grpc(), 100), 2);
    (0..50).for_each(|_| rig.fail(0));
    assert_eq!(rig.events(), []);
    let mut rig = Rig::new(OutlierConfig::off(), 2);
    (0..50).for_each(|_| rig.fail(0));
    assert_eq!((rig.detector.next(), rig.detector.enrolled_count(), rig.events()), (None, 0, Vec::new()));
}

#[test]
fn a_run_reaches_its_threshold_after_as_many_requests_as_it_must() {
    // On the mean (1 - p^k) / (p^k (1 - p)) requests, from one ejection to the next, while the endpoint's own run goes
    // on: it is the detector that counts from the return.
    for (threshold, mean) in [(5, 62.0), (3, 14.0)] {
        let mut config = with_share(OutlierConfig::envoy(), 100);
        config.failures_in_row.as_mut().unwrap().threshold = NonZeroU32::new(threshold).unwrap();
        config.gateway_in_row = None;
        let mut rig = Rig::new(config, 1);
        let mut rng = Rng::from_seed(5);
        let checked = key(0);
        let (mut requests, mut ejections) = (0_u64, 0_u64);
        while ejections < 100_000 && requests < 10_000_000 {
            requests += 1;
            if rng.unit() < 0.5 {
                rig.fail(0);
            } else {
                rig.serve(0, 1, 0);
            }
            if !rig.is_in(0) {
                ejections += 1;
                rig.detector.checked(rig.now, &checked, true);
                while rig.detector.poll_event().is_some() {}
            }
        }
        let found = requests as f64 / ejections as f64;
        assert!((found / mean - 1.0).abs() < 0.02, "{found} for {mean}");
    }
}

#[test]
fn an_instance_that_was_replaced_counts_its_runs_anew() {
    let mut config = with_share(OutlierConfig::envoy(), 100);
    config.failures_in_row.as_mut().unwrap().enforcing_percent = 0;
    let mut rig = Rig::new(config, 2);
    (0..30).for_each(|_| rig.fail(0));
    rig.events();
    rig.fleet[0].1 = Reading::default();
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.spared().len(), 1);
}

#[test]
fn nobody_is_found_who_is_not_enrolled_or_is_out() {
    let mut rig = Rig::new(OutlierConfig::default(), 4);
    rig.detector.forget(&key(1));
    for number in [1, 0, 0] {
        (0..5).for_each(|_| rig.fail(number));
    }
    assert_eq!(rig.ejected(), [0]);
    rig.detector.tick(rig.now.after(secs(33)));
    rig.events();
    (0..9).for_each(|_| rig.fail(0));
    assert_eq!(rig.events(), [], "its probe decides");
}
