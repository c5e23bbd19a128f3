//! Least loaded: the candidate with the lowest (load + 1) / weight of all; of several, any one alike. While all are idle
//! there is nothing to compare, and it is any one by weight.

use core::time::Duration;

use super::weighting::by_weight;
use super::{Completion, Draw, Picker};
use crate::balance::endpoint::Endpoint;
use crate::balance::explain::Reason;
use crate::balance::view::Lineup;
use crate::time::Instant;

/// The parameters of least loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct LeastLoadedConfig {
    /// For how long after its end a failed attempt still adds one to the load compared, never to the requests
    /// in flight. Default 1 s; 0 holds nothing, as Envoy does, and lets an instance that fails fast look idle.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub failure_hold: Duration,
}

impl Default for LeastLoadedConfig {
    fn default() -> Self {
        Self { failure_hold: Duration::from_secs(1) }
    }
}

/// O(n) at every pick: it looks at all candidates. Two choices come close at O(1).
#[derive(Debug)]
pub(in crate::balance) struct LeastLoaded {
    failure_hold: Duration,
    weighted: bool,
}

impl LeastLoaded {
    pub(super) fn build(config: &LeastLoadedConfig, lineup: &Lineup<'_>) -> Self {
        Self { failure_hold: config.failure_hold, weighted: weights_differ(lineup) }
    }
}

impl LeastLoaded {
    /// The candidate with the lowest score of those with one; of several, any one alike.
    ///
    /// The draw among equals comes after the count of them, so that a fleet at rest costs one random word and not
    /// one a candidate. Loads that change meanwhile can only shift the draw among those that were lowest.
    #[inline]
    fn lowest(draw: &mut Draw<'_>, weighted: bool, score: impl Fn(&Draw<'_>, usize) -> Option<Score>) -> Option<usize> {
        let len = draw.lineup().len();
        let mut best: Option<(usize, Score)> = None;
        let (mut ties, mut idle) = (0, true);
        for position in 0..len {
            let Some(score) = score(draw, position) else { continue };
            draw.consider(position, || score.value());
            idle &= score.is_idle();
            match &best {
                Some((_, least)) if least.below(&score) => {}
                Some((_, least)) if !score.below(least) => ties += 1,
                _ => {
                    best = Some((position, score));
                    ties = 1;
                }
            }
        }
        let (first, least) = best?;
        if idle {
            draw.uninformed();
            draw.because(Reason::Drawn);
            if weighted {
                let (lineup, bits) = (draw.lineup(), draw.random());
                return by_weight(len, |at| score(draw, at).map_or(0, |_| u64::from(lineup.weight(at))), bits);
            }
        }
        let chosen = if ties > 1 { draw.index(ties) } else { 0 };
        let equal = |&at: &usize| score(draw, at).is_some_and(|score| !least.below(&score));
        (first..len).filter(equal).nth(chosen).or(Some(first))
    }
}

impl Picker for LeastLoaded {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.because(Reason::Lowest);
        let now = draw.now();
        if draw.admits_all() && !self.weighted {
            return Self::lowest(draw, false, |draw, at| Some(Score::of(&draw.lineup(), at, now, false)));
        }
        let weighted = self.weighted;
        Self::lowest(draw, weighted, |draw, at| draw.admits(at).then(|| Score::of(&draw.lineup(), at, now, weighted)))
    }

    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        hold_failure(endpoint, completion, self.failure_hold);
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}

/// (load + 1) / weight as a fraction, compared exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score {
    load: u64,
    weight: u64,
}

impl Score {
    #[inline]
    pub(super) fn of(lineup: &Lineup<'_>, position: usize, now: Instant, weighted: bool) -> Self {
        let weight = if weighted { u64::from(lineup.weight(position)) } else { 1 };
        Self { load: lineup.load(position, now) + 1, weight }
    }

    /// Whether it says nothing but the weight.
    #[inline]
    pub(super) const fn is_idle(&self) -> bool {
        self.load == 1
    }

    pub(super) fn value(&self) -> f64 {
        self.load as f64 / self.weight as f64
    }

    /// Whether it is strictly lower. Loads stay below 2^33 and weights below 2^16, so nothing overflows.
    #[inline]
    pub(super) const fn below(&self, other: &Self) -> bool {
        self.load * other.weight < other.load * self.weight
    }
}

/// Whether the candidates' weights are not all the same.
pub(super) const fn weights_differ(lineup: &Lineup<'_>) -> bool {
    lineup.weights_differ()
}

/// Keeps a failure counted as load, so that failing fast attracts nothing.
#[inline]
pub(super) fn hold_failure(endpoint: &Endpoint, completion: &Completion, failure_hold: Duration) {
    if completion.outcome.is_failure() {
        endpoint.hold(completion.now, failure_hold);
    }
}
