//! For how long outliers are out, and how they come back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod outlier_support;

use std::time::Duration;

use mesh_core::health::outlier::*;
use mesh_core::time::Instant;
use outlier_support::*;

#[test]
fn envoys_ejections_grow_to_the_longest_and_one_step_beyond() {
    let mut rig = Rig::new(with_share(OutlierConfig::envoy(), 100), 1);
    for nth in 1..=15 {
        (0..5).for_each(|_| rig.fail(0));
        let length = rig.until(0).unwrap().since(rig.now);
        assert_eq!(length, secs(30) * nth.min(10));
        // Failing on as soon as it is back, it has no time to be forgiven.
        rig.pass(rig.until(0).unwrap().after(secs(9)));
        assert!(rig.is_in(0));
    }
    // Eleven steps were climbed: two down and one up are ten, where from the ten that are enough they would be nine.
    rig.sweep();
    rig.sweep();
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.until(0).unwrap().since(rig.now), secs(300));
}

#[test]
fn envoy_forgets_one_step_with_each_sweep_an_interval_after_the_return() {
    // (sweeps after the one that brings it back, the length of the third ejection)
    for (sweeps, length) in [(0, 90), (1, 60), (2, 30), (5, 30)] {
        let mut rig = Rig::new(with_share(OutlierConfig::envoy(), 100), 1);
        for _ in 0..2 {
            (0..5).for_each(|_| rig.fail(0));
            rig.pass(rig.until(0).unwrap());
            assert!(rig.is_in(0));
        }
        (0..sweeps).for_each(|_| rig.sweep());
        (0..5).for_each(|_| rig.fail(0));
        assert_eq!(rig.until(0).unwrap().since(rig.now), secs(length), "{sweeps}");
    }
}

#[test]
fn grpcs_multiplier_falls_with_every_sweep_that_it_is_in() {
    // It comes back at the end of a sweep that does not count; each one after does.
    for (sweeps, length) in [(0, 60), (1, 30), (3, 30)] {
        let mut rig = Rig::new(with_share(OutlierConfig::grpc(), 100), 5);
        let fail = |rig: &mut Rig| {
            rig.serve_rates(&[0, 100, 100, 100, 100]);
            rig.sweep();
            rig.until(0).unwrap().since(rig.now)
        };
        assert_eq!(fail(&mut rig), secs(30));
        rig.pass(at(40));
        assert!(!rig.is_in(0), "strictly after its time");
        rig.pass(at(50));
        assert!(rig.is_in(0));
        (0..sweeps).for_each(|_| rig.sweep());
        assert_eq!(fail(&mut rig), secs(length), "{sweeps}");
    }
}

#[test]
fn grpcs_ejections_end_at_the_longest() {
    let mut config = with_share(OutlierConfig::grpc(), 100);
    config.ejection.max_time = secs(45);
    let mut rig = Rig::new(config, 5);
    rig.serve_rates(&[0, 100, 100, 100, 100]);
    rig.sweep();
    rig.pass(at(50));
    rig.serve_rates(&[0, 100, 100, 100, 100]);
    rig.sweep();
    assert_eq!(rig.until(0).unwrap().since(rig.now), secs(45));
}

#[test]
fn our_ejections_grow_by_what_went_before_and_shrink_by_the_time_that_went_well() {
    // (seconds well before the third, its length): 60 s are carried over from the second.
    for (well, length) in [(0, 90), (10, 80), (45, 45), (60, 30), (600, 30)] {
        let mut rig = Rig::new(full(with_share(ours(), 100)), 2);
        for nth in 1..=2 {
            (0..5).for_each(|_| rig.fail(0));
            assert_eq!(rig.until(0).unwrap().since(rig.now), secs(30 * nth));
            rig.pass(rig.until(0).unwrap());
        }
        rig.pass(rig.now + secs(well));
        (0..5).for_each(|_| rig.fail(0));
        assert_eq!(rig.until(0).unwrap().since(rig.now), secs(length), "{well}");
    }
}

#[test]
fn our_ejections_never_exceed_the_longest_and_are_forgiven_from_there() {
    let mut rig = Rig::new(full(ours()), 2);
    for nth in 1..=15 {
        (0..5).for_each(|_| rig.fail(0));
        assert_eq!(rig.until(0).unwrap().since(rig.now), secs(30) * nth.min(10));
        rig.pass(rig.until(0).unwrap());
    }
    rig.pass(rig.now + secs(90));
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.until(0).unwrap().since(rig.now), secs(240), "no step beyond is paid off first");
}

#[test]
fn ejections_for_the_share_of_failures_grow_as_all_others_do() {
    let mut config = OutlierConfig::off();
    config.failure_percentage = Some(FailurePercentage::default());
    config.ejection = full(ours()).ejection;
    let mut rig = Rig::new(config, 4);
    for nth in 1..=3 {
        // It came back within this interval: what counts is what the owner saw of it since.
        let (key, reading) = rig.fleet[0].clone();
        rig.detector.rebase(&key, &reading);
        rig.serve_rates(&[0, 100, 100, 100]);
        rig.sweep();
        assert_eq!(
            rig.until(0).unwrap().since(rig.now),
            secs(30 * nth) - secs(if nth > 1 { 5 * (nth - 1) } else { 0 })
        );
        rig.pass(rig.until(0).unwrap());
    }
}

