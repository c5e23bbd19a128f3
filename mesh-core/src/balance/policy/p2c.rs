//! Power of two choices: of a few distinct candidates drawn at random, the least loaded.
//!
//! Candidates are drawn by weight without replacement and compared by (load + 1) / weight. With two choices
//! the longest queue of n servers grows as log log n (Mitzenmacher, "The power of two choices in randomized
//! load balancing", 2001), at a cost that does not depend on n.

use core::time::Duration;

use super::least_loaded::{Score, hold_failure, weights_differ};
use super::weighting::{Weighting, by_weight};
use super::{Completion, Draw, Picker};
use crate::balance::endpoint::Endpoint;
use crate::balance::explain::Reason;
use crate::balance::view::Lineup;

/// The parameters of the power of two choices over loads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct P2cConfig {
    /// How many distinct candidates are compared: 2 to 10 (values outside are taken as the nearest). Default 2.
    pub choices: u32,
    /// For how long after its end a failed attempt still adds one to the load compared, never to the requests
    /// in flight. Default 1 s; 0 holds nothing, as Envoy does, and lets an instance that fails fast look idle.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub failure_hold: Duration,
}

impl Default for P2cConfig {
    fn default() -> Self {
        Self { choices: 2, failure_hold: Duration::from_secs(1) }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct P2c {
    choices: usize,
    failure_hold: Duration,
    weighting: Option<Weighting>,
}

impl P2c {
    pub(super) fn build(config: &P2cConfig, lineup: &Lineup<'_>) -> Self {
        let weighting = weights_differ(lineup).then(|| Weighting::build(lineup));
        let choices = config.choices.clamp(CHOICES_MIN, CHOICES_MAX) as usize;
        Self { choices, failure_hold: config.failure_hold, weighting }
    }

    /// Whether every candidate is as likely as any other, and two are compared.
    pub(super) const fn is_plain(&self) -> bool {
        self.choices == 2 && self.weighting.is_none()
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

    #[inline]
    fn better(&self, draw: &mut Draw<'_>, first: usize, second: usize) -> usize {
        let (lineup, now) = (draw.lineup(), draw.now());
        let weighted = self.weighting.is_some();
        let (one, other) = (Score::of(&lineup, first, now, weighted), Score::of(&lineup, second, now, weighted));
        draw.consider(first, || one.value());
        draw.consider(second, || other.value());
        if one.is_idle() && other.is_idle() {
            draw.uninformed();
        }
        if other.below(&one) { second } else { first }
    }

    /// The best of more than two distinct candidates, drawn without replacement.
    fn best_of_many(&self, draw: &mut Draw<'_>, len: usize) -> usize {
        let mut drawn = [usize::MAX; CHOICES_MAX as usize];
        let wanted = self.choices.min(len);
        let (first, second) = self.pair(draw, len);
        (drawn[0], drawn[1]) = (first, second);
        let mut best = self.better(draw, first, second);
        for count in 2..wanted {
            let next = self.another(draw, &drawn[..count], len);
            drawn[count] = next;
            best = self.better(draw, best, next);
        }
        best
    }

    /// A candidate that is not among `drawn`.
    fn another(&self, draw: &mut Draw<'_>, drawn: &[usize], len: usize) -> usize {
        for _ in 0..DRAWS_MAX {
            let bits = draw.random();
            let next = self.weighting.as_ref().map_or_else(|| scale32(bits >> 32, len), |by| by.sample(bits));
            if !drawn.contains(&next) {
                return next;
            }
        }
        let lineup = draw.lineup();
        let weight = |at: usize| if drawn.contains(&at) { 0 } else { u64::from(lineup.weight(at)) };
        by_weight(len, weight, draw.random()).unwrap_or(drawn[0])
    }

    /// The better of two among those that the call admits; the draws kept hitting others. O(n).
    #[cold]
    fn pick_among_admitted(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let lineup = draw.lineup();
        let weight = |draw: &Draw<'_>, at: usize| if draw.admits(at) { u64::from(lineup.weight(at)) } else { 0 };
        let bits = draw.random();
        let first = by_weight(lineup.len(), |at| weight(draw, at), bits)?;
        let bits = draw.random();
        let second = by_weight(lineup.len(), |at| if at == first { 0 } else { weight(draw, at) }, bits);
        Some(second.map_or(first, |second| self.better(draw, first, second)))
    }
}

impl Picker for P2c {
    #[inline]
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.because(Reason::Lowest);
        let len = draw.lineup().len();
        if len > 1 && draw.admits_all() {
            if self.choices > 2 {
                return Some(self.best_of_many(draw, len));
            }
            let (first, second) = self.pair(draw, len);
            return Some(self.better(draw, first, second));
        }
        if len > 1 {
            for _ in 0..DRAWS_MAX {
                let (first, second) = self.pair(draw, len);
                if draw.admits(first) && draw.admits(second) {
                    return Some(self.better(draw, first, second));
                }
            }
        }
        self.pick_among_admitted(draw)
    }

    #[inline]
    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        hold_failure(endpoint, completion, self.failure_hold);
    }

    fn learns_from_success(&self) -> bool {
        false
    }
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

const CHOICES_MIN: u32 = 2;
const CHOICES_MAX: u32 = 10;
const DRAWS_MAX: usize = 4;
