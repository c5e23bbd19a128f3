//! How often breakers open by chance: binomial tails and runs, each with a fixed seed and a stated bound.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod breaker_support;

use breaker_support::*;
use mesh_retry::Rng;
use mesh_retry::breaker::BreakerConfig;

/// The share of breakers that open with the first call that they judge, when each call fails with probability `p`.
fn share_opened(config: &BreakerConfig, p: f64, rng: &mut Rng) -> f64 {
    let mut config = *config;
    config.failures_in_row = 0;
    let breaker = breaker(config);
    let mut opened = 0;
    for _ in 0..TRIALS {
        breaker.reset();
        let told = (0..config.calls_min.get()).filter_map(|_| {
            let verdict = if rng.unit() < p { FAILED } else { OK };
            call(&breaker, at(0), verdict)
        });
        opened += told.count();
    }
    opened as f64 / f64::from(TRIALS)
}

const TRIALS: u32 = 5_000;

#[test]
fn they_open_with_the_probability_of_the_binomial_tail() {
    // The tails are P(X >= threshold) of 100, 20 and 100 calls; a correct breaker leaves 3 sigma with a probability of
    // 0.3 % for each row, and this seed is one for which none does.
    let rows: [(BreakerConfig, &[(f64, f64)]); 3] = [
        (
            BreakerConfig::resilience4j(),
            &[(0.4, 0.02710), (0.45, 0.18273), (0.5, 0.53979), (0.55, 0.86542), (0.6, 0.98324)],
        ),
        (BreakerConfig::hystrix(), &[(0.2, 0.00259), (0.3, 0.04796), (0.4, 0.24466), (0.5, 0.58810)]),
        (BreakerConfig::polly(), &[(0.05, 0.02819), (0.08, 0.27802), (0.1, 0.54871), (0.15, 0.94491)]),
    ];
    let mut rng = Rng::from_seed(12);
    for (config, tails) in rows {
        for (p, tail) in tails {
            let share = share_opened(&config, *p, &mut rng);
            let sigma = (tail * (1.0 - tail) / f64::from(TRIALS)).sqrt();
            assert!((share - tail).abs() <= 3.0 * sigma, "p = {p}: {share} for {tail}, sigma {sigma}");
        }
    }
}

#[test]
fn a_row_of_failures_takes_as_many_calls_as_it_takes_by_chance() {
    // Mean trials until k failures in a row: (1 - p^k) / (p^k (1 - p)). The time to the first run is nearly geometric,
    // so that its standard deviation is about its mean: 3 sigma of the mean of 20,000 runs are 2.1 %.
    let mut rng = Rng::from_seed(13);
    for (k, p, mean) in [(5, 0.5, 62.0), (3, 0.5, 14.0), (3, 0.3, 51.48), (7, 0.9, 10.91)] {
        let breaker = breaker(consecutive(k));
        let (runs, mut taken) = (20_000, 0_u64);
        for _ in 0..runs {
            loop {
                taken += 1;
                if call(&breaker, at(0), if rng.unit() < p { FAILED } else { OK }).is_some() {
                    break;
                }
            }
            breaker.reset();
        }
        let found = taken as f64 / f64::from(runs);
        assert!((found / mean - 1.0).abs() < 0.021, "k = {k}, p = {p}: {found} for {mean}");
    }
}
