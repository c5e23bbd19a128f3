//! Every policy that honours weights, held against them by Pearson's statistic at a significance of 0.001.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;
#[path = "support/weights.rs"]
mod weights;

use mesh_core::balance::policy::{LeastLoadedConfig, P2cConfig};
use mesh_core::balance::{PickContext, Strategy};
use mesh_core::rng::Rng;
use support::*;
use weights::*;

const WEIGHTS: [&[u16]; 5] = [&[1, 2, 3, 4], &[16, 8, 4, 2, 1], &[100, 1, 1], &[10, 10, 10, 9, 11, 10], &[7]];

#[test]
fn picks_are_by_weight() {
    for strategy in by_weight() {
        for weights in WEIGHTS {
            let mut fleet = fleet(strategy.clone(), all(weights));
            let mut rng = Rng::from_seed(21);
            let seen = count((0..20_000).map(|_| fleet.handle.next(rng.next_u64())), weights.len());
            check(&seen, weights, &strategy);
        }
    }
}

#[test]
fn picks_that_exclude_some_are_by_the_weight_of_the_rest() {
    let weights = [16, 30, 4, 2, 90, 1, 8];
    for strategy in by_weight() {
        for excluded in [&[4][..], &[1, 4], &[0, 1, 4], &[0, 1, 2, 4, 6], &[3, 5]] {
            let mut fleet = fleet(strategy.clone(), all(&weights));
            let tried = fleet.tried(excluded);
            let mut rng = Rng::from_seed(22);
            let seen = count((0..20_000).map(|_| fleet.handle.next_but(rng.next_u64(), &tried)), weights.len());
            let rest = |at: &usize| !excluded.contains(&(*at as u16));
            let (seen_rest, rest): (Vec<u32>, Vec<u16>) =
                (0..weights.len()).filter(rest).map(|at| (seen[at], weights[at])).unzip();
            assert_eq!(seen_rest.iter().sum::<u32>(), 20_000, "an excluded one was picked");
            check(&seen_rest, &rest, &strategy);
        }
    }
}

#[test]
fn weighted_random_is_as_irregular_as_draws_are() {
    // The statistic of a rotation would be next to nothing: both of its tails are tested.
    let weights = [16, 8, 4, 2, 1];
    let mut fleet = fleet(Strategy::WeightedRandom, all(&weights));
    let mut rng = Rng::from_seed(23);
    let mut sum = 0.0;
    for _ in 0..200 {
        let seen = count((0..1_000).map(|_| fleet.handle.next(rng.next_u64())), 5);
        sum += chi_squared(&seen, &weights.map(f64::from));
    }
    // 200 statistics of four degrees of freedom: mean 800, standard deviation 40, 3.29 of which leave 0.001.
    assert!((sum - 800.0).abs() < 132.0, "{sum}");
}

#[test]
fn requests_that_two_choices_hold_in_flight_are_by_weight() {
    for choices in [2, 3] {
        let mut config = P2cConfig::default();
        config.choices = choices;
        for weights in WEIGHTS {
            let mut fleet = fleet(Strategy::P2cLeastLoaded(config.clone()), all(weights));
            let mut rng = Rng::from_seed(24);
            let mut held = Vec::new();
            for _ in 0..5_000 {
                held.push(fleet.handle.pick_owned(at(0), &PickContext::default(), rng.next_u64()).unwrap());
            }
            let seen = count(held.iter().map(|lease| number(lease.instance())), weights.len());
            check(&seen, weights, &Strategy::P2cLeastLoaded(config.clone()));
        }
    }
}

#[test]
fn random_and_round_robin_do_not_look_at_weights() {
    for strategy in [Strategy::Random, Strategy::RoundRobin] {
        let mut fleet = fleet(strategy.clone(), all(&[16, 8, 4, 2, 1]));
        let mut rng = Rng::from_seed(25);
        let seen = count((0..20_000).map(|_| fleet.handle.next(rng.next_u64())), 5);
        check(&seen, &[1; 5], &strategy);
    }
}

/// The policies that give single requests by weight.
fn by_weight() -> Vec<Strategy> {
    let mut three = P2cConfig::default();
    three.choices = 3;
    let drawn = [Strategy::P2cLeastLoaded(three), Strategy::LeastLoaded(LeastLoadedConfig::default())];
    [stride(), smooth(), Strategy::WeightedRandom, Strategy::default()].into_iter().chain(drawn).collect()
}

fn check(seen: &[u32], weights: &[u16], strategy: &Strategy) {
    if weights.len() > 1 {
        let weights: Vec<f64> = weights.iter().copied().map(f64::from).collect();
        assert_by_weight(seen, &weights, &format!("{strategy:?}"));
    }
}
