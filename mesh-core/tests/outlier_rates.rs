//! Who is found by how the fleet fares: success rates, shares of failures, latencies, correlated failures.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod outlier_support;

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use mesh_core::health::outlier::*;
use mesh_core::rng::Rng;
use outlier_support::*;

#[test]
fn envoys_example_has_its_threshold_at_52() {
    let mut rig = Rig::new(with_share(OutlierConfig::envoy(), 100), 5);
    rig.serve_rates(&[50, 100, 100, 100, 100]);
    rig.sweep();
    let cause = Cause::SuccessRate { origin: Origin::Any, rate: 50.0, mean: 90.0, deviation: 20.0, threshold: 52.0 };
    assert_eq!(rig.ejections(), [(0, cause)]);
}

#[test]
fn a_rate_at_the_threshold_is_no_outlier() {
    // One of five away from the others is always two deviations below the mean.
    for (factor_milli, out) in [(2000, 0), (1999, 1)] {
        let mut config = with_share(OutlierConfig::envoy(), 100);
        config.success_rate.as_mut().unwrap().stdev_factor_milli = NonZeroU32::new(factor_milli).unwrap();
        let mut rig = Rig::new(config, 5);
        rig.serve_rates(&[50, 100, 100, 100, 100]);
        rig.sweep();
        assert_eq!(rig.ejected().len(), out, "{factor_milli}");
    }
}

#[test]
fn envoys_success_rate_is_blind_where_more_than_its_share_is_bad_and_ours_is_not() {
    // z = sqrt((N - m) / m) > 1.9 as long as m / N < 21.69 %.
    for (count, most) in [(5, 1), (10, 2), (20, 4), (50, 10), (100, 21)] {
        for bad in 0..=count {
            let rates: Vec<_> = (0..count).map(|number| if number < bad { 40 } else { 100 }).collect();
            let mut envoy = Rig::new(with_share(OutlierConfig::envoy(), 100), count);
            envoy.serve_rates(&rates);
            envoy.sweep();
            assert_eq!(envoy.ejected().len(), if bad <= most { bad } else { 0 }, "Envoy: {bad} of {count}");

            let mut ours = Rig::new(OutlierConfig::default(), count);
            ours.serve_rates(&rates);
            ours.sweep();
            let found = if bad == count { 0 } else { bad };
            let out = ours.ejected();
            assert_eq!(out.len(), found.min(count / 2), "{bad} of {count}");
            assert!(out.iter().all(|number| *number < bad));
        }
    }
}

#[test]
fn of_two_instances_the_bad_one_is_found() {
    let mut rig = Rig::new(OutlierConfig::default(), 2);
    rig.serve_rates(&[100, 30]);
    rig.sweep();
    let cause = Cause::CorrelatedFailure { origin: Origin::Any, rate: 30.0, others: 100.0, gap: 70.0, below: 1 };
    assert_eq!(rig.ejections(), [(1, cause)]);
}

#[test]
fn a_fleet_is_cut_where_it_is_widest_and_those_below_go_worst_first() {
    let mut rig = Rig::new(ours(), 8);
    rig.serve_rates(&[99, 30, 98, 10, 100, 97, 40, 70]);
    rig.sweep();
    let below_the_widest = rig.ejections();
    let numbers: Vec<_> = below_the_widest.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [3, 1, 6]);
    assert!(
        below_the_widest
            .iter()
            .all(|(_, cause)| matches!(cause, Cause::CorrelatedFailure { below: 3, gap, .. } if *gap == 30.0))
    );
    // What is left is cut anew, as far as there is room.
    rig.serve_rates(&[99, 30, 98, 10, 100, 97, 40, 70]);
    rig.sweep();
    assert_eq!(rig.ejected(), [7]);
}

#[test]
fn a_gap_too_narrow_or_an_accident_is_no_correlated_failure() {
    let mut config = ours();
    config.success_rate = None;
    for (rates, out) in [([81, 81, 100, 100], 0), ([80, 80, 100, 100], 2), ([100, 100, 100, 100], 0)] {
        let mut rig = Rig::new(config.clone(), 4);
        rig.serve_rates(&rates);
        rig.sweep();
        assert_eq!(rig.ejected().len(), out, "{rates:?}");
    }
    // Half as often as the others: with 20 attempts against 60 that is luck, with 200 it is not.
    for (times, out) in [(1, 0), (10, 1)] {
        let mut rig = Rig::new(config.clone(), 4);
        rig.serve(0, 10 * times, 10 * times);
        (1..4).for_each(|number| rig.serve(number, 16 * times, 4 * times));
        rig.sweep();
        assert_eq!(rig.ejected().len(), out, "{times}");
    }
}

