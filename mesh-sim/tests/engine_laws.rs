//! The distributions, as the engine draws service times, latencies and delays from them.
//!
//! Each law is held to its mean, its variance and its distribution function at several places, within four and a half
//! standard errors of 40,000 draws (with eleven laws and some seventy comparisons and a seed that never changes, a
//! right law passes).

#[path = "support/exact.rs"]
mod exact;

use std::collections::BTreeMap;
use std::time::Duration;

use exact::{Trace, backend, ms, scenario, with_clients};
use mesh_sim::model::EventKind::{Accepted, Discovered, Picked, Served, Started};
use mesh_sim::model::scenario::{Arrivals, Discipline, Distribution, Fault, FaultKind, Share};

#[test]
fn constant_is_always_the_same() {
    let draws = draws(&Distribution::constant(Duration::from_nanos(1_234_567)));
    assert!(draws.iter().all(|draw| *draw == 1.234_567));
}

#[test]
fn uniform_is_anything_between_its_bounds_alike() {
    let draws = draws(&Distribution::Uniform { min: ms(10), max: ms(30) });
    assert!(draws.iter().all(|draw| (10.0..=30.0).contains(draw)));
    moments(&draws, 20.0, 400.0 / 12.0);
    function(&draws, &[(12.0, 0.1), (15.0, 0.25), (20.0, 0.5), (29.0, 0.95)]);
    assert!(draws.iter().any(|draw| *draw < 10.01) && draws.iter().any(|draw| *draw > 29.99));
}

#[test]
fn exponential_has_no_memory() {
    let draws = draws(&Distribution::exponential(ms(10)));
    moments(&draws, 10.0, 100.0);
    let below = |x: f64| 1.0 - libm::exp(-x / 10.0);
    function(&draws, &[1.0, 5.0, 10.0, 20.0, 50.0].map(|x| (x, below(x))));
}

#[test]
fn normal_far_from_zero_is_normal() {
    let draws = draws(&Distribution::Normal { mean: ms(100), std_dev: ms(10) });
    moments(&draws, 100.0, 100.0);
    // The quantiles of 2.5 %, 15.87 %, 50 %, 84.13 % and 97.5 %.
    function(&draws, &[(80.4, 0.025), (90.0, 0.158_66), (100.0, 0.5), (110.0, 0.841_34), (119.6, 0.975)]);
}

#[test]
fn normal_near_zero_is_truncated_and_nothing_piles_up_there() {
    let draws = draws(&Distribution::Normal { mean: ms(10), std_dev: ms(10) });
    // Φ(-1) = 0.158655 is cut off; φ(1) = 0.241971. The mean becomes μ + σλ with λ = φ(1) / Φ(1), and the variance
    // σ² (1 - λ - λ²).
    let (kept, density) = (0.841_345, 0.241_971);
    let lambda = density / kept;
    moments(&draws, 10.0 + 10.0 * lambda, 100.0 * (1.0 - lambda - lambda * lambda));
    function(&draws, &[(10.0, (0.5 - 0.158_655) / kept), (20.0, (0.841_345 - 0.158_655) / kept)]);
    assert!(draws.iter().all(|draw| *draw >= 0.0));
    assert!(draws.iter().filter(|draw| **draw == 0.0).count() <= 1);
    // One without a mean keeps its upper half.
    let draws = self::draws(&Distribution::Normal { mean: ms(0), std_dev: ms(10) });
    function(&draws, &[(6.744_9, 0.5), (10.0, 0.682_69)]);
    assert!(draws.iter().filter(|draw| **draw == 0.0).count() <= 1);
}

#[test]
fn the_logarithm_of_lognormal_is_normal() {
    let draws = draws(&Distribution::Lognormal { median: ms(40), sigma: 0.5 });
    // exp(σ²) = 1.284025: the mean is the median times its root, the variance (it - 1) × mean².
    let mean = 40.0 * 1.284_025_f64.sqrt();
    moments(&draws, mean, 0.284_025 * mean * mean);
    let at = |z: f64| 40.0 * libm::exp(0.5 * z);
    function(&draws, &[(at(-1.0), 0.158_66), (at(0.0), 0.5), (at(1.0), 0.841_34), (at(1.959_96), 0.975)]);
}

