//! How many may be out at once, and what becomes of those for whom there is no room.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod outlier_support;

use mesh_core::health::outlier::*;
use mesh_core::time::Instant;
use outlier_support::*;

#[test]
fn ten_percent_of_fewer_than_ten_is_nobody_for_envoy_and_one_for_grpc() {
    for (hosts, envoy_out, grpc_out) in [(5, 0, 1), (9, 0, 1), (10, 1, 1), (11, 1, 2), (19, 1, 2), (20, 2, 2)] {
        let mut envoy = OutlierConfig::envoy();
        envoy.failure_percentage.as_mut().unwrap().enforcing_percent = 100;
        for (config, out) in [(envoy, envoy_out), (OutlierConfig::grpc(), grpc_out)] {
            let mut rig = Rig::new(config, hosts);
            (0..hosts).for_each(|number| rig.serve(number, 0, 100));
            rig.sweep();
            assert_eq!(rig.ejected().len(), out, "of {hosts}");
        }
    }
}

#[test]
fn envoy_may_be_told_to_eject_one_always() {
    let mut config = OutlierConfig::envoy();
    config.ejection.at_least_one = true;
    let mut rig = Rig::new(config, 3);
    for number in 0..3 {
        (0..5).for_each(|_| rig.fail(number));
    }
    assert_eq!(rig.ejected(), [0]);
}

#[test]
fn our_share_is_rounded_down_but_one_may_go_and_never_all() {
    for (share, at_least_one, hosts, out) in [
        (50, true, 1, 0),
        (50, true, 2, 1),
        (50, true, 3, 1),
        (50, true, 4, 2),
        (50, true, 9, 4),
        (10, true, 5, 1),
        (10, false, 5, 0),
        (0, false, 5, 0),
        (100, true, 5, 4),
        (99, true, 100, 99),
    ] {
        let mut config = with_share(ours(), share);
        config.ejection.at_least_one = at_least_one;
        let mut rig = Rig::new(config, hosts);
        for number in 0..hosts {
            (0..5).for_each(|_| rig.fail(number));
        }
        assert_eq!(rig.ejected().len(), out, "{share} % of {hosts}");
    }
}

#[test]
fn one_that_is_probed_still_counts_as_out() {
    let mut rig = Rig::new(ours(), 3);
    (0..5).for_each(|_| rig.fail(0));
    rig.detector.tick(at(30));
    assert!(matches!(rig.detector.standing(&key(0)), Standing::Probing { since } if since == at(30)));
    rig.now = at(30);
    (0..5).for_each(|_| rig.fail(1));
    assert!(rig.is_in(1));
    rig.detector.probed(at(30), &key(0), true);
    rig.sweep();
    assert!(!rig.is_in(1) && rig.is_in(0));
}

#[test]
fn one_without_room_goes_when_there_is_room_and_it_still_fails() {
    for recovers in [false, true] {
        let mut rig = Rig::new(full(ours()), 3);
        (0..5).for_each(|_| rig.fail(0));
        (0..5).for_each(|_| rig.fail(1));
        assert_eq!(rig.spared(), [(1, Reprieve::NoRoom)]);
        rig.fail(1);
        rig.pass(at(29));
        assert_eq!(rig.spared(), [], "that is said once");
        if recovers {
            rig.serve(1, 1, 0);
        }
        rig.pass(at(35));
        assert_eq!(rig.until(1).is_some(), !recovers);
    }
}

#[test]
fn one_without_room_that_recovered_is_news_again() {
    let mut rig = Rig::new(full(ours()), 3);
    (0..5).for_each(|_| rig.fail(0));
    (0..5).for_each(|_| rig.fail(1));
    rig.serve(1, 1, 0);
    rig.sweep();
    rig.sweep();
    (0..5).for_each(|_| rig.fail(1));
    assert_eq!(rig.spared(), [(1, Reprieve::NoRoom); 2]);
}

#[test]
fn envoy_asks_one_without_room_for_a_new_run() {
    let mut config = OutlierConfig::envoy();
    config.ejection.at_least_one = true;
    let mut rig = Rig::new(config, 3);
    (0..5).for_each(|_| rig.fail(0));
    (0..9).for_each(|_| rig.fail(1));
    assert_eq!(rig.spared(), [(1, Reprieve::NoRoom)], "once for five");
    rig.fail(1);
    assert_eq!(rig.spared().len(), 1);
}

#[test]
fn when_others_leave_one_that_is_probed_comes_back_before_one_that_is_out() {
    let mut rig = Rig::new(ours(), 4);
    (0..5).for_each(|_| rig.fail(0));
    rig.now = at(10);
    (0..5).for_each(|_| rig.fail(1));
    rig.detector.tick(at(30));
    rig.detector.forget(&key(2));
    assert_eq!(rig.restored(), [(0, Restoration::Room)]);
}

#[test]
fn when_others_leave_those_due_first_come_back() {
    let mut rig = Rig::new(ours(), 4);
    (0..5).for_each(|_| rig.fail(0));
    rig.now = at(1);
    (0..5).for_each(|_| rig.fail(1));
    rig.events();
    rig.detector.forget(&key(2));
    assert_eq!(rig.restored(), [(0, Restoration::Room)]);
    rig.detector.forget(&key(3));
    assert_eq!(rig.restored(), []);
    rig.detector.forget(&key(0));
    assert_eq!(rig.restored(), [(1, Restoration::Room)], "never all");
    assert_eq!(rig.detector.next_transition_at(&key(1)), None);
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + secs(seconds)
}

/// Without probing.
fn full(mut config: OutlierConfig) -> OutlierConfig {
    config.ejection.comeback = Comeback::Full;
    config
}