#[test]
fn an_accident_at_the_widest_gap_does_not_hide_the_failure_behind_it() {
    let mut config = ours();
    config.success_rate = None;
    let mut rig = Rig::new(config, 5);
    // The gap above the first is the widest, but 20 attempts prove nothing against others of which one fails often.
    rig.serve(0, 5, 15);
    rig.serve(1, 480, 520);
    (2..5).for_each(|number| rig.serve(number, 700, 300));
    rig.sweep();
    assert_eq!(rig.ejected(), [1]);
}

#[test]
fn a_volume_too_small_proves_nothing() {
    for (config, least) in [(OutlierConfig::envoy(), 100), (OutlierConfig::grpc(), 100), (ours(), 20)] {
        for volume in [least - 1, least] {
            let mut rig = Rig::new(with_share(config.clone(), 100), 6);
            // At 80 % failures, no share of failures is looked at.
            rig.serve(0, volume / 5, volume - volume / 5);
            (1..6).for_each(|number| rig.serve(number, 1000, 0));
            rig.sweep();
            assert_eq!(rig.ejected().len(), usize::from(volume == least), "{volume}");
        }
        // Instances without volume are none to compare with.
        let mut rig = Rig::new(with_share(config, 100), 6);
        rig.serve(0, 20, 80);
        (1..6).for_each(|number| rig.serve(number, least - 1, 0));
        rig.sweep();
        assert!(rig.ejected().is_empty());
    }
}

#[test]
fn a_healthy_fleet_loses_nobody() {
    // 100 instances at 95 %, 1,000 sweeps of 50 attempts each; Envoy's rule would eject two in each.
    let mut rig = Rig::new(OutlierConfig::default(), 100);
    let mut rng = Rng::from_seed(11);
    for _ in 0..1_000 {
        for number in 0..100 {
            let failed = (0..50).filter(|_| rng.unit() < 0.05).count() as u64;
            rig.serve(number, 50 - failed, failed);
        }
        rig.sweep();
    }
    assert_eq!(rig.ejections(), []);
}

#[test]
fn one_lost_request_in_a_perfect_fleet_is_no_outlier() {
    let rates = [99, 100, 100, 100, 100, 100, 100, 100, 100, 100];
    for (config, out) in [(OutlierConfig::envoy(), 1), (OutlierConfig::default(), 0)] {
        let mut rig = Rig::new(config, 10);
        rig.serve_rates(&rates);
        rig.sweep();
        assert_eq!(rig.ejected().len(), out);
    }
}

#[test]
fn the_success_rate_must_be_low_by_deviations_by_points_and_by_evidence() {
    let mut config = ours();
    config.correlated = None;
    let found = |rates: &[u64], times: u64| {
        let mut rig = Rig::new(config.clone(), rates.len());
        rates.iter().enumerate().for_each(|(number, rate)| rig.serve(number, rate * times, (100 - rate) * times));
        rig.sweep();
        rig.ejected()
    };
    assert_eq!(found(&[90, 99, 99, 99, 99, 99, 99, 99], 10), [0]);
    assert_eq!(found(&[94, 99, 99, 99, 99, 99, 99, 99], 10), [0; 0], "4.4 points below the mean");
    assert_eq!(found(&[80, 90, 90, 90, 90, 90, 90, 90], 1), [0; 0], "20 of 100 for 10 of 100");
    assert_eq!(found(&[80, 90, 90, 90, 90, 90, 90, 90], 10), [0]);
    assert_eq!(found(&[80, 80, 90, 90, 90, 90, 90, 90], 10), [0; 0], "1.7 deviations");
}

#[test]
fn the_success_rate_needs_hosts() {
    for (hosts, out) in [(4, 0), (5, 1)] {
        let mut config = with_share(OutlierConfig::envoy(), 100);
        config.success_rate.as_mut().unwrap().stdev_factor_milli = NonZeroU32::new(1000).unwrap();
        let mut rig = Rig::new(config, hosts);
        rig.serve_rates(&[50, 100, 100, 100, 100][..hosts]);
        rig.sweep();
        assert_eq!(rig.ejected().len(), out, "{hosts}");
    }
}

