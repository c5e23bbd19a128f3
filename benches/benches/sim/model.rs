//! The subjects: scenarios of mesh-sim.

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_sim::model::scenario::{
    Arrivals, Clients, Distribution, Fault, FaultKind, HealthChecks, Retry, Scenario, ServerGroup, Target,
};

/// What a run gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ran {
    pub(crate) offered: u64,
    pub(crate) mean_millis: f64,
}

/// The steady model: one client.
pub(crate) fn steady(servers: usize, requests: u64) -> Scenario {
    let arrivals = Arrivals::poisson(rate(servers));
    Scenario::new("steady", Duration::from_secs_f64(requests as f64 / rate(servers)), arrivals)
        .servers(ServerGroup::new("api", servers as u32, SERVICE))
        .strategy(mesh_core::balance::Strategy::default())
}

/// Timeouts, retries, active checks, and five servers that fail.
pub(crate) fn retries_and_checks(servers: usize, requests: u64) -> Scenario {
    let mut scenario = steady(servers, requests);
    let mut checks = HealthChecks::default();
    (checks.interval, checks.timeout) = (Duration::from_secs(1), Duration::from_millis(500));
    let clients = Clients::new(Arrivals::poisson(0.8 / 0.9 * rate(servers)))
        .timeout(Duration::from_secs(2))
        .attempt_timeout(Duration::from_millis(500))
        .retry(Retry::default())
        .health_check(checks);
    let errors = FaultKind::Errors { rate: 0.5, latency: Duration::from_millis(1) };
    scenario = scenario.clients(clients);
    scenario.fault(Fault::new(Duration::from_secs(1), Target::Fraction { group: "api".into(), fraction: 0.05 }, errors))
}

/// As many clients as servers.
pub(crate) fn many_by_many(servers: usize, requests: u64) -> Scenario {
    let count = NonZeroU32::MIN.saturating_add(servers as u32 - 1);
    steady(servers, requests).clients(Clients::new(Arrivals::poisson(rate(servers))).count(count))
}

/// Runs the one strategy of `scenario`.
pub(crate) fn run(scenario: &Scenario) -> Ran {
    let run = scenario.plan().expect("the scenario is possible").run(0, &mut ());
    Ran { offered: run.requests.offered, mean_millis: run.latency_ms.mean.unwrap_or(f64::NAN) }
}

/// 90 % of what the servers can do.
fn rate(servers: usize) -> f64 {
    0.9 * 100.0 * servers as f64
}

const SERVICE: Distribution = Distribution::exponential(Duration::from_millis(10));
