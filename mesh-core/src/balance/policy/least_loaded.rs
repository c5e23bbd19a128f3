//! Least loaded: the candidate with the lowest (load + 1) / weight of all; of several, any one alike.

use core::time::Duration;

use super::{Completion, Draw, Picker};
use crate::balance::endpoint::Endpoint;
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

impl Picker for LeastLoaded {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let lineup = draw.lineup();
        let mut best: Option<(usize, Score)> = None;
        let mut ties: u64 = 1;
        for position in 0..lineup.len() {
            if !draw.admits_all() && !draw.admits(position) {
                continue;
            }
            let score = Score::of(&lineup, position, draw.now(), self.weighted);
            match &best {
                Some((_, least)) if least.below(&score) => {}
                Some((_, least)) if !score.below(least) => {
                    ties += 1;
                    if draw.index(ties as usize) == 0 {
                        best = Some((position, score));
                    }
                }
                _ => {
                    best = Some((position, score));
                    ties = 1;
                }
            }
        }
        best.map(|(position, _)| position)
    }

    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        hold_failure(endpoint, completion, self.failure_hold);
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
        Self { load: lineup.endpoint(position).load(now) + 1, weight }
    }

    /// Whether it is strictly lower. Loads stay below 2^33 and weights below 2^16, so nothing overflows.
    #[inline]
    pub(super) const fn below(&self, other: &Self) -> bool {
        self.load * other.weight < other.load * self.weight
    }
}

/// Whether the candidates' weights are not all the same.
pub(super) fn weights_differ(lineup: &Lineup<'_>) -> bool {
    (1..lineup.len()).any(|position| lineup.weight(position) != lineup.weight(0))
}

/// Keeps a failure counted as load, so that failing fast attracts nothing.
#[inline]
pub(super) fn hold_failure(endpoint: &Endpoint, completion: &Completion, failure_hold: Duration) {
    if completion.outcome.is_failure() {
        endpoint.hold(completion.now, failure_hold);
    }
}
