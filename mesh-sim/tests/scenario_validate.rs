//! What only a program can say wrongly, how large a simulation may be, and what is possible and probably not meant.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::balance::Strategy;
use mesh_retry::policy::RetryPolicy;
use mesh_sim::model::scenario::*;

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn a_possible_scenario_has_neither_problems_nor_warnings() {
    assert_eq!(possible().validate().unwrap(), []);
    assert!(possible().plan().is_ok());
}

#[test]
fn every_number_of_every_distribution_is_checked_at_its_path() {
    let nested = |of: Distribution| Distribution::Mixture { parts: vec![Share { weight: 1.0, of }] };
    for (law, path) in [
        (Distribution::Uniform { min: MILLIS(2), max: MILLIS(1) }, "uniform.min"),
        (Distribution::Lognormal { median: MILLIS(1), sigma: -0.1 }, "lognormal.sigma"),
        (Distribution::Lognormal { median: MILLIS(1), sigma: f64::NAN }, "lognormal.sigma"),
        (Distribution::Lognormal { median: MILLIS(1), sigma: f64::INFINITY }, "lognormal.sigma"),
        (Distribution::Pareto { min: MILLIS(1), alpha: 0.0 }, "pareto.alpha"),
        (Distribution::Pareto { min: MILLIS(1), alpha: f64::NAN }, "pareto.alpha"),
        (Distribution::Hyperexponential { mean: MILLIS(1), cv2: 0.99 }, "hyperexponential.cv2"),
        (Distribution::Hyperexponential { mean: MILLIS(1), cv2: f64::NAN }, "hyperexponential.cv2"),
        (Distribution::Erlang { mean: MILLIS(1), stages: 0 }, "erlang.stages"),
        (Distribution::Empirical { values: Vec::new() }, "empirical.values"),
        (Distribution::Mixture { parts: Vec::new() }, "mixture.parts"),
        (Distribution::Mixture { parts: vec![share(0.0)] }, "mixture.parts[0].weight"),
        (Distribution::Mixture { parts: vec![share(1.0), share(f64::NAN)] }, "mixture.parts[1].weight"),
        (
            nested(nested(Distribution::Erlang { mean: MILLIS(1), stages: 0 })),
            "mixture.parts[0].of.mixture.parts[0].of.erlang.stages",
        ),
    ] {
        let mut scenario = possible();
        scenario.servers[0].service_time = law.clone();
        assert_eq!(paths(&scenario), [format!("servers[0].service_time.{path}")]);
        let mut scenario = possible();
        (scenario.network.latency, scenario.discovery.delay) = (law.clone(), law.clone());
        scenario.faults.push(Fault::new(MILLIS(1), Target::Group("api".into()), FaultKind::ServiceTime(law)));
        let places = ["network.latency", "discovery.delay", "faults[0].fault.service-time"];
        assert_eq!(paths(&scenario), places.map(|place| format!("{place}.{path}")));
    }
}

#[test]
fn every_number_of_every_arrivals_is_checked_at_its_path() {
    let step = |at, rate| RateStep { at: MILLIS(at), rate };
    let closed = |concurrency, requests| Arrivals::Closed { concurrency, requests, think: Duration::ZERO };
    let bursts = |rate, on| Arrivals::Bursts { rate, on: MILLIS(on), off: Duration::ZERO };
    for (arrivals, path) in [
        (Arrivals::poisson(0.0), "poisson.rate"),
        (Arrivals::poisson(f64::NAN), "poisson.rate"),
        (Arrivals::Uniform { rate: f64::INFINITY }, "uniform.rate"),
        (bursts(0.0, 1), "bursts.rate"),
        (bursts(1.0, 0), "bursts.on"),
        (Arrivals::Steps { steps: Vec::new() }, "steps.steps"),
        (Arrivals::Steps { steps: vec![step(0, 0.0)] }, "steps.steps"),
        (Arrivals::Steps { steps: vec![step(0, -1.0)] }, "steps.steps[0].rate"),
        (Arrivals::Steps { steps: vec![step(5, 1.0), step(5, 2.0)] }, "steps.steps[1].at"),
        (Arrivals::Ramp { from: -1.0, to: 5.0 }, "ramp.from"),
        (Arrivals::Ramp { from: 1.0, to: f64::NAN }, "ramp.to"),
        (Arrivals::Ramp { from: 0.0, to: 0.0 }, "ramp.to"),
        (closed(0, 1), "closed.concurrency"),
        (closed(u32::MAX, 1), "closed.concurrency"),
        (closed(1, 0), "closed.requests"),
        (closed(1, u64::MAX), "closed.requests"),
        (Arrivals::at(Vec::new()), "trace.file"),
        (Arrivals::at([MILLIS(2), MILLIS(1)]), "trace.file"),
    ] {
        let mut scenario = possible();
        scenario.clients.arrivals = arrivals;
        assert_eq!(paths(&scenario), [format!("clients.arrivals.{path}")]);
    }
    for arrivals in [bursts(1.0, 1), Arrivals::Ramp { from: 0.0, to: 5.0 }, closed(1, 1), Arrivals::at([MILLIS(1)])] {
        let mut scenario = possible();
        scenario.clients.arrivals = arrivals;
        assert!(scenario.validate().is_ok());
    }
}

