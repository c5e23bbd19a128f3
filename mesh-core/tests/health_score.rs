//! How much of its weight an instance keeps while it is not at its best, and how seldom that changes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::time::Duration;

use mesh_core::health::{HealthWeight, ScoreConfig, Signals, Status, Step, Weighting, slow_start};
use mesh_core::rng::Rng;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[test]
fn the_score_of_a_status_alone() {
    let config = ScoreConfig::default();
    let scores = [
        (Status::Unknown, 1.0),
        (Status::Healthy, 1.0),
        (Status::Degraded, 0.5),
        (Status::Unhealthy, 0.0),
        (Status::Ejected, 0.0),
        (Status::Probing, 0.0),
        (Status::Draining, 0.0),
        (Status::Maintenance, 0.0),
    ];
    for (status, score) in scores {
        assert_eq!(config.score(&Signals::new(status)), score, "{status:?}");
    }
}

#[test]
fn success_counts_in_proportion_between_its_bounds() {
    let config = ScoreConfig::default();
    for (succeeded, score) in [(1000, 1.0), (990, 1.0), (745, 0.5), (500, 0.0), (0, 0.0)] {
        assert!((config.score(&outcomes(succeeded, 1000)) - score).abs() < 1e-12, "{succeeded} of 1000");
    }
}

#[test]
fn latency_counts_in_proportion_to_that_of_the_fleet() {
    let config = ScoreConfig::default();
    for (millis, score) in [(1, 1.0), (10, 1.0), (15, 1.0), (24, 26.0 / 35.0), (50, 0.0), (5000, 0.0)] {
        assert!((config.score(&latency(millis, 10)) - score).abs() < 1e-12, "{millis} ms");
    }
    assert_eq!(config.score(&latency(0, 10)), 1.0, "a latency that is not known counts for nothing");
    assert_eq!(config.score(&latency(5000, 0)), 1.0, "nor does one that cannot be compared");
}

#[test]
fn the_worst_of_what_is_known_counts() {
    let config = ScoreConfig::default();
    let mut signals = latency(24, 10);
    signals.succeeded = 745;
    assert!((config.score(&signals) - 0.5).abs() < 1e-12);
    signals.succeeded = 980;
    assert!((config.score(&signals) - 26.0 / 35.0).abs() < 1e-12);
    signals.status = Status::Degraded;
    assert!((config.score(&signals) - 0.5).abs() < 1e-12);
}

#[test]
fn of_too_few_requests_only_the_status_counts() {
    let config = ScoreConfig::default();
    let mut signals = latency(5000, 10);
    (signals.ended, signals.succeeded) = (19, 0);
    assert_eq!(config.score(&signals), 1.0);
    (signals.ended, signals.succeeded) = (20, 0);
    assert_eq!(config.score(&signals), 0.0);
    (signals.ended, signals.succeeded) = (20, 20);
    assert_eq!(config.score(&signals), 0.0, "of its latency");
}

#[test]
fn more_successes_than_requests_are_no_more_than_all() {
    assert_eq!(ScoreConfig::default().score(&outcomes(2000, 1000)), 1.0);
}

#[test]
fn switched_off_every_instance_keeps_its_weight() {
    let config = weighting(Weighting::Off);
    let mut weight = HealthWeight::default();
    assert_eq!(weight.update(&config, &outcomes(0, 1000)), None);
    assert_eq!(weight.factor_milli(), 1000);
    let mut weight = reduced();
    assert_eq!(weight.update(&config, &outcomes(0, 1000)), Some(1000), "also one that had lost some");
}

#[test]
fn a_linear_factor_follows_the_score_in_steps_and_keeps_the_floor() {
    let config = ScoreConfig::default();
    for (succeeded, factor) in [(1000, 1000), (960, 950), (868, 800), (745, 550), (622, 300), (500, 100), (0, 100)] {
        let mut weight = HealthWeight::default();
        weight.update(&config, &outcomes(succeeded, 1000));
        assert_eq!(weight.factor_milli(), factor, "{succeeded} of 1000");
    }
}

#[test]
fn no_instance_starves_not_even_one_that_is_out() {
    let config = ScoreConfig::default();
    for status in [Status::Unhealthy, Status::Ejected, Status::Probing, Status::Draining, Status::Maintenance] {
        let mut weight = HealthWeight::default();
        assert_eq!(weight.update(&config, &Signals::new(status)), Some(100));
    }
    let mut odd = ScoreConfig::default();
    (odd.floor_milli, odd.step_milli) = (7, 1000);
    let mut weight = HealthWeight::default();
    assert_eq!(weight.update(&odd, &outcomes(0, 1000)), Some(7), "the floor is no multiple of the step");
    odd.floor_milli = 0;
    let mut weight = HealthWeight::default();
    assert_eq!(weight.update(&odd, &outcomes(0, 1000)), Some(1), "a floor of 0 is no floor");
}