#[test]
fn jitter_lengthens_every_ejection_by_its_own_draw() {
    let mut config = full(ours());
    config.ejection.jitter_max = secs(10);
    config.ejection.max_time = secs(30);
    let mut rig = Rig::new(config, 2);
    let lengths: Vec<_> = (0..200)
        .map(|_| {
            (0..5).for_each(|_| rig.fail(0));
            let length = rig.until(0).unwrap().since(rig.now);
            rig.pass(rig.until(0).unwrap());
            length
        })
        .collect();
    assert!(lengths.iter().all(|length| (secs(30)..=secs(40)).contains(length)));
    assert!(lengths.iter().any(|length| *length < secs(31)) && lengths.iter().any(|length| *length > secs(39)));
}

#[test]
fn our_ejections_end_on_time_and_theirs_at_a_sweep() {
    // Ejected at 7 s for 30 s.
    let cases = [(full(ours()), 37), (with_share(OutlierConfig::envoy(), 100), 40)];
    for (config, end) in cases {
        let mut rig = Rig::new(config, 2);
        rig.pass(at(7));
        (0..5).for_each(|_| rig.fail(0));
        assert_eq!(rig.until(0), Some(at(37)));
        assert_eq!(rig.detector.next_transition_at(&key(0)), Some(at(end)));
        rig.pass(at(end).before(Duration::from_nanos(1)));
        assert!(!rig.is_in(0));
        rig.pass(at(end));
        assert!(rig.is_in(0));
    }
}

#[test]
fn envoy_releases_before_it_judges_and_grpc_after() {
    let mut envoy = OutlierConfig::envoy();
    envoy.failure_percentage.as_mut().unwrap().enforcing_percent = 100;
    // Both have served their time, and what ended while they were out is still to be judged.
    for (config, back, again) in [(envoy, 40, true), (OutlierConfig::grpc(), 50, false)] {
        let mut rig = Rig::new(with_share(config, 100), 5);
        rig.serve_rates(&[0, 100, 100, 100, 100]);
        rig.sweep();
        assert_eq!(rig.detector.next_transition_at(&key(0)), Some(at(back)));
        rig.pass(at(back - 1));
        rig.events();
        rig.serve_rates(&[0, 100, 100, 100, 100]);
        rig.pass(at(back));
        let events = rig.events();
        assert!(matches!(events[0], OutlierEvent::Restored { .. }));
        assert_eq!(events[1..].iter().any(|event| matches!(event, OutlierEvent::Ejected { .. })), again);
        assert_eq!(rig.is_in(0), !again);
    }
}

#[test]
fn what_ended_before_the_return_is_not_held_against_it() {
    for told in [false, true] {
        let mut rig = Rig::new(ours(), 3);
        rig.pass(at(1));
        (0..5).for_each(|_| rig.fail(0));
        rig.pass(at(30));
        // Stragglers fail until the very end, and the run of five never ended.
        rig.serve_rates(&[0, 100, 100]);
        (0..30).for_each(|_| rig.fail(0));
        rig.pass(at(31));
        if told {
            let (key, reading) = rig.fleet[0].clone();
            rig.detector.rebase(&key, &reading);
        }
        rig.detector.probed(at(31), &key(0), true);
        if told {
            let (key, reading) = rig.fleet[0].clone();
            rig.detector.rebase(&key, &reading);
        }
        (0..4).for_each(|_| rig.fail(0));
        rig.serve_rates(&[100, 100, 100]);
        rig.sweep();
        assert!(rig.is_in(0));
        // What comes after is.
        rig.serve_rates(&[0, 100, 100]);
        rig.sweep();
        assert!(!rig.is_in(0));
    }
}

#[test]
fn a_probe_decides() {
    let mut rig = Rig::new(ours(), 3);
    (0..5).for_each(|_| rig.fail(0));
    rig.events();
    rig.pass(at(30));
    assert_eq!(rig.events(), [OutlierEvent::Released { key: key(0) }]);
    assert_eq!((rig.detector.ejected_count(), rig.detector.probing_count()), (0, 1));
    rig.detector.probed(at(31), &key(0), false);
    let until = at(31 + 60);
    assert_eq!(rig.events(), [OutlierEvent::Ejected { key: key(0), cause: Cause::Probe, until }]);
    rig.pass(until);
    rig.events();
    rig.detector.probed(until, &key(0), true);
    assert_eq!(rig.restored(), [(0, Restoration::Probe)]);
    rig.detector.probed(until, &key(0), false);
    assert!(rig.is_in(0), "nobody asked");
}

#[test]
fn one_that_is_never_probed_is_back_in_the_end() {
    let mut rig = Rig::new(ours(), 3);
    (0..5).for_each(|_| rig.fail(0));
    rig.pass(at(30));
    assert_eq!(rig.detector.next_transition_at(&key(0)), Some(at(60)));
    rig.pass(at(60));
    assert_eq!(rig.restored(), [(0, Restoration::Unprobed)]);
}

