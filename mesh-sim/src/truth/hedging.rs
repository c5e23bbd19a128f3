//! Hedges: copies that are sent after a delay, and copies that are all sent at once.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::balance::Strategy;

use super::row::Claim;
use super::{Task, replicate};
use crate::model::engine;
use crate::model::scenario::{Arrivals, CancelMode, Clients, Discipline, Distribution, Hedge, Scenario, ServerGroup};

pub(super) fn tasks() -> Vec<Task> {
    let mut tasks: Vec<Task> = EXTRAS.into_iter().map(delayed).collect();
    tasks.extend(REDUNDANCY.into_iter().map(redundant));
    tasks
}

/// A hedge after the delay that a share `1 - extra` of the requests does not need, where latencies are exponential with
/// mean 1, independent of each other and of the load: the tail is `exp(-t)` up to the delay, `exp(-t) exp(-(t - delay))` from
/// there on.
fn delayed(extra: f64) -> Task {
    let name = |what: &str| format!("hedge of {extra} {what}");
    let delay = -libm::log(extra);
    // Where the tail is that thin.
    let quantile = |tail: f64| {
        let alone = -libm::log(tail);
        if alone <= delay { alone } else { (alone + delay) / 2.0 }
    };
    let (mean, p99, p999) = (1.0 - extra / 2.0, quantile(0.01), quantile(0.001));
    let claims = vec![
        (name("extra load"), Claim::Is(extra), 0.001),
        (name("mean"), Claim::Is(mean), 0.01 * mean),
        (name("p99"), Claim::Is(p99), 0.01 * p99),
        (name("p99.9"), Claim::Is(p999), 0.02 * p999),
    ];
    let measure = move |seed| {
        replicate(seed, REPLICATIONS, |seed| {
            let group = ServerGroup::new("ten", 10, EXPONENTIAL).discipline(Discipline::Delay);
            let hedge = Hedge { delay: Duration::from_secs_f64(delay), ..Hedge::default() };
            let arrivals = Arrivals::poisson(100.0);
            let clients = Clients::new(arrivals.clone()).hedge(hedge);
            let duration = Duration::from_secs_f64(HEDGED_JOBS / REPLICATIONS as f64 / 100.0);
            let scenario = Scenario::new("hedge", duration, arrivals).servers(group).clients(clients).seed(seed);
            let run = engine::run(&scenario, &Strategy::Random, &mut ());
            let seconds = |millis: Option<f64>| millis.unwrap_or(f64::NAN) / 1e3;
            let latency = &run.latency_ms;
            let extra = run.hedges as f64 / run.requests.measured as f64;
            [extra, seconds(latency.mean), seconds(latency.p99), seconds(latency.p999)]
        })
    };
    Task { claims, measure: Box::new(measure) }
}

/// Redundancy-d: every request is sent to `d` of `k` servers at once, and the copies that lose are taken back wherever
/// they are (Kristen Gardner et al., "Redundancy-d: The Power of d Choices for Redundancy", Operations Research 65(4),
/// 2017). The formula gives the mean time in the system for copies that are independent and exponential.
fn redundant((k, d, rho): (u32, u32, f64)) -> Task {
    let mean = redundancy_mean(k, d, rho);
    let claims = vec![(format!("redundancy {d} of {k} rho={rho} mean"), Claim::Is(mean), 0.01 * mean)];
    let measure = move |seed| {
        replicate(seed, REPLICATIONS, |seed| {
            let rate = f64::from(k) * rho;
            let hedge = Hedge { delay: Duration::ZERO, attempts_max: copies(d) };
            let arrivals = Arrivals::poisson(rate);
            let mut clients = Clients::new(arrivals.clone()).hedge(hedge);
            clients.cancel = CancelMode::Running;
            let (warmup, measured) = (200.0, REDUNDANT_JOBS / REPLICATIONS as f64 / rate);
            let scenario = Scenario::new("redundancy", Duration::from_secs_f64(warmup + measured), arrivals)
                .servers(ServerGroup::new("k", k, EXPONENTIAL))
                .clients(clients)
                .warmup(Duration::from_secs_f64(warmup))
                .seed(seed);
            let run = engine::run(&scenario, &Strategy::Random, &mut ());
            [run.latency_ms.mean.unwrap_or(f64::NAN) / 1e3]
        })
    };
    Task { claims, measure: Box::new(measure) }
}

/// `sum over i from d to k of 1 / (k C(k-1, d-1) / C(i-1, d-1) - k lambda)`, with service times of mean 1.
fn redundancy_mean(k: u32, d: u32, rho: f64) -> f64 {
    let choose = |n: u32, r: u32| (0..r).map(|at| f64::from(n - at) / f64::from(at + 1)).product::<f64>();
    let term = |i| 1.0 / (f64::from(k) * choose(k - 1, d - 1) / choose(i - 1, d - 1) - f64::from(k) * rho);
    (d..=k).map(term).sum()
}

fn copies(d: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(d.saturating_sub(1))
}

const EXPONENTIAL: Distribution = Distribution::exponential(Duration::from_secs(1));
const REPLICATIONS: u64 = 32;
const HEDGED_JOBS: f64 = 2e6;
const REDUNDANT_JOBS: f64 = 2e6;

/// The shares of requests that are hedged.
const EXTRAS: [f64; 4] = [0.5, 0.1, 0.05, 0.01];

/// Servers, copies and utilisation.
const REDUNDANCY: [(u32, u32, f64); 8] =
    [(10, 2, 0.5), (10, 2, 0.7), (10, 2, 0.8), (10, 2, 0.9), (10, 3, 0.5), (10, 3, 0.8), (10, 3, 0.9), (4, 4, 0.8)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_gives_the_published_values() {
        for (k, d, rho, mean) in [
            (10, 1, 0.8, 5.0),
            (10, 2, 0.5, 0.79810),
            (10, 2, 0.9, 2.14330),
            (10, 3, 0.8, 0.94447),
            (10, 10, 0.9, 1.0),
            (10, 2, 0.95, 3.33506),
        ] {
            let given = redundancy_mean(k, d, rho);
            assert!((given - mean).abs() < 1e-5 * mean.max(1.0) + 5e-6, "{k} {d} {rho}: {given}");
        }
    }
}