#[test]
fn the_tail_of_pareto_is_a_power() {
    let draws = draws(&Distribution::Pareto { min: ms(10), alpha: 1.5 });
    assert!(draws.iter().all(|draw| *draw >= 10.0));
    let below = |x: f64| 1.0 - libm::pow(10.0 / x, 1.5);
    function(&draws, &[11.0, 15.0, 20.0, 50.0, 200.0, 1000.0].map(|x| (x, below(x))));
    // With a higher exponent the moments exist: the mean is αm / (α - 1), the variance m²α / ((α - 1)² (α - 2)).
    let draws = self::draws(&Distribution::Pareto { min: ms(10), alpha: 8.0 });
    moments(&draws, 80.0 / 7.0, 800.0 / (49.0 * 6.0));
}

#[test]
fn hyperexponential_has_its_variation_and_balanced_means() {
    for cv2 in [1.0, 4.0, 10.0] {
        let draws = draws(&Distribution::Hyperexponential { mean: ms(10), cv2 });
        moments(&draws, 10.0, 100.0 * cv2);
        // p₁m₁ = p₂m₂ = 5 with p₁ = (1 + sqrt((c² - 1) / (c² + 1))) / 2.
        let first = f64::midpoint(1.0, ((cv2 - 1.0) / (cv2 + 1.0)).sqrt());
        let above = |x: f64| first * libm::exp(-x * first / 5.0) + (1.0 - first) * libm::exp(-x * (1.0 - first) / 5.0);
        function(&draws, &[1.0, 5.0, 10.0, 30.0, 80.0].map(|x| (x, 1.0 - above(x))));
    }
}

#[test]
fn erlang_is_the_sum_of_its_stages() {
    for stages in [1, 2, 5] {
        let draws = draws(&Distribution::Erlang { mean: ms(10), stages });
        let count = f64::from(stages);
        moments(&draws, 10.0, 100.0 / count);
        // 1 - exp(-λx) × (the sum of (λx)^k / k! for k below the stages), with λ = stages / mean.
        let below = |x: f64| {
            let (mut sum, mut term, load) = (0.0, 1.0, x * count / 10.0);
            for stage in 0..stages {
                sum += term;
                term *= load / f64::from(stage + 1);
            }
            1.0 - libm::exp(-load) * sum
        };
        function(&draws, &[2.0, 5.0, 10.0, 20.0, 30.0].map(|x| (x, below(x))));
    }
}

#[test]
fn empirical_draws_each_of_its_values_alike() {
    let draws = draws(&Distribution::Empirical { values: vec![ms(5), ms(1), ms(9), ms(5)] });
    let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
    for draw in &draws {
        *counts.entry((*draw * 1e6) as u64).or_default() += 1;
    }
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [1_000_000, 5_000_000, 9_000_000]);
    moments(&draws, 5.0, 8.0);
    function(&draws, &[(1.0, 0.25), (5.0, 0.75)]);
}

#[test]
fn a_mixture_draws_from_its_parts_by_their_weights() {
    let part = |weight, of| Share { weight, of };
    let parts = vec![
        part(6.0, Distribution::constant(ms(2))),
        part(3.0, Distribution::Uniform { min: ms(10), max: ms(20) }),
        // One in another.
        part(
            1.0,
            Distribution::Mixture {
                parts: vec![part(1.0, Distribution::constant(ms(50))), part(3.0, Distribution::constant(ms(60)))],
            },
        ),
    ];
    let draws = draws(&Distribution::Mixture { parts });
    function(&draws, &[(2.0, 0.6), (9.0, 0.6), (15.0, 0.75), (30.0, 0.9), (50.0, 0.925), (60.0, 1.0)]);
}

#[test]
fn a_law_of_no_time_at_all_takes_none() {
    for law in [
        Distribution::default(),
        Distribution::exponential(ms(0)),
        Distribution::Normal { mean: ms(0), std_dev: ms(0) },
        Distribution::Lognormal { median: ms(0), sigma: 1.0 },
        Distribution::Pareto { min: ms(0), alpha: 2.0 },
    ] {
        assert!(draws(&law).iter().all(|draw| *draw == 0.0), "{law:?}");
    }
}