#[test]
fn a_stepped_factor_is_that_of_the_last_step_reached() {
    let config = weighting(steps());
    for (succeeded, factor) in [(1000, 1000), (990, 1000), (960, 1000), (900, 700), (745, 400), (600, 100), (0, 100)] {
        let mut weight = HealthWeight::default();
        weight.update(&config, &outcomes(succeeded, 1000));
        assert_eq!(weight.factor_milli(), factor, "{succeeded} of 1000");
    }
}

#[test]
fn a_step_is_passed_by_more_than_the_hysteresis_both_ways() {
    let mut config = weighting(steps());
    // A score of a half is 500 of 1000 successes, and so on.
    (config.success_full_milli, config.success_none_milli) = (1000, 0);
    let mut weight = HealthWeight::default();
    let factors: Vec<_> = [900, 890, 876, 874, 900, 924, 926, 899, 875]
        .into_iter()
        .map(|succeeded| {
            weight.update(&config, &outcomes(succeeded, 1000));
            weight.factor_milli()
        })
        .collect();
    assert_eq!(factors, [1000, 1000, 1000, 700, 700, 700, 1000, 1000, 1000]);
}

#[test]
fn a_score_that_trembles_changes_nothing() {
    let config = ScoreConfig::default();
    let mut weight = HealthWeight::default();
    weight.update(&config, &outcomes(745, 1000));
    let mut rng = Rng::from_seed(3);
    for _ in 0..10_000 {
        // A score of 0.5 and up to 0.0245 more or less, as of 12 requests in 1000.
        let noise = rng.up_to(Duration::from_millis(24)).as_millis() as u32;
        assert_eq!(weight.update(&config, &outcomes(733 + noise, 1000)), None);
    }
    assert_eq!(weight.factor_milli(), 550);
}

#[test]
fn an_instance_at_its_best_again_gets_all_of_its_weight() {
    let mut config = ScoreConfig::default();
    config.hysteresis_milli = 100;
    let mut weight = HealthWeight::default();
    assert_eq!(weight.update(&config, &outcomes(926, 1000)), Some(900));
    assert_eq!(weight.update(&config, &outcomes(990, 1000)), Some(1000), "though a score of 0.9 would have left it");
    assert_eq!(weight.update(&config, &outcomes(549, 1000)), Some(200));
    assert_eq!(weight.update(&config, &outcomes(500, 1000)), Some(100), "and one at its worst only the floor");
}

#[test]
fn slow_start_is_that_of_envoy() {
    // By hand from the formula, with a window of 100 s and Envoy's least share of 10 %.
    let seconds = Duration::from_secs;
    for (elapsed, aggression, factor) in [
        (0, 1.0, 100),
        (5, 1.0, 100),
        (25, 1.0, 250),
        (50, 1.0, 500),
        (99, 1.0, 990),
        (100, 1.0, 1000),
        (500, 1.0, 1000),
        (25, 2.0, 500),
        (81, 2.0, 900),
        (1, 2.0, 100),
        (4, 2.0, 200),
        (50, 0.5, 250),
        (20, 0.5, 100),
    ] {
        assert_eq!(slow_start(seconds(elapsed), seconds(100), aggression, 10), factor, "{elapsed} s, {aggression}");
    }
}

#[test]
fn slow_start_takes_the_first_second_as_a_whole_one() {
    assert_eq!(slow_start(Duration::ZERO, Duration::from_secs(10), 1.0, 0), 100);
    assert_eq!(slow_start(Duration::from_millis(900), Duration::from_secs(10), 1.0, 0), 100);
    assert_eq!(slow_start(Duration::from_millis(1500), Duration::from_secs(10), 1.0, 0), 150);
    assert_eq!(slow_start(Duration::from_millis(1), Duration::from_millis(500), 1.0, 0), 1000);
}