#[test]
fn a_simulation_that_would_not_fit_or_not_end_within_a_day_is_refused() {
    let sized = |servers: u32, clients: u32| {
        let mut scenario = possible();
        scenario.servers[0].count = servers;
        scenario.clients.count = NonZeroU32::new(clients).unwrap();
        paths(&scenario)
    };
    assert_eq!(sized(100_000, 200), [""; 0]);
    assert_eq!(sized(100_001, 1), ["servers"]);
    assert_eq!(sized(100, 100_001), ["clients.count"]);
    assert_eq!(sized(1_000, 20_001), ["clients.count"]);
    let mut scenario = possible();
    scenario.strategies = vec![Strategy::Random; 101];
    assert_eq!(paths(&scenario), ["strategies"]);
    let mut scenario = possible();
    scenario.duration = Duration::from_secs(366 * 24 * 60 * 60);
    assert_eq!(paths(&scenario), ["duration"]);
}

#[test]
fn production_rules_are_those_in_force() {
    let mut scenario = possible();
    let mut retry = Retry::default();
    retry.backoff = BackoffShape::Exponential {
        base: MILLIS(9),
        cap: MILLIS(1),
        multiplier_milli: 2_000,
        jitter: Default::default(),
    };
    scenario.clients.retry = Some(retry);
    let refused = scenario.validate().unwrap_err().to_string();
    let mut policy = RetryPolicy::default();
    policy.backoff = scenario.clients.policy().backoff;
    let production = policy.validate().unwrap_err().to_string();
    let rule = production.strip_prefix("backoff.").unwrap();
    assert_eq!(refused, format!("clients.retry.backoff.exponential.{rule}"));
}

#[test]
fn one_round_reports_all_that_is_impossible() {
    let mut scenario = possible();
    (scenario.version, scenario.name) = (2, String::new());
    scenario.strategies.clear();
    scenario.servers.clear();
    scenario.clients.arrivals = Arrivals::poisson(-1.0);
    scenario.network.loss = 2.0;
    let expected = ["version", "name", "strategies", "servers", "clients.arrivals.poisson.rate", "network.loss"];
    assert_eq!(paths(&scenario), expected);
    let error = scenario.validate().unwrap_err().to_string();
    assert!(error.starts_with("version: 2 is not allowed: must be 1; name: \"\" is not allowed"), "{error}");
}