#[test]
fn where_there_is_room_for_one_the_worst_goes() {
    let mut config = OutlierConfig::grpc();
    config.failure_percentage.as_mut().unwrap().threshold_percent = 50;
    let mut without = config.clone();
    without.success_rate = None;
    for config in [OutlierConfig::envoy(), without] {
        let mut rig = Rig::new(config, 10);
        rig.serve_rates(&[32, 30, 100, 100, 100, 100, 100, 100, 100, 100]);
        rig.sweep();
        assert_eq!(rig.ejected(), [1]);
    }
    let mut rig = Rig::new(ours(), 3);
    rig.take(0, 50, Duration::from_millis(100));
    rig.take(1, 50, Duration::from_millis(20));
    rig.take(2, 50, Duration::from_millis(20));
    rig.sweep();
    assert_eq!(rig.ejected(), [0]);
}

#[test]
fn the_share_of_failures_is_too_much_at_its_threshold_for_envoy_and_above_it_for_grpc() {
    for (config, percent, out) in [
        (enforced(OutlierConfig::envoy()), 85, 6),
        (enforced(OutlierConfig::envoy()), 84, 0),
        (OutlierConfig::grpc(), 85, 0),
        (OutlierConfig::grpc(), 86, 6),
    ] {
        let mut rig = Rig::new(with_share(config, 100), 6);
        rig.serve_rates(&[100 - percent; 6]);
        rig.sweep();
        assert_eq!(rig.ejected().len(), out, "{percent}");
    }
}

#[test]
fn envoy_only_reports_the_share_of_failures() {
    let mut rig = Rig::new(with_share(OutlierConfig::envoy(), 100), 5);
    rig.serve_rates(&[10; 5]);
    rig.sweep();
    assert_eq!(rig.spared(), [0, 1, 2, 3, 4].map(|number| (number, Reprieve::NotEnforced)));
}

#[test]
fn the_share_of_failures_needs_hosts_and_volume() {
    for (hosts, volume, out) in [(5, 50, 5), (4, 50, 0), (5, 49, 0)] {
        let mut rig = Rig::new(with_share(OutlierConfig::grpc(), 100), hosts);
        (0..hosts).for_each(|number| rig.serve(number, 0, volume));
        rig.sweep();
        assert_eq!(rig.ejected().len(), out, "{volume} on {hosts}");
    }
}

#[test]
fn what_happens_on_the_way_and_what_is_answered_can_be_judged_apart() {
    let origin = |split| {
        let mut config = ours();
        config.split_local_origin = split;
        config.success_rate = None;
        let mut rig = Rig::new(config, 3);
        rig.serve_rates(&[100; 3]);
        // Neither alone is a gap of 20 points.
        rig.fleet[0].1.unreachable = 10;
        rig.fleet[0].1.timed_out = 10;
        rig.fleet[0].1.failures = 20;
        rig.fleet[1].1.timed_out = 60;
        rig.sweep();
        rig.ejections()
    };
    assert!(
        matches!(origin(false)[..], [(1, Cause::CorrelatedFailure { origin: Origin::Any, rate, .. })] if rate == 62.5)
    );
    assert!(
        matches!(origin(true)[..], [(1, Cause::CorrelatedFailure { origin: Origin::Local, rate, .. })] if rate == 62.5)
    );
}

#[test]
fn only_the_last_interval_counts() {
    let mut rig = Rig::new(with_share(OutlierConfig::envoy(), 100), 5);
    rig.serve_rates(&[95, 95, 95, 95, 95]);
    rig.sweep();
    rig.serve_rates(&[50, 100, 100, 100, 100]);
    rig.sweep();
    assert!(matches!(rig.ejections()[..], [(0, Cause::SuccessRate { rate, .. })] if rate == 50.0));
}