#[test]
fn slow_start_is_never_nothing_and_never_more_than_all() {
    assert_eq!(slow_start(Duration::ZERO, Duration::ZERO, 1.0, 10), 1000);
    assert_eq!(slow_start(Duration::ZERO, Duration::from_secs(86_400), 1.0, 0), 1);
    assert_eq!(slow_start(Duration::ZERO, Duration::from_secs(100), 1.0, 250), 1000);
    for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(slow_start(Duration::from_secs(50), Duration::from_secs(100), odd, 10), 500, "{odd}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    assert!(ScoreConfig::default().validate().is_ok());
    let cases: [(Spoil, &str); 13] = [
        (|config| config.floor_milli = 0, "floor_milli"),
        (|config| config.floor_milli = 1001, "floor_milli"),
        (|config| config.step_milli = 0, "step_milli"),
        (|config| config.step_milli = 1001, "step_milli"),
        (|config| config.hysteresis_milli = 501, "hysteresis_milli"),
        (|config| config.degraded_milli = 1001, "degraded_milli"),
        (|config| config.requests_min = 0, "requests_min"),
        (|config| config.success_full_milli = 1001, "success_full_milli"),
        (|config| config.success_none_milli = 990, "success_none_milli"),
        (|config| config.latency_full_milli = 999, "latency_full_milli"),
        (|config| config.latency_none_milli = 1500, "latency_none_milli"),
        (|config| config.weighting = Weighting::Stepped(Vec::new()), "stepped"),
        (|config| config.weighting = Weighting::Stepped((0..17).map(|n| step(n, 500)).collect()), "stepped"),
    ];
    for (number, (spoil, field)) in cases.into_iter().enumerate() {
        let mut config = ScoreConfig::default();
        spoil(&mut config);
        assert_eq!(refused(&config), [field], "{number}");
    }
}

#[test]
fn steps_that_do_not_rise_are_refused_by_name() {
    let cases: [(&[Step], &str); 5] = [
        (&[step(1001, 1000)], "score_milli"),
        (&[step(500, 1001)], "factor_milli"),
        (&[step(500, 99)], "factor_milli"),
        (&[step(500, 500), step(500, 600)], "score_milli"),
        (&[step(500, 500), step(600, 499)], "factor_milli"),
    ];
    for (number, (steps, field)) in cases.into_iter().enumerate() {
        assert_eq!(refused(&weighting(Weighting::Stepped(steps.to_vec()))), [field], "{number}");
    }
    assert!(weighting(Weighting::Stepped(vec![step(0, 100), step(500, 100), step(1000, 1000)])).validate().is_ok());
    assert!(weighting(Weighting::Stepped((0..16).map(|n| step(n, 500)).collect())).validate().is_ok());
}

#[test]
fn it_is_read_from_text() {
    let text = r#"{"weighting": {"stepped": [{"score_milli": 500, "factor_milli": 700}]}, "floor_milli": 200}"#;
    let config: ScoreConfig = serde_json::from_str(text).unwrap();
    assert_eq!(config.weighting, Weighting::Stepped(vec![step(500, 700)]));
    assert_eq!(config.floor_milli, 200);
    let off: ScoreConfig = serde_json::from_str(r#"{"weighting": "off"}"#).unwrap();
    assert_eq!(off.weighting, Weighting::Off);
    assert!(serde_json::from_str::<ScoreConfig>(r#"{"floor": 200}"#).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, rng_seed: RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_factor_is_within_its_bounds_and_close_to_its_score(
        linear: bool, seen in prop::collection::vec((0..=1000_u32, 0..200_u64), 1..50),
    ) {
        let config = weighting(if linear { Weighting::Linear } else { steps() });
        let mut weight = HealthWeight::default();
        for (succeeded, millis) in seen {
            let mut signals = latency(millis, 10);
            signals.succeeded = succeeded;
            let before = weight.factor_milli();
            let changed = weight.update(&config, &signals);
            let after = weight.factor_milli();
            prop_assert!((100..=1000).contains(&after));
            prop_assert_eq!(changed, (before != after).then_some(after));
            prop_assert_eq!(weight.update(&config, &signals), None, "twice the same changes nothing");
            if linear {
                // Half a step of rounding, and the hysteresis.
                let exact = 100.0 + 900.0 * config.score(&signals);
                prop_assert!((f64::from(after) - exact).abs() <= 25.0 + 22.5 + 1e-9, "{after} of {exact}");
            }
        }
    }

    #[test]
    fn slow_start_never_falls(window in 1..600_000_u64, aggression in 0.1..10.0_f64, least in 0..=100_u32) {
        let window = Duration::from_millis(window);
        let factors: Vec<_> = (0..=50).map(|part| slow_start(window * part / 50, window, aggression, least)).collect();
        prop_assert!(factors.windows(2).all(|pair| pair[0] <= pair[1]));
        prop_assert_eq!(factors.last(), Some(&1000));
        prop_assert!(factors.iter().all(|factor| *factor >= 1 && *factor >= least * 10));
    }
}

type Spoil = fn(&mut ScoreConfig);

fn refused(config: &ScoreConfig) -> Vec<&'static str> {
    config.validate().unwrap_err().problems().iter().map(|problem| problem.field()).collect()
}

fn steps() -> Weighting {
    Weighting::Stepped(vec![step(400, 400), step(700, 700), step(900, 1000)])
}

const fn step(score_milli: u32, factor_milli: u32) -> Step {
    Step { score_milli, factor_milli }
}

fn weighting(weighting: Weighting) -> ScoreConfig {
    let mut config = ScoreConfig::default();
    config.weighting = weighting;
    config
}

fn reduced() -> HealthWeight {
    let mut weight = HealthWeight::default();
    weight.update(&ScoreConfig::default(), &Signals::new(Status::Degraded));
    weight
}

fn outcomes(succeeded: u32, ended: u32) -> Signals {
    let mut signals = Signals::new(Status::Healthy);
    (signals.ended, signals.succeeded) = (ended, succeeded);
    signals
}

fn latency(millis: u64, fleet_millis: u64) -> Signals {
    let mut signals = outcomes(1000, 1000);
    signals.latency = Duration::from_millis(millis);
    signals.fleet_latency = Duration::from_millis(fleet_millis);
    signals
}
