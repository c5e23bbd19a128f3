//! How long it takes until an instance that crashed is out: never longer than its numbers say, and on average as long.
//!
//! With interval I from the end of a check, timeout t, threshold k and edge interval E, a crash that swallows packets is
//! found after U(0, I) + k t + (k - 1) E; one whose connections are refused after the same with the round trip in the
//! place of t. Healthy answers take no time here, so that no crash falls into a check.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use std::time::Duration;

use mesh_core::health::{Health, ProbeFailure, ProbeVerdict};
use mesh_core::machine::ServiceMachineConfig;
use mesh_core::rng::Rng;
use mesh_core::service::HealthCheckBuilder;
use support::rig::*;
use support::*;

#[test]
fn a_crash_that_swallows_packets_is_found_within_its_bound() {
    for (fall, edge) in [(1, None), (3, None), (3, Some(200)), (5, Some(50))] {
        detect(fall, edge, &Fate::Silence, TIMEOUT);
    }
}

#[test]
fn a_crash_that_refuses_connections_is_found_sooner_by_what_timeouts_would_take() {
    let refused = Fate::After(ms(2), ProbeVerdict::Failed(ProbeFailure::Connect));
    for (fall, edge) in [(1, None), (3, None), (3, Some(200)), (5, Some(50))] {
        detect(fall, edge, &refused, ms(2));
    }
}

#[test]
fn an_answer_that_says_no_is_found_at_the_next_check_where_it_ends_at_once() {
    let check = check(3, Some(200)).immediate_on_status(true);
    measure(&check, &Fate::After(ms(2), failure()), ms(2));
}

#[test]
fn jitter_stretches_the_bound_by_what_it_stretches_intervals() {
    let config = config(10);
    let stretched = |interval: Duration| interval * 11 / 10;
    for seed in 0..1_000 {
        let found = detected(config.clone(), &check(3, Some(200)), &Fate::Silence, seed);
        let least = TIMEOUT * 3 + ms(200) * 2;
        let most = stretched(INTERVAL) + TIMEOUT * 3 + stretched(ms(200)) * 2;
        assert!((least..=most).contains(&found), "seed {seed}: {found:?}, not {least:?} to {most:?}");
    }
}

/// Detects a crash by a check of this threshold and edge interval, each failure of which takes `each`.
fn detect(fall: u32, edge: Option<u64>, fate: &Fate, each: Duration) {
    let rest = each * fall + edge.map_or(INTERVAL, ms) * (fall - 1);
    measure(&check(fall, edge), fate, rest);
}

/// Every run is within U(0, I) + `rest`, and so is the mean, within 2 %.
fn measure(check: &HealthCheckBuilder, fate: &Fate, rest: Duration) {
    let mut sum = Duration::ZERO;
    for seed in 0..RUNS {
        let found = detected(config(0), check, fate, seed);
        assert!((rest..=rest + INTERVAL).contains(&found), "seed {seed}: {found:?}, rest {rest:?}");
        sum += found;
    }
    let (mean, expected) = (sum.as_secs_f64() / RUNS as f64, (rest + INTERVAL / 2).as_secs_f64());
    assert!((mean / expected - 1.0).abs() <= 0.02, "a mean of {mean} s, not {expected} s");
}

/// From a crash at some time to the view without the instance.
fn detected(config: ServiceMachineConfig, check: &HealthCheckBuilder, fate: &Fate, seed: u64) -> Duration {
    let mut rig = Rig::seeded(config, seed);
    rig.usually(Fate::After(ms(0), ProbeVerdict::Passed));
    rig.observe(heard(vec![with_check(0, check.clone())]));
    let mut rng = Rng::from_seed(!seed);
    rig.pass(INTERVAL * 2 + rng.up_to(INTERVAL * 3));
    let crashed = rig.now;
    assert_eq!((rig.health(0), rig.usable()), (Health::Healthy, vec![0]));
    rig.usually(fate.clone());
    while rig.health(0) != Health::Unhealthy {
        assert!(rig.step(crashed + INTERVAL * 100), "never found");
    }
    assert!(rig.usable().is_empty());
    Duration::from_nanos(rig.now.as_nanos() - crashed.as_nanos())
}

fn config(jitter_percent: u32) -> ServiceMachineConfig {
    let mut config = ServiceMachineConfig::default();
    config.checks.jitter_percent = jitter_percent;
    config
}

fn check(fall: u32, edge: Option<u64>) -> HealthCheckBuilder {
    let check = quick().interval(INTERVAL).timeout(TIMEOUT).fall(times(fall));
    edge.map(ms).into_iter().fold(check, HealthCheckBuilder::edge_interval)
}

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(300);
const RUNS: u64 = 5_000;
