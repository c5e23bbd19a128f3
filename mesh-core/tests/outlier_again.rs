//! That nobody is found twice for the same requests.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod outlier_support;

use mesh_core::health::outlier::*;
use mesh_core::time::Instant;
use outlier_support::*;

#[test]
fn one_lot_is_drawn_for_the_same_attempts_however_long_they_are_gathered() {
    let mut config = share_of_failures();
    config.failure_percentage.as_mut().unwrap().enforcing_percent = 30;
    let mut rig = Rig::new(with_share(config, 100), 200);
    (0..200).for_each(|number| rig.serve(number, 0, 30));
    let mut told = 0;
    for _ in 0..5 {
        rig.sweep();
        told += rig.events().len();
    }
    assert_eq!(told, 200);
    let ejected = rig.detector.ejected_count();
    // 200 draws of 30 %: 60, and 4 standard deviations of 6.5.
    assert!((34..=86).contains(&ejected), "{ejected}");
}

#[test]
fn what_it_was_ejected_for_is_not_judged_again_when_it_is_back() {
    for by_run in [false, true] {
        let mut config = share_of_failures();
        config.failures_in_row = Some(InRow::default());
        let mut rig = Rig::new(with_share(config, 50), 4);
        rig.serve(0, 0, 40);
        (1..4).for_each(|number| rig.serve(number, 100, 0));
        if by_run {
            (0..5).for_each(|_| rig.fail(0));
        }
        let mut ejected = rig.ejected().len();
        for _ in 0..20 {
            (1..4).for_each(|number| rig.serve(number, 100, 0));
            rig.sweep();
            ejected += rig.ejected().len();
        }
        assert_eq!(ejected, 1, "by its run: {by_run}");
        assert!(rig.is_in(0));
    }
}

#[test]
fn a_lot_about_a_run_leaves_the_rates_what_they_gathered() {
    let mut config = share_of_failures();
    config.failures_in_row = Some(InRow::new(5.try_into().unwrap(), 0));
    let mut rig = Rig::new(config, 4);
    for _ in 0..4 {
        (1..4).for_each(|number| rig.serve(number, 100, 0));
        (0..5).for_each(|_| rig.fail(0));
        rig.sweep();
    }
    assert_eq!(rig.ejections().len(), 1, "of twenty failures");
}

#[test]
fn a_run_is_not_found_again_for_attempts_that_are_no_part_of_it() {
    let mut split = with_share(OutlierConfig::envoy(), 0);
    split.split_local_origin = true;
    let mut rig = Rig::new(split, 4);
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.spared(), [(0, Reprieve::NoRoom)]);
    for _ in 0..9 {
        rig.fleet[0].1.timed_out += 1;
        rig.fleet[0].1.local_in_row += 1;
        heed(&mut rig);
    }
    assert_eq!(rig.spared(), []);
    // Five more of its kind are.
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.spared(), [(0, Reprieve::NoRoom)]);

    let mut config = ours();
    config.failures_in_row.as_mut().unwrap().enforcing_percent = 0;
    let mut rig = Rig::new(config, 4);
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.spared(), [(0, Reprieve::NotEnforced)]);
    for _ in 0..9 {
        rig.fleet[0].1.overloaded += 1;
        heed(&mut rig);
    }
    assert_eq!(rig.spared(), []);
}

#[test]
fn a_run_after_a_success_is_another_whoever_saw_it_begin() {
    let mut config = ours();
    config.failures_in_row.as_mut().unwrap().enforcing_percent = 0;
    let mut rig = Rig::new(config, 4);
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.spared().len(), 1);
    rig.serve(0, 1, 6);
    rig.fleet[0].1.failures_in_row = 6;
    heed(&mut rig);
    assert_eq!(rig.spared().len(), 1);
    // Forgiven, and as long again without a success in between.
    rig.fleet[0].1.failures_in_row = 0;
    heed(&mut rig);
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.spared().len(), 1);
}

#[test]
fn a_run_is_no_longer_than_what_was_counted_since_its_beginning() {
    let mut rig = Rig::new(ours(), 4);
    rig.serve(0, 10, 0);
    let (known, reading) = rig.fleet[0].clone();
    rig.detector.rebase(&known, &reading);
    rig.fleet[0].1 = Reading { failures: 4, failures_in_row: 7, ..reading };
    heed(&mut rig);
    assert_eq!(rig.ejected(), Vec::<usize>::new());
    rig.fail(0);
    assert_eq!(rig.ejected(), [0]);
}

fn heed(rig: &mut Rig) {
    let (key, reading) = &rig.fleet[0];
    rig.detector.heed(Instant::ZERO, key, reading);
}

/// The share of failures alone, back fully, and held against for as long as anything is.
fn share_of_failures() -> OutlierConfig {
    let mut config = OutlierConfig::off();
    config.failure_percentage = Some(FailurePercentage::default());
    config.ejection = ours().ejection;
    config.ejection.comeback = Comeback::Full;
    config.ejection.fresh_start = false;
    config
}
