//! What the tests of rotations and weights share: picking in bulk, and how far the picks are from the weights.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use mesh_core::balance::policy::{Sequence, WeightedRoundRobinConfig};
use mesh_core::balance::{Handle, Member, PickContext, Strategy, Tried};

use super::support::{Fleet, at, number, weighted};

pub(crate) fn stride() -> Strategy {
    Strategy::WeightedRoundRobin(WeightedRoundRobinConfig::default())
}

pub(crate) fn smooth() -> Strategy {
    let mut config = WeightedRoundRobinConfig::default();
    config.sequence = Sequence::Smooth;
    Strategy::WeightedRoundRobin(config)
}

/// Instance 0, 1, 2 and so on with these weights.
pub(crate) fn all(weights: &[u16]) -> Vec<Member> {
    (0..).zip(weights).map(|(number, &weight)| weighted(number, weight)).collect()
}

pub(crate) trait Picks {
    fn next(&mut self, entropy: u64) -> u16;
    fn next_but(&mut self, entropy: u64, tried: &Tried) -> u16;
}

impl Picks for Handle {
    fn next(&mut self, entropy: u64) -> u16 {
        number(self.pick(at(0), &PickContext::default(), entropy).unwrap().instance())
    }

    fn next_but(&mut self, entropy: u64, tried: &Tried) -> u16 {
        let context = PickContext { excluded: tried, ..PickContext::default() };
        number(self.pick(at(0), &context, entropy).unwrap().instance())
    }
}

/// The next picks of the fleet's own handle.
pub(crate) fn sequence(fleet: &mut Fleet, picks: u64) -> Vec<u16> {
    (0..picks).map(|entropy| fleet.handle.next(entropy)).collect()
}

/// How often each of `len` instances was picked.
pub(crate) fn count(picks: impl IntoIterator<Item = u16>, len: usize) -> Vec<u32> {
    let mut counts = vec![0; len];
    for picked in picks {
        counts[usize::from(picked)] += 1;
    }
    counts
}

/// Pearson's statistic of `counts` against shares in proportion to `weights`.
pub(crate) fn chi_squared(counts: &[u32], weights: &[f64]) -> f64 {
    let (picks, total) = (f64::from(counts.iter().sum::<u32>()), weights.iter().sum::<f64>());
    let terms = counts.iter().zip(weights).map(|(&count, weight)| {
        let expected = picks * weight / total;
        assert!(expected >= 5.0, "too few picks for the statistic: {expected} expected");
        let error = f64::from(count) - expected;
        error * error / expected
    });
    terms.sum()
}

/// What Pearson's statistic of `categories` exceeds with probability 0.001 (Wilson and Hilferty, 1931).
pub(crate) fn critical(categories: usize) -> f64 {
    let freedom = (categories - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    let root = 1.0 - spread + 3.090_232 * spread.sqrt();
    freedom * root * root * root
}

/// Panics unless `counts` are what draws by `weights` give, at a significance of 0.001.
pub(crate) fn assert_by_weight(counts: &[u32], weights: &[f64], what: &str) {
    let (statistic, critical) = (chi_squared(counts, weights), critical(counts.len()));
    assert!(statistic <= critical, "{what}: {statistic} exceeds {critical}: {counts:?}");
}

/// How far the number of an instance's picks has ever been from its share of all picks so far.
pub(crate) fn distance(picks: &[u16], weights: &[u16]) -> f64 {
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let mut counts = vec![0.0; weights.len()];
    let mut most: f64 = 0.0;
    for (made, &picked) in (1_u32..).zip(picks) {
        counts[usize::from(picked)] += 1.0;
        // Those not picked fall behind slowly: looking at one at a time finds the extremes, which lie at its picks.
        let share = f64::from(weights[usize::from(picked)]) / total;
        let ahead = counts[usize::from(picked)] - f64::from(made) * share;
        let behind = f64::from(made - 1) * share - (counts[usize::from(picked)] - 1.0);
        most = most.max(ahead).max(behind);
    }
    most
}

/// nginx's smooth weighted round robin, step by step.
pub(crate) fn naive_smooth(weights: &[u16], picks: usize) -> Vec<u16> {
    let total: i64 = weights.iter().copied().map(i64::from).sum();
    let mut credits = vec![0_i64; weights.len()];
    let step = |_| {
        for (credit, &weight) in credits.iter_mut().zip(weights) {
            *credit += i64::from(weight);
        }
        let most = credits.iter().copied().max().unwrap();
        let first = credits.iter().position(|&credit| credit == most).unwrap();
        credits[first] -= total;
        first as u16
    };
    (0..picks).map(step).collect()
}

/// gRPC's static stride scheduler over weights that it neither caps nor lifts, and the turns that it needs.
pub(crate) fn naive_stride(weights: &[u16], picks: usize) -> (Vec<u16>, u64) {
    let most = u64::from(*weights.iter().max().unwrap());
    let scaled: Vec<u64> = weights.iter().map(|&weight| (u64::from(weight) * 65_535).div_ceil(most)).collect();
    let count = weights.len() as u64;
    let mut turn = 0_u64;
    let mut picked = Vec::with_capacity(picks);
    while picked.len() < picks {
        let (index, generation) = (turn % count, turn / count);
        turn += 1;
        let weight = scaled[index as usize];
        if (weight * generation + index * 32_767) % 65_535 >= 65_535 - weight {
            picked.push(index as u16);
        }
    }
    (picked, turn)
}