#[test]
fn a_trial_that_hangs_has_failed_and_one_that_was_given_up_says_nothing() {
    for (gives_up, until) in [(false, Some(70 + 60)), (true, None)] {
        let mut rig = Rig::new(ours(), 3);
        rig.detector.tried(&key(0), Some(at(0)));
        (0..5).for_each(|_| rig.fail(0));
        rig.detector.tried(&key(0), Some(at(0)));
        rig.pass(at(40));
        rig.detector.tried(&key(0), Some(at(40)));
        assert_eq!(rig.detector.next_transition_at(&key(0)), Some(at(70)), "it has its half minute");
        if gives_up {
            rig.detector.tried(&key(0), None);
        }
        rig.pass(at(69));
        rig.events();
        rig.pass(at(70));
        let expected = match until {
            Some(until) => OutlierEvent::Ejected { key: key(0), cause: Cause::Probe, until: at(until) },
            None => OutlierEvent::Restored { key: key(0), by: Restoration::Unprobed },
        };
        assert_eq!(rig.events(), [expected]);
    }
}

#[test]
fn checks_that_saw_the_illness_and_its_end_end_any_ejection_but_for_never() {
    let rules = [(UnejectOnCheck::Never, false), (UnejectOnCheck::Unreachable, true), (UnejectOnCheck::Always, true)];
    for (rule, ends) in rules {
        let mut config = full(ours());
        config.ejection.uneject_on_check = rule;
        let mut rig = Rig::new(config, 2);
        rig.detector.recovered(at(0), &key(0));
        (0..5).for_each(|_| rig.fail(0));
        rig.events();
        rig.detector.recovered(at(1), &key(0));
        assert_eq!(rig.restored(), if ends { vec![(0, Restoration::Check)] } else { Vec::new() }, "{rule:?}");
    }
}

#[test]
fn of_those_that_are_set_aside_nobody_serves_in_place_of_another() {
    let mut rig = Rig::new(ours(), 4);
    for number in [0, 1] {
        (0..5).for_each(|_| rig.fail(number));
    }
    rig.events();
    rig.detector.set_aside(&key(0), true);
    assert_eq!(rig.events(), [], "who is out is out already");
    rig.detector.set_aside(&key(2), true);
    assert_eq!(rig.restored(), [(0, Restoration::Room)], "one of three may be out: the first is due first");
    rig.detector.set_aside(&key(0), false);
    rig.detector.set_aside(&key(2), false);
    (0..5).for_each(|_| rig.fail(3));
    assert_eq!(rig.ejected(), [3], "two of four");
}

#[test]
fn one_that_is_replaced_is_in_and_lets_nobody_else_in() {
    let mut rig = Rig::new(ours(), 4);
    for number in [0, 1] {
        (0..5).for_each(|_| rig.fail(number));
    }
    rig.events();
    rig.detector.replace(at(1), key(2));
    assert_eq!((rig.events(), rig.detector.ejected_count()), (Vec::new(), 2));
    rig.detector.replace(at(1), key(0));
    assert_eq!((rig.events(), rig.is_in(0), rig.is_in(1)), (Vec::new(), true, false));
    rig.fleet[0].1 = Reading::default();
    (0..5).for_each(|_| rig.fail(0));
    assert_eq!(rig.until(0), Some(at(31)), "nothing is carried over");
}

#[test]
fn a_passed_check_ends_what_it_can_refute() {
    let rules = [
        (UnejectOnCheck::Never, false, false),
        (UnejectOnCheck::Unreachable, false, true),
        (UnejectOnCheck::Always, true, true),
    ];
    for (rule, failing_ends, unreachable_ends) in rules {
        for (is_unreachable, ends) in [(false, failing_ends), (true, unreachable_ends)] {
            let mut config = full(ours());
            config.ejection.uneject_on_check = rule;
            let mut rig = Rig::new(config, 2);
            (0..5).for_each(|_| if is_unreachable { rig.lose(0) } else { rig.fail(0) });
            rig.detector.checked(at(1), &key(0), false);
            assert!(!rig.is_in(0));
            rig.detector.checked(at(1), &key(0), true);
            assert_eq!(rig.is_in(0), ends, "{rule:?}");
        }
    }
}

#[test]
fn a_check_lets_it_be_probed_where_all_are() {
    let mut rig = Rig::new(ours(), 2);
    (0..5).for_each(|_| rig.lose(0));
    rig.events();
    rig.detector.checked(at(1), &key(0), true);
    assert_eq!(rig.events(), [OutlierEvent::Released { key: key(0) }]);
    rig.detector.checked(at(1), &key(0), true);
    assert_eq!(rig.events(), [], "a check is no probe");
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + secs(seconds)
}

/// Without probing.
fn full(mut config: OutlierConfig) -> OutlierConfig {
    config.ejection.comeback = Comeback::Full;
    config
}