#[test]
fn counters_may_wrap_and_may_begin_anew() {
    let mut rig = Rig::new(with_share(OutlierConfig::envoy(), 100), 5);
    for (key, reading) in &mut rig.fleet {
        *reading = Reading { successes: u64::MAX - 10, failures: u64::MAX, ..Reading::default() };
        rig.detector.rebase(key, reading);
        // 50 % for the first and 100 % for the others, across the end of the numbers.
    }
    for (number, (succeeded, failed)) in [(50, 50), (100, 0), (100, 0), (100, 0), (100, 0)].into_iter().enumerate() {
        let reading = &mut rig.fleet[number].1;
        reading.successes = reading.successes.wrapping_add(succeeded);
        reading.failures = reading.failures.wrapping_add(failed);
    }
    rig.sweep();
    assert_eq!(rig.ejected(), [0]);
    // Replaced: what it did so far is all that counts.
    rig.fleet.iter_mut().for_each(|(_, reading)| *reading = Reading { successes: 200, ..Reading::default() });
    rig.sweep();
    rig.fleet[1].1 = Reading { successes: 20, failures: 80, ..Reading::default() };
    (2..5).for_each(|number| rig.serve(number, 100, 0));
    rig.fleet.push((key(5), Reading { successes: 100, ..Reading::default() }));
    rig.detector.enrol(rig.now, key(5));
    rig.sweep();
    assert!(matches!(rig.ejections()[..], [(1, Cause::SuccessRate { rate, .. })] if rate == 20.0));
}

#[test]
fn a_slow_instance_is_found_beyond_the_factor_and_the_excess() {
    let found = |usual_ms: u64, slow_ms: u64, hosts: usize, count: u64| {
        let mut rig = Rig::new(ours(), hosts);
        (0..hosts).for_each(|number| {
            let latency = Duration::from_millis(if number == 1 { slow_ms } else { usual_ms });
            rig.take(number, count, latency);
        });
        rig.sweep();
        rig.ejections()
    };
    assert!(matches!(found(20, 61, 3, 20)[..], [(1, Cause::Latency { mean, median, factor_percent: 300 })]
        if mean.as_millis() == 60 && median.as_millis() == 19));
    assert!(found(20, 59, 3, 20).is_empty(), "2.95 times");
    assert!(found(4, 23, 3, 20).is_empty(), "19 ms more");
    assert_eq!(found(4, 25, 3, 20).len(), 1);
    assert!(found(20, 500, 2, 20).is_empty(), "of two, nobody knows");
    assert!(found(20, 61, 3, 19).is_empty(), "19 latencies");
    assert!(found(61, 20, 5, 20).is_empty(), "a fast one is welcome");
}

#[test]
fn reported_latencies_are_those_that_were_counted() {
    for (usual, slow) in [(ms(12), ms(100)), (ms(97), ms(741)), (secs(1), secs(3) + ms(30))] {
        let mut rig = Rig::new(ours(), 3);
        (0..3).for_each(|number| rig.take(number, 100, if number == 0 { slow } else { usual }));
        rig.sweep();
        let [(0, Cause::Latency { mean, median, .. })] = rig.ejections()[..] else { panic!("{slow:?}") };
        for (reported, counted) in [(mean, slow), (median, usual)] {
            let ratio = reported.as_secs_f64() / counted.as_secs_f64();
            assert!((0.995..=1.0).contains(&ratio), "{reported:?} for {counted:?}");
        }
    }
}

#[test]
fn one_of_many_slow_requests_makes_no_slow_instance() {
    let mut rig = Rig::new(ours(), 3);
    (0..3).for_each(|number| rig.take(number, 100, Duration::from_millis(20)));
    // The arithmetic mean would be 120 ms.
    rig.take(0, 1, secs(10));
    rig.sweep();
    assert!(rig.ejected().is_empty());
}

#[test]
fn the_lot_ejects_the_share_that_is_enforced() {
    // 3,000 ± 46; four deviations are wrong once in 15,000 seeds, and the seed is fixed.
    assert!((2_817..=3_183).contains(&enforced_of_10_000(30)));
    assert_eq!((enforced_of_10_000(0), enforced_of_10_000(100)), (0, 10_000));
}

/// How many of 10,000 failing instances are ejected where this percentage is.
fn enforced_of_10_000(enforcing_percent: u32) -> usize {
    let mut config = with_share(OutlierConfig::grpc(), 100);
    let detector = config.failure_percentage.as_mut().unwrap();
    detector.enforcing_percent = enforcing_percent;
    detector.hosts_min = NonZeroU32::MIN;
    detector.volume_min = NonZeroU64::MIN;
    config.success_rate = None;
    let mut rig = Rig::new(config, 10_000);
    (0..10_000).for_each(|number| rig.serve(number, 0, 1));
    rig.sweep();
    rig.ejected().len()
}

/// Envoy with its share of failures in force.
fn enforced(mut config: OutlierConfig) -> OutlierConfig {
    config.failure_percentage.as_mut().unwrap().enforcing_percent = 100;
    config
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
