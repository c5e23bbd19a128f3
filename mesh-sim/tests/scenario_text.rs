//! Scenarios as text: what is written reads the same, and what is left out has its default.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

#[path = "scenario_support/generated.rs"]
mod generated;

use std::time::Duration;

use mesh_core::balance::Strategy as Balance;
use mesh_sim::model::scenario::{Arrivals, CancelMode, Discipline, Distribution, Scenario, ServerGroup};
use mesh_sim::reading::read;
use proptest::prelude::*;

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

proptest! {
    #[test]
    fn what_is_written_reads_the_same(scenario in generated::scenarios()) {
        prop_assert_eq!(scenario.validate().map(|_| ()), Ok(()));
        let text = toml::to_string(&scenario).unwrap();
        let read = read("written.toml", &text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(read.scenario, scenario, "{}", text);
    }
}

#[test]
fn what_a_file_leaves_out_has_its_default() {
    let text = r#"
        version = 1
        name = "least"
        duration = "1m30s"
        strategies = ["random", { p2c-least-loaded = { choices = 3 } }]
        servers = [{ group = "api", count = 2, service_time = { exponential = { mean = "10ms" } } }]
        clients.arrivals.poisson.rate = 100
    "#;
    let scenario = read("least.toml", text).unwrap().scenario;
    let built = Scenario::new("least", MILLIS(90_000), Arrivals::poisson(100.0))
        .servers(ServerGroup::new("api", 2, Distribution::exponential(MILLIS(10))))
        .strategy(Balance::Random)
        .strategy(scenario.strategies[1].clone());
    assert_eq!(scenario, built);
    assert_eq!((scenario.seed, scenario.warmup, scenario.clients.count.get()), (1, Duration::ZERO, 1));
    let group = &scenario.servers[0];
    assert_eq!((group.weight, group.speed, group.workers.get(), group.queue_limit), (1, 1.0, 1, None));
    assert_eq!((group.discipline, scenario.clients.cancel), (Discipline::Fifo, CancelMode::None));
    assert_eq!(scenario.network.loss, 0.0);
    assert_eq!(scenario.network.latency, Distribution::constant(Duration::ZERO));
}

#[test]
fn a_scenario_is_written_with_all_numbers_in_force() {
    let text = r#"
        version = 1
        name = "presets"
        duration = "1s"
        strategies = ["p2c-least-loaded"]
        servers = [{ group = "api", count = 2, service_time = { constant = { value = "10ms" } } }]
        [clients]
        arrivals = { uniform = { rate = 10 } }
        retry = {}
        health_check = {}
    "#;
    let scenario = read("presets.toml", text).unwrap().scenario;
    let written = toml::to_string(&scenario).unwrap();
    for said in [
        "failure_hold = \"1s\"",
        "attempts_max = 3",
        "base = \"100ms\"",
        "cap = \"10s\"",
        "multiplier_milli = 2000",
        "jitter = \"full\"",
        "interval = \"30s\"",
        "rise = 2",
        "speed = 1.0",
        "weight = 1",
        "cancel = \"none\"",
        "loss = 0.0",
        "seed = 1",
    ] {
        assert!(written.contains(said), "{said} is not in\n{written}");
    }
}

#[test]
fn checks_more_often_than_their_default_timeout_time_out_with_the_interval() {
    let text = r#"
        version = 1
        name = "checked"
        duration = "1s"
        strategies = ["p2c-least-loaded"]
        servers = [{ group = "api", count = 2, service_time = { constant = { value = "10ms" } } }]
        clients = { arrivals = { uniform = { rate = 10 } }, health_check = { interval = "2s" } }
    "#;
    let checks = read("checked.toml", text).unwrap().scenario.clients.health_check.unwrap();
    assert_eq!((checks.interval, checks.timeout), (MILLIS(2_000), MILLIS(2_000)));
}