#[test]
fn the_demands_of_neighbouring_requests_say_nothing_of_each_other() {
    let mut group = backend().discipline(Discipline::Delay);
    group.service_time = Distribution::Uniform { min: ms(0), max: ms(2) };
    let trace = Trace::of(&scenario(Arrivals::Uniform { rate: 40_000.0 }, group));
    let mut demands = vec![0.0; 40_000];
    for (at, event) in trace.select(&[Started, Served]) {
        let sign = if event.kind == Started { -1.0 } else { 1.0 };
        demands[event.request as usize] += sign * at.as_nanos() as f64 / 1e6;
    }
    for lag in [1, 2, 3, 4, 5, 7, 8, 16, 64, 1000, 1024] {
        let pairs = demands.iter().zip(&demands[lag..]);
        let products: Vec<_> = pairs.map(|(one, other)| (one - 1.0) * (other - 1.0) * 3.0).collect();
        let mean = products.iter().sum::<f64>() / products.len() as f64;
        within(&format!("correlation at lag {lag}"), mean, 0.0, 1.0 / (products.len() as f64).sqrt());
    }
}

#[test]
fn messages_and_news_are_drawn_from_their_laws_like_service_times() {
    let law = Distribution::Lognormal { median: ms(40), sigma: 0.5 };
    let mut scenario = scenario(Arrivals::Uniform { rate: 20_000.0 }, backend().discipline(Discipline::Delay));
    scenario.network.latency = law.clone();
    let trace = Trace::of(&scenario);
    let latencies = between(&trace, Picked, Accepted);
    let at = |z: f64| 40.0 * libm::exp(0.5 * z);
    function(&latencies, &[(at(-1.0), 0.158_66), (at(0.0), 0.5), (at(1.0), 0.841_34), (at(1.959_96), 0.975)]);

    let mut scenario = self::scenario(exact::at(&[999]), exact::backends(2));
    scenario = scenario.fault(Fault::new(ms(0), exact::server(0), FaultKind::Deregister));
    scenario.discovery.delay = law;
    let trace = Trace::of(&with_clients(scenario, |clients| clients.count(exact::number(2000))));
    let delays: Vec<_> = trace.select(&[Discovered]).map(|(at, _)| at.as_nanos() as f64 / 1e6).collect();
    assert!(delays.len() > 1990, "but for those who hear of it after the last request");
    function(&delays, &[(at(-1.0), 0.158_66), (at(0.0), 0.5), (at(1.0), 0.841_34)]);
}

/// 40,000 service times, in milliseconds.
fn draws(law: &Distribution) -> Vec<f64> {
    let mut group = backend().discipline(Discipline::Delay);
    group.service_time = law.clone();
    let mut scenario = scenario(Arrivals::Uniform { rate: 40_000.0 }, group);
    scenario.servers[0].count = 1;
    let draws = between(&Trace::of(&scenario), Started, Served);
    assert_eq!(draws.len(), 40_000);
    draws
}

/// How long it took each request from the one to the other, in milliseconds.
fn between(trace: &Trace, from: mesh_sim::model::EventKind, until: mesh_sim::model::EventKind) -> Vec<f64> {
    let mut began = BTreeMap::new();
    let mut lengths = Vec::new();
    for (at, event) in trace.select(&[from, until]) {
        if event.kind == from {
            began.insert(event.request, at.as_nanos());
        } else {
            lengths.push((at.as_nanos() - began[&event.request]) as f64 / 1e6);
        }
    }
    lengths
}

/// Holds draws to the mean and the variance of their law.
fn moments(draws: &[f64], mean: f64, variance: f64) {
    let count = draws.len() as f64;
    let found = draws.iter().sum::<f64>() / count;
    within("mean", found, mean, (variance / count).sqrt());
    let squares: Vec<_> = draws.iter().map(|draw| (draw - mean) * (draw - mean)).collect();
    let found = squares.iter().sum::<f64>() / count;
    // The standard error of the variance from the draws themselves: laws with long tails have large ones.
    let spread = squares.iter().map(|square| (square - found) * (square - found)).sum::<f64>() / count;
    within("variance", found, variance, (spread / count).sqrt());
}

/// Holds draws to values of their distribution function: the share of those up to x.
fn function(draws: &[f64], points: &[(f64, f64)]) {
    let count = draws.len() as f64;
    for (x, share) in points {
        let found = draws.iter().filter(|draw| **draw <= *x).count() as f64 / count;
        within(&format!("share up to {x}"), found, *share, (share * (1.0 - share) / count).sqrt());
    }
}

fn within(what: &str, found: f64, expected: f64, error: f64) {
    assert!((found - expected).abs() <= 4.5 * error + 2e-6, "{what}: {found} for {expected} ± {error}");
}
