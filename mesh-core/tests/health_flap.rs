//! An instance that keeps falling is held out for a while, visibly and not for ever.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_core::health::{Damper, Damping, DampingConfig};
use mesh_core::time::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn the_third_fall_within_a_minute_holds_an_instance_out() {
    let damping = Damping::new(&DampingConfig::default());
    let mut damper = Damper::default();
    assert!(!damper.flap(at(0), &damping) && !damper.is_damped(at(0)));
    assert!(!damper.flap(at(30), &damping) && !damper.is_damped(at(30)));
    assert!(damper.flap(at(60), &damping) && damper.is_damped(at(60)));
}

#[test]
fn falls_that_are_far_apart_hold_nobody_out() {
    let damping = Damping::new(&DampingConfig::default());
    let mut damper = Damper::default();
    // Each comes after a half-life: the penalties are 1000, 1500, 1750, ... and never 2000.
    for minute in 0..100 {
        assert!(!damper.flap(at(60 * minute), &damping), "minute {minute}");
    }
    assert!((damper.penalty(at(60 * 99), &damping) - 2000.0).abs() < 1e-6);
}

#[test]
fn a_penalty_halves_in_a_half_life() {
    let damping = Damping::new(&DampingConfig::default());
    let mut damper = Damper::default();
    assert_eq!(damper.penalty(at(10), &damping), 0.0);
    damper.flap(at(0), &damping);
    for (second, left) in [(0, 1000.0), (30, 707.106_781_186_547_6), (60, 500.0), (120, 250.0), (600, 0.976_562_5)] {
        assert!((damper.penalty(at(second), &damping) - left).abs() < 1e-9, "after {second} s");
    }
}

#[test]
fn the_example_of_the_routers_holds() {
    // A penalty of 4000 falls to 2000, 1000 and 500 in three half-lives, so it passes 750 between the last two.
    let damping = Damping::new(&DampingConfig::bgp());
    let mut damper = Damper::default();
    for _ in 0..4 {
        damper.flap(at(0), &damping);
    }
    for (minute, left) in [(0, 4000.0), (15, 2000.0), (30, 1000.0), (45, 500.0)] {
        assert!((damper.penalty(at(60 * minute), &damping) - left).abs() < 1e-9, "after {minute} min");
    }
    assert!(damper.is_damped(at(60 * 30)) && !damper.is_damped(at(60 * 45)));
    // 15 min times the binary logarithm of 4000 / 750.
    let until = damper.damped_until(at(0)).unwrap();
    assert!((until.since(at(0)).as_secs_f64() - 900.0 * 2.415_037_499_278_844).abs() < 1e-6, "{until:?}");
}

#[test]
fn two_falls_at_once_are_at_the_threshold_and_not_above() {
    let damping = Damping::new(&DampingConfig::default());
    let mut damper = Damper::default();
    damper.flap(at(0), &damping);
    assert!(!damper.flap(at(0), &damping), "the penalty is 2000, which is not above 2000");
    assert!(damper.flap(at(0), &damping));
}

#[test]
fn held_out_ends_at_the_moment_that_was_foretold() {
    let (damper, damping) = damped();
    let until = damper.damped_until(at(0)).unwrap();
    let moment = Duration::from_nanos(1);
    assert!(damper.is_damped(until - moment) && !damper.is_damped(until));
    assert_eq!(damper.damped_until(until), None);
    assert!(damper.penalty(until, &damping) <= 750.0);
    assert!(damper.penalty(until - moment * 2, &damping) > 750.0);
}

#[test]
fn a_fall_while_held_out_holds_longer_and_is_no_second_hold() {
    let (mut damper, damping) = damped();
    let first = damper.damped_until(at(0)).unwrap();
    // By then the penalty has decayed below the threshold, but not to where it may return.
    assert!(damper.penalty(at(90), &damping) < 2000.0 && damper.is_damped(at(90)));
    assert!(!damper.flap(at(90), &damping));
    assert!(damper.damped_until(at(90)).unwrap() > first);
}

#[test]
fn a_fall_after_a_hold_is_not_held_unless_it_exceeds_the_threshold_again() {
    let (mut damper, damping) = damped();
    let until = damper.damped_until(at(0)).unwrap();
    assert!(!damper.flap(until, &damping), "750 and 1000 are less than 2000");
    assert!(damper.flap(until, &damping));
}

#[test]
fn however_often_it_fell_it_may_return_in_time() {
    let damping = Damping::new(&DampingConfig::default());
    assert!((damping.ceiling() - 12_000.0).abs() < 1e-6);
    let mut damper = Damper::default();
    for _ in 0..10_000 {
        damper.flap(at(5), &damping);
    }
    assert!((damper.penalty(at(5), &damping) - 12_000.0).abs() < 1e-6);
    let held = damper.damped_until(at(5)).unwrap().since(at(5));
    assert!(held <= Duration::from_secs(240) && held > Duration::from_millis(239_999), "{held:?}");
}

#[test]
fn switched_off_it_holds_nobody_out() {
    let mut config = DampingConfig::default();
    config.enabled = false;
    let damping = Damping::new(&config);
    let mut damper = Damper::default();
    for _ in 0..100 {
        assert!(!damper.flap(at(1), &damping));
    }
    assert!(!damper.is_damped(at(1)));
}

