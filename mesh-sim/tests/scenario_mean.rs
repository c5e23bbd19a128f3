//! The means of distributions: closed forms, and for the truncated normal law the integral itself.

use std::time::Duration;

use mesh_sim::model::scenario::{Distribution, Share};

const MILLIS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn each_law_has_its_mean() {
    let (mean, min, max, median) = (MILLIS(7), MILLIS(2), MILLIS(6), MILLIS(3));
    let constant = Distribution::constant(MILLIS(10));
    let parts = vec![Share { weight: 3.0, of: constant.clone() }, Share { weight: 1.0, of: Distribution::default() }];
    for (law, expected) in [
        (constant, 10.0),
        (Distribution::Uniform { min, max }, 4.0),
        (Distribution::Exponential { mean }, 7.0),
        (Distribution::Normal { mean, std_dev: Duration::ZERO }, 7.0),
        (Distribution::Lognormal { median, sigma: 2.0 }, 3.0 * 7.389_056_098_930_65),
        (Distribution::Pareto { min, alpha: 1.5 }, 6.0),
        (Distribution::Pareto { min, alpha: 1.0 }, f64::INFINITY),
        (Distribution::Hyperexponential { mean, cv2: 9.0 }, 7.0),
        (Distribution::Erlang { mean, stages: 4 }, 7.0),
        (Distribution::Empirical { values: vec![min, max, max] }, 14.0 / 3.0),
        (Distribution::Mixture { parts }, 7.5),
    ] {
        let actual = law.mean_nanos() / 1e6;
        assert!(actual == expected || (actual - expected).abs() < 1e-9 * expected, "{law:?}: {actual}");
    }
}

#[test]
fn a_truncated_normal_law_has_the_mean_of_what_is_left() {
    for (mean, std_dev) in [(167, 5), (10, 10), (1, 10), (0, 10)] {
        let law = Distribution::Normal { mean: MILLIS(mean), std_dev: MILLIS(std_dev) };
        let (actual, expected) = (law.mean_nanos() / 1e6, integrated(mean as f64, std_dev as f64));
        assert!((actual - expected).abs() < 1e-4 * expected, "{law:?}: {actual}, integrated {expected}");
    }
}

/// The mean of the truncated law by the midpoint rule, up to twelve deviations.
fn integrated(mean: f64, std_dev: f64) -> f64 {
    let (steps, end) = (100_000, mean + 12.0 * std_dev);
    let (mut mass, mut moment) = (0.0, 0.0);
    for step in 0..steps {
        let x = (f64::from(step) + 0.5) * end / f64::from(steps);
        let density = libm::exp(-((x - mean) / std_dev) * ((x - mean) / std_dev) / 2.0);
        mass += density;
        moment += x * density;
    }
    moment / mass
}
