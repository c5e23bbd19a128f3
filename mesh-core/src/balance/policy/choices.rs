//! The best of a few distinct candidates, drawn at random by weight without replacement.
//!
//! What makes one better than another is for the policy to say: it gives every candidate drawn a [`Cost`]. With
//! two choices by load the longest queue of n servers grows as log log n (Mitzenmacher, "The power of two choices
//! in randomized load balancing", 2001), at a cost that does not depend on n; and no candidate wins more than
//! 2/n of the picks among equal weights, whatever it claims.

use super::Draw;
use super::least_loaded::weights_differ;
use super::weighting::{Weighting, by_weight};
use crate::balance::explain::Reason;
use crate::balance::view::Lineup;

/// What a candidate is compared by; the lowest is picked.
pub(super) trait Cost: Copy {
    /// Whether it is strictly lower: of equal candidates, the one drawn first is picked, and so it is where nothing is
    /// known of any: the weight, by which they were drawn, has had its say.
    fn below(&self, other: &Self) -> bool;

    /// What it comes to, for reports.
    fn value(&self) -> f64;

    /// Whether nothing is known but the weight.
    fn is_blank(&self) -> bool;
}

/// How many candidates are drawn, and how.
#[derive(Debug)]
pub(super) struct Choices {
    count: usize,
    weighting: Option<Weighting>,
}

impl Choices {
    /// Draws of `count` candidates of `lineup`, 2 to 10; a `count` outside is taken as the nearest.
    pub(super) fn build(count: u32, lineup: &Lineup<'_>) -> Self {
        let weighting = weights_differ(lineup).then(|| Weighting::build(lineup));
        Self { count: count.clamp(COUNT_MIN, COUNT_MAX) as usize, weighting }
    }

    /// Whether some candidates are likelier than others.
    #[inline]
    pub(super) const fn is_weighted(&self) -> bool {
        self.weighting.is_some()
    }

    /// Whether every candidate is as likely as any other, and two are compared.
    pub(super) const fn is_plain(&self) -> bool {
        self.count == COUNT_MIN as usize && !self.is_weighted()
    }

    /// The admitted candidate with the lowest cost of those drawn.
    #[inline]
    pub(super) fn pick<C: Cost>(&self, draw: &mut Draw<'_>, cost: impl Fn(&Lineup<'_>, usize) -> C) -> Option<usize> {
        let len = draw.lineup().len();
        if self.count == COUNT_MIN as usize && len > 1 && draw.admits_all() {
            let (first, second) = self.pair(draw, len);
            return Some(better(draw, first, second, &cost));
        }
        self.best_of_admitted(draw, &cost)
    }

    /// The best of distinct candidates that the call admits, as many as there are.
    fn best_of_admitted<C: Cost>(&self, draw: &mut Draw<'_>, cost: &impl Fn(&Lineup<'_>, usize) -> C) -> Option<usize> {
        let mut drawn = [usize::MAX; COUNT_MAX as usize];
        let mut count = 0;
        while count < self.count {
            let Some(next) = self.admitted_but(draw, &drawn[..count]) else { break };
            drawn[count] = next;
            count += 1;
        }
        (count > 0).then(|| best_of(draw, &drawn[..count], cost))
    }

    /// A candidate that the call admits and that is not among `drawn`, each of them as likely as its weight; O(n) where
    /// the draws keep hitting others.
    fn admitted_but(&self, draw: &mut Draw<'_>, drawn: &[usize]) -> Option<usize> {
        let lineup = draw.lineup();
        for _ in 0..DRAWS_MAX {
            let position = self.sample(draw, lineup.len())?;
            if !drawn.contains(&position) && draw.admits(position) {
                return Some(position);
            }
        }
        let bits = draw.random();
        let counts = |at: usize| !drawn.contains(&at) && draw.admits(at);
        by_weight(lineup.len(), |at| if counts(at) { u64::from(lineup.weight(at)) } else { 0 }, bits)
    }

    /// A candidate, each as likely as its weight; none where there is nobody.
    fn sample(&self, draw: &mut Draw<'_>, len: usize) -> Option<usize> {
        let bits = draw.random();
        let position = || self.weighting.as_ref().map_or_else(|| scale32(bits >> 32, len), |by| by.sample(bits));
        (len > 0).then(position)
    }

    /// A candidate and another that is not the same; there must be two at least.
    #[inline]
    fn pair(&self, draw: &mut Draw<'_>, len: usize) -> (usize, usize) {
        match &self.weighting {
            None => distinct(draw.random(), len),
            Some(weighting) => {
                let first = weighting.sample(draw.random());
                (first, weighting.sample_but(first, draw))
            }
        }
    }
}

/// The best of the candidates that were `drawn`, one at least; of equal ones, the first.
fn best_of<C: Cost>(draw: &mut Draw<'_>, drawn: &[usize], cost: &impl Fn(&Lineup<'_>, usize) -> C) -> usize {
    let mut best = drawn[0];
    let mut lowest = weigh(draw, best, cost);
    let mut blank = lowest.is_blank();
    for &position in &drawn[1..] {
        let next = weigh(draw, position, cost);
        blank &= next.is_blank();
        if next.below(&lowest) {
            (best, lowest) = (position, next);
        }
    }
    if blank {
        none_compared(draw);
        return drawn[0];
    }
    best
}

/// The better of two candidates; of equal ones, the first.
#[inline]
fn better<C: Cost>(draw: &mut Draw<'_>, first: usize, second: usize, cost: &impl Fn(&Lineup<'_>, usize) -> C) -> usize {
    let (one, other) = (weigh(draw, first, cost), weigh(draw, second, cost));
    if one.is_blank() && other.is_blank() {
        none_compared(draw);
        return first;
    }
    if other.below(&one) { second } else { first }
}

/// The cost of the candidate at `position`, noted for whoever asked.
#[inline]
fn weigh<C: Cost>(draw: &mut Draw<'_>, position: usize, cost: &impl Fn(&Lineup<'_>, usize) -> C) -> C {
    let cost = cost(&draw.lineup(), position);
    draw.consider(position, || cost.value());
    cost
}

/// Between candidates of which nothing is known the draw decides.
#[inline]
fn none_compared(draw: &mut Draw<'_>) {
    draw.uninformed();
    draw.because(Reason::Drawn);
}

/// Two distinct positions below `len`, which is 2 at least, from one random word.
#[inline]
pub(in crate::balance) const fn distinct(bits: u64, len: usize) -> (usize, usize) {
    let first = scale32(bits >> 32, len);
    let second = scale32(bits & u32::MAX as u64, len - 1);
    (first, second + (second >= first) as usize)
}

/// Maps 32 random bits onto `0..len`; the bias is below `len / 2^32`.
#[inline]
const fn scale32(bits: u64, len: usize) -> usize {
    ((bits * len as u64) >> 32) as usize
}

const COUNT_MIN: u32 = 2;
const COUNT_MAX: u32 = 10;
const DRAWS_MAX: usize = 4;