#[test]
fn more_load_than_the_servers_carry_is_warned_of_with_both_numbers() {
    let warned = |change: fn(&mut Scenario)| {
        let mut scenario = possible();
        change(&mut scenario);
        let warnings = scenario.validate().unwrap();
        warnings.into_iter().map(|warning| format!("{}: {}", warning.path, warning.message)).collect::<Vec<_>>()
    };
    // Ten servers at 10 ms carry 1000 requests a second.
    let warning = |offered: &str, capacity: &str| {
        let said = "without a queue_limit the queues grow without bound";
        vec![format!("clients.arrivals: {offered} requests/s are offered and the servers carry {capacity}: {said}")]
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(warned(|scenario| scenario.clients.arrivals = Arrivals::poisson(1_001.0)), warning("1001", "1000"));
    assert_eq!(warned(|scenario| scenario.clients.arrivals = Arrivals::poisson(999.0)), none);
    let ramp: fn(&mut Scenario) = |scenario| scenario.clients.arrivals = Arrivals::Ramp { from: 0.0, to: 2_000.0 };
    assert_eq!(warned(ramp), warning("2000", "1000"));
    assert_eq!(warned(|scenario| scenario.servers[0].speed = 0.05), warning("100", "50"));
    assert_eq!(warned(|scenario| (scenario.servers[0].speed, scenario.servers[0].workers) = (0.05, two())), none);
    let sharing: fn(&mut Scenario) = |scenario| {
        let group = &mut scenario.servers[0];
        (group.speed, group.workers, group.discipline) = (0.05, two(), Discipline::ProcessorSharing);
    };
    assert_eq!(warned(sharing), warning("100", "50"));
    assert_eq!(warned(|scenario| (scenario.servers[0].speed, scenario.servers[0].queue_limit) = (0.05, Some(9))), none);
    let delay: fn(&mut Scenario) =
        |scenario| (scenario.servers[0].speed, scenario.servers[0].discipline) = (0.05, Discipline::Delay);
    assert_eq!(warned(delay), none);
    let heavy: fn(&mut Scenario) =
        |scenario| scenario.servers[0].service_time = Distribution::Pareto { min: MILLIS(1), alpha: 1.0 };
    assert_eq!(warned(heavy), warning("100", "0"));
}

#[test]
fn a_warm_up_that_leaves_nothing_to_measure_is_warned_of() {
    let mut scenario = possible();
    scenario.clients.arrivals = Arrivals::at([MILLIS(1), MILLIS(500)]);
    assert_eq!(scenario.validate().unwrap(), []);
    scenario.warmup = MILLIS(501);
    assert_eq!(scenario.validate().unwrap()[0].path, "warmup");
    scenario.clients.arrivals = Arrivals::poisson(100.0);
    assert_eq!(scenario.validate().unwrap(), []);
    (scenario.duration, scenario.warmup) = (MILLIS(1), Duration::ZERO);
    assert_eq!(scenario.validate().unwrap()[0].path, "duration");
}

#[test]
fn clients_cannot_be_spread_over_no_zones_and_steps_come_before_the_end_or_are_warned_of() {
    let mut scenario = possible();
    scenario.clients.zone = Some(ClientZone::Spread);
    assert_eq!(scenario.validate().unwrap()[0].path, "clients.zone");
    scenario.servers[0].zone = Some("a".into());
    let step = |at, rate| RateStep { at: MILLIS(at), rate };
    scenario.clients.arrivals = Arrivals::Steps { steps: vec![step(0, 1.0), step(60_000, 2.0)] };
    assert_eq!(scenario.validate().unwrap()[0].path, "clients.arrivals.steps.steps[1].at");
}

#[test]
fn a_queue_limit_or_workers_without_meaning_are_no_reason_to_complain() {
    let mut scenario = possible();
    let group = &mut scenario.servers[0];
    (group.discipline, group.queue_limit, group.workers) = (Discipline::Delay, Some(1_000), two());
    assert_eq!(scenario.validate().unwrap(), []);
}

/// Ten servers at 10 ms and 100 requests a second.
fn possible() -> Scenario {
    Scenario::new("possible", Duration::from_secs(60), Arrivals::poisson(100.0))
        .servers(ServerGroup::new("api", 10, Distribution::exponential(MILLIS(10))))
        .strategy(Strategy::default())
}

fn paths(scenario: &Scenario) -> Vec<String> {
    let error = scenario.validate().err();
    error.iter().flat_map(|error| error.problems()).map(|problem| problem.path.clone()).collect()
}

fn share(weight: f64) -> Share {
    Share { weight, of: Distribution::default() }
}

fn two() -> NonZeroU32 {
    NonZeroU32::new(2).unwrap()
}
