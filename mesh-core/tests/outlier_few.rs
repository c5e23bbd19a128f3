//! Those who get few requests, and those who shed load: whom the default preset finds where the peers' see nothing.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod outlier_support;

use mesh_core::health::outlier::OutlierConfig;
use outlier_support::Rig;

#[test]
fn one_that_sheds_load_alone_is_an_outlier_and_half_a_fleet_that_does_is_not() {
    for (shedding, out) in [(1, 1), (5, 0), (10, 0)] {
        let mut rig = Rig::new(OutlierConfig::default(), 10);
        for (number, (_, reading)) in rig.fleet.iter_mut().enumerate() {
            let shed = if number < shedding { 100 } else { 0 };
            (reading.successes, reading.overloaded) = (200 - shed, shed);
        }
        rig.sweep();
        assert_eq!(rig.detector.ejected_count(), out, "{shedding} of ten shed half of their load");
    }
    let mut config = OutlierConfig::default();
    config.overloaded_lowers_rate = false;
    let mut rig = Rig::new(config, 10);
    for (number, (_, reading)) in rig.fleet.iter_mut().enumerate() {
        (reading.successes, reading.overloaded) = if number == 0 { (1, 199) } else { (200, 0) };
    }
    rig.sweep();
    assert_eq!(rig.detector.ejected_count(), 0);
}

#[test]
fn one_that_is_kept_away_from_is_judged_by_what_it_did_in_a_minute() {
    // Two choices give one that fails hardly any requests: four a sweep, two of which fail.
    let ejected_after = |config: OutlierConfig| {
        let mut rig = Rig::new(config, 10);
        (1..=20).find(|_| {
            (1..10).for_each(|number| rig.serve(number, 400, 0));
            rig.serve(0, 2, 0);
            rig.fleet[0].1.failures += 2;
            rig.sweep();
            rig.detector.ejected_count() == 1
        })
    };
    let after = ejected_after(OutlierConfig::default());
    assert!(after.is_some_and(|sweeps| (5..=12).contains(&sweeps)), "{after:?}");
    let mut forgetful = OutlierConfig::default();
    forgetful.gathers_max = 0;
    assert_eq!(ejected_after(forgetful), None);
}

#[test]
fn what_was_gathered_is_let_go_of_after_so_many_sweeps() {
    let mut config = OutlierConfig::default();
    config.gathers_max = 3;
    let mut rig = Rig::new(config, 10);
    // Twelve failures, four sweeps apart from twelve more: never enough at once.
    for round in 0..40 {
        (1..10).for_each(|number| rig.serve(number, 400, 0));
        if round % 5 == 0 {
            rig.serve(0, 6, 0);
            rig.fleet[0].1.failures += 6;
        }
        rig.sweep();
        assert_eq!(rig.detector.ejected_count(), 0, "round {round}");
    }
}
