//! Power of two choices: of a few distinct candidates drawn at random, the least loaded.
//!
//! Candidates are drawn by weight without replacement and compared by (load + 1) / weight. Between idle ones there is
//! nothing to compare, and the one drawn first serves: compared by 1 / weight, the heaviest would have all the requests
//! of a service that seldom has two at a time.

use core::time::Duration;

use super::choices::{Choices, Cost};
use super::least_loaded::{Score, hold_failure};
use super::{Completion, Draw, Picker};
use crate::balance::endpoint::Endpoint;
use crate::balance::explain::Reason;
use crate::balance::view::Lineup;

/// The parameters of the power of two choices over loads.
///
/// Among idle instances weights are followed exactly, and under load the requests in flight settle in their proportion.
/// So one whose weight is a hundredth of another's has a request while the other has none, or a hundred: for a canary
/// that is to have its part of any load, weighted round robin and weighted random do.
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
    choices: Choices,
    failure_hold: Duration,
}

impl P2c {
    pub(super) fn build(config: &P2cConfig, lineup: &Lineup<'_>) -> Self {
        Self { choices: Choices::build(config.choices, lineup), failure_hold: config.failure_hold }
    }

    /// Whether every candidate is as likely as any other, and two are compared.
    pub(super) const fn is_plain(&self) -> bool {
        self.choices.is_plain()
    }
}

impl Picker for P2c {
    #[inline]
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.because(Reason::Lowest);
        let (now, weighted) = (draw.now(), self.choices.is_weighted());
        self.choices.pick(draw, |lineup, at| Score::of(lineup, at, now, weighted))
    }

    #[inline]
    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        hold_failure(endpoint, completion, self.failure_hold);
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}

impl Cost for Score {
    #[inline]
    fn below(&self, other: &Self) -> bool {
        Self::below(self, other)
    }

    fn value(&self) -> f64 {
        Self::value(self)
    }

    #[inline]
    fn is_blank(&self) -> bool {
        self.is_idle()
    }
}
