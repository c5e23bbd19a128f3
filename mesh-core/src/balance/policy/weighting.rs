//! Drawing positions by weight in O(1): Walker's alias method in integers.
//!
//! Vose, "A linear algorithm for generating random numbers with a given distribution", 1991. Columns hold
//! exact shares (weight × n against the total weight), so the result differs from the weights by the 2^-32
//! of the threshold's resolution only.

use super::Draw;
use crate::balance::explain::Reason;
use crate::balance::view::Lineup;
use crate::rng::scale;

/// An alias table over the weights of a lineup, and the running sums for draws that must avoid one position.
#[derive(Debug)]
pub(super) struct Weighting {
    columns: Box<[Column]>,
    sums: Box<[u64]>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Of 2^32: how often the column stands for itself.
    own: u64,
    alias: u32,
}

impl Weighting {
    /// The table of `lineup`'s weights. O(n).
    pub(super) fn build(lineup: &Lineup<'_>) -> Self {
        let weights: Vec<u64> = (0..lineup.len()).map(|at| u64::from(lineup.weight(at))).collect();
        let sums = weights.iter().scan(0_u64, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self { sums: sums.collect(), columns: columns(&weights) }
    }

    /// The position that 64 random bits stand for, each as likely as its weight.
    #[inline]
    pub(super) fn sample(&self, bits: u64) -> usize {
        let column = (((bits >> 32) * self.columns.len() as u64) >> 32) as usize;
        let Column { own, alias } = self.columns[column];
        if (bits & u64::from(u32::MAX)) < own { column } else { alias as usize }
    }

    /// A position other than `taken`, each of the rest as likely as its weight. There must be two at least.
    #[inline]
    pub(super) fn sample_but(&self, taken: usize, draw: &mut Draw<'_>) -> usize {
        for _ in 0..REDRAWS_MAX {
            let position = self.sample(draw.random());
            if position != taken {
                return position;
            }
        }
        self.search_but(taken, draw.random())
    }

    /// As `sample_but`, exactly, in O(log n): the sums with `taken`'s share cut out.
    fn search_but(&self, taken: usize, bits: u64) -> usize {
        let before = if taken == 0 { 0 } else { self.sums[taken - 1] };
        let share = self.sums[taken] - before;
        let total = self.sums.last().copied().unwrap_or(0);
        let drawn = scale(bits, total - share);
        let drawn = if drawn < before { drawn } else { drawn + share };
        self.sums.partition_point(|&sum| sum <= drawn)
    }
}

/// A candidate that the call admits, each as likely as its weight. `sample` draws by weight from all of them; where it
/// keeps hitting others, the weights of those admitted are added up: O(n). None when nobody is admitted.
pub(super) fn draw_admitted(
    draw: &mut Draw<'_>,
    sample: impl Fn(u64) -> usize,
    weight: impl Fn(usize) -> u32,
) -> Option<usize> {
    draw.because(Reason::Drawn);
    let len = draw.lineup().len();
    if len == 0 {
        return None;
    }
    for _ in 0..DRAWS_MAX {
        let position = sample(draw.random());
        if draw.admits(position) {
            return Some(position);
        }
    }
    let bits = draw.random();
    by_weight(len, |at| if draw.admits(at) { u64::from(weight(at)) } else { 0 }, bits)
}

/// A position below `len`, each as likely as its weight, found by adding the weights up; none when all are 0.
pub(super) fn by_weight(len: usize, weight: impl Fn(usize) -> u64, bits: u64) -> Option<usize> {
    let total: u64 = (0..len).map(&weight).sum();
    let mut left = scale(bits, total);
    (0..len).find(|&at| {
        let weight = weight(at);
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}

fn columns(weights: &[u64]) -> Box<[Column]> {
    let total: u64 = weights.iter().sum();
    let count = weights.len() as u64;
    let mut shares: Vec<u64> = weights.iter().map(|weight| weight * count).collect();
    let mut columns = vec![Column { own: 1 << 32, alias: 0 }; weights.len()];
    let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..weights.len()).partition(|&at| shares[at] < total);
    while let (Some(&under), Some(&over)) = (small.last(), large.last()) {
        small.pop();
        let own = ((u128::from(shares[under]) << 32) / u128::from(total)) as u64;
        columns[under] = Column { own, alias: over as u32 };
        shares[over] -= total - shares[under];
        if shares[over] < total {
            large.pop();
            small.push(over);
        }
    }
    columns.into_boxed_slice()
}

const REDRAWS_MAX: usize = 4;
const DRAWS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// The exact probability of every position, in 2^-32 of a column.
    fn probabilities(weights: &[u64]) -> Vec<f64> {
        let columns = columns(weights);
        let mut mass = vec![0.0; weights.len()];
        for (at, column) in columns.iter().enumerate() {
            let own = column.own as f64 / 4_294_967_296.0;
            mass[at] += own;
            mass[column.alias as usize] += 1.0 - own;
        }
        mass.iter().map(|mass| mass / weights.len() as f64).collect()
    }

    #[test]
    fn every_position_is_as_likely_as_its_weight() {
        for weights in [vec![1, 2, 3, 4], vec![65_535, 1], vec![1, 1, 1, 65_535, 7], (1..=1000).collect()] {
            let total: u64 = weights.iter().sum();
            for (at, probability) in probabilities(&weights).into_iter().enumerate() {
                let expected = weights[at] as f64 / total as f64;
                assert!((probability - expected).abs() < 1e-9, "{at}: {probability} instead of {expected}");
            }
        }
    }

    #[test]
    fn the_search_never_returns_what_is_taken_and_keeps_the_shares_of_the_rest() {
        let weights = [5_u64, 1, 3, 1];
        let mut sum = 0;
        let sums = weights.iter().map(|weight| {
            sum += weight;
            sum
        });
        let table = Weighting { sums: sums.collect(), columns: columns(&weights) };
        let mut counts = [0_u32; 4];
        for step in 0..5_000_u64 {
            counts[table.search_but(0, (u64::MAX / 5_000) * step + 7)] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!(counts[1].abs_diff(1000) <= 2 && counts[2].abs_diff(3000) <= 2 && counts[3].abs_diff(1000) <= 2);
    }
}