#[test]
fn time_that_goes_back_stands_still() {
    let damping = Damping::new(&DampingConfig::default());
    let mut damper = Damper::default();
    damper.flap(at(100), &damping);
    assert!((damper.penalty(at(3), &damping) - 1000.0).abs() < 1e-9);
    damper.flap(at(40), &damping);
    assert!((damper.penalty(at(160), &damping) - 1000.0).abs() < 1e-9);
}

#[test]
fn what_can_never_work_is_refused_by_name() {
    assert!(DampingConfig::default().validate().is_ok() && DampingConfig::bgp().validate().is_ok());
    let cases: [(Spoil, &str); 11] = [
        (|config| config.penalty = 0, "penalty"),
        (|config| config.penalty = 1_000_001, "penalty"),
        (|config| config.suppress_above = 1_000_001, "suppress_above"),
        (|config| config.reuse_at = 0, "reuse_at"),
        (|config| config.reuse_at = 2000, "reuse_at"),
        (|config| config.half_life = Duration::ZERO, "half_life"),
        (|config| config.half_life = Duration::from_micros(999), "half_life"),
        (|config| config.half_life = Duration::from_secs(3601), "half_life"),
        (|config| config.suppress_max = Duration::from_secs(60 * 32 + 1), "suppress_max"),
        // 60 s times the binary logarithm of 2000 / 750 is 84.9 s.
        (|config| config.suppress_max = Duration::from_secs(84), "suppress_max"),
        (|config| config.suppress_max = Duration::ZERO, "suppress_max"),
    ];
    for (number, (spoil, field)) in cases.into_iter().enumerate() {
        let mut config = DampingConfig::default();
        spoil(&mut config);
        let error = config.validate().unwrap_err();
        assert_eq!(error.problems().iter().map(|problem| problem.field()).collect::<Vec<_>>(), [field], "{number}");
    }
    let fine: [Spoil; 5] = [
        |config| config.penalty = 1_000_000,
        |config| config.reuse_at = 1999,
        |config| config.suppress_max = Duration::from_secs(85),
        |config| config.suppress_max = Duration::from_secs(60 * 32),
        |config| (config.half_life, config.suppress_max) = (Duration::from_millis(1), Duration::from_millis(4)),
    ];
    for (number, change) in fine.into_iter().enumerate() {
        let mut config = DampingConfig::default();
        change(&mut config);
        assert!(config.validate().is_ok(), "{number}");
    }
}

#[test]
fn a_config_that_nobody_checked_does_no_harm() {
    let mut config = DampingConfig::default();
    (config.half_life, config.reuse_at) = (Duration::ZERO, 0);
    let damping = Damping::new(&config);
    let mut damper = Damper::default();
    for second in 0..10 {
        damper.flap(at(second), &damping);
        assert!(damper.penalty(at(second), &damping).is_finite());
        assert!(!damper.is_damped(at(second) + config.suppress_max));
    }
}

#[test]
fn it_is_read_from_text() {
    let config: DampingConfig = serde_json::from_str(r#"{"half_life": "30s", "suppress_max": "2m"}"#).unwrap();
    assert_eq!((config.half_life, config.suppress_max), (Duration::from_secs(30), Duration::from_secs(120)));
    assert!(serde_json::from_str::<DampingConfig>(r#"{"reuse": 1}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(11), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn in_any_history_a_hold_is_earned_and_ends(pauses in prop::collection::vec(0..200_000_u64, 1..60)) {
        let config = DampingConfig::default();
        let damping = Damping::new(&config);
        let mut damper = Damper::default();
        let mut now = Instant::ZERO;
        // The same with plain arithmetic, one penalty for each fall.
        let mut falls: Vec<Instant> = Vec::new();
        for pause in pauses {
            now += Duration::from_millis(pause);
            let was_damped = damper.is_damped(now);
            let began = damper.flap(now, &damping);
            falls.push(now);
            let plain: f64 = falls.iter().map(|fall| 1000.0 * libm::exp2(-now.since(*fall).as_secs_f64() / 60.0)).sum();
            let penalty = damper.penalty(now, &damping);
            prop_assert!(penalty <= plain + 1e-6 && penalty <= damping.ceiling());
            prop_assert!((penalty - plain).abs() < 1e-6 || falls.len() > 10);
            prop_assert_eq!(began, !was_damped && penalty > 2000.0);
            if let Some(until) = damper.damped_until(now) {
                prop_assert!(until <= now + config.suppress_max);
                prop_assert!((damper.penalty(until, &damping) - 750.0).abs() < 1e-3);
                prop_assert!(!damper.is_damped(until));
            } else {
                prop_assert!(!was_damped && penalty <= 2000.0);
            }
        }
    }
}

type Spoil = fn(&mut DampingConfig);

fn damped() -> (Damper, Damping) {
    let damping = Damping::new(&DampingConfig::default());
    let mut damper = Damper::default();
    for _ in 0..3 {
        damper.flap(at(0), &damping);
    }
    (damper, damping)
}

const fn at(seconds: u64) -> Instant {
    Instant::from_millis(seconds * 1000)
}
