//! Balls in bins: as many requests as servers, none of which ever ends, through the production balancer.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use mesh_core::balance::Strategy;

use super::formulas::bins;
use super::queues::choosing;
use super::row::{Claim, Estimate};
use super::{Task, replicate};
use crate::model::engine;
use crate::model::scenario::{Arrivals, Discipline, Distribution, Scenario, ServerGroup};

/// The fractions of servers with so many requests, and the most that one has.
pub(super) fn tasks() -> Vec<Task> {
    [(1, 4), (2, 3), (3, 2), (4, 2)].into_iter().map(|(choices, levels)| task(choices, levels)).collect()
}

fn task(choices: u32, levels: usize) -> Task {
    let expected = bins(choices);
    let fraction =
        |level: usize| (format!("balls in bins d={choices} share >= {}", level + 1), Claim::Is(expected[level]), 0.001);
    let mut claims: Vec<_> = (0..levels).map(fraction).collect();
    if choices > 1 {
        let most = if choices == 2 { 4.0 } else { 3.0 };
        claims.push((format!("balls in bins d={choices} most"), Claim::AtMost(most), 0.0));
    }
    let strategy = if choices == 1 { Strategy::Random } else { choosing(choices) };
    let measure = move |seed| {
        let most = AtomicU32::new(0);
        let mut estimates = replicate(seed, REPLICATIONS, |seed| {
            let (fractions, fullest) = throw(&strategy, seed);
            most.fetch_max(fullest, Ordering::Relaxed);
            fractions
        });
        estimates.truncate(levels);
        if choices > 1 {
            let value = f64::from(most.into_inner());
            estimates.push(Estimate { value, standard_error: 0.0 });
        }
        estimates
    };
    Task { claims, measure: Box::new(measure) }
}

/// Throws a ball for each bin: the fractions of bins with at least 1 to 4 balls, and the most in one.
fn throw(strategy: &Strategy, seed: u64) -> ([f64; 4], u32) {
    // Longer than the balls take to be thrown, so that none leaves its bin before.
    let stay = Distribution::constant(Duration::from_secs(3600));
    let group = ServerGroup::new("bins", BINS, stay).discipline(Discipline::Delay);
    let second = Duration::from_secs(1);
    let scenario = Scenario::new("bins", second, Arrivals::Uniform { rate: f64::from(BINS) }).servers(group).seed(seed);
    let run = engine::run(&scenario, strategy, &mut ());
    let holding = |least: u32| {
        let bins = run.servers.iter().filter(|bin| bin.in_flight_max >= least).count();
        bins as f64 / f64::from(BINS)
    };
    let most = run.servers.iter().map(|bin| bin.in_flight_max).max().unwrap_or(0);
    ([holding(1), holding(2), holding(3), holding(4)], most)
}

const BINS: u32 = 50_000;
const REPLICATIONS: u64 = 4;
