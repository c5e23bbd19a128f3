//! Weighted random: every candidate as often as its weight says.

use super::least_loaded::weights_differ;
use super::weighting::{Weighting, draw_admitted};
use super::{Draw, Picker};
use crate::balance::explain::Reason;
use crate::balance::view::Lineup;
use crate::rng::scale;

/// One draw from an alias table; O(1), and O(n) where calls exclude most of the weight.
#[derive(Debug)]
pub(in crate::balance) struct WeightedRandom {
    /// None where all weights are the same.
    weighting: Option<Weighting>,
}

impl WeightedRandom {
    pub(super) fn build(lineup: &Lineup<'_>) -> Self {
        Self { weighting: weights_differ(lineup).then(|| Weighting::build(lineup)) }
    }

    #[inline]
    fn sample(&self, bits: u64, len: usize) -> usize {
        match &self.weighting {
            None => scale(bits, len as u64) as usize,
            Some(weighting) => weighting.sample(bits),
        }
    }
}

impl Picker for WeightedRandom {
    #[inline]
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        let lineup = draw.lineup();
        let len = lineup.len();
        if len > 0 && draw.admits_all() {
            draw.because(Reason::Drawn);
            let bits = draw.random();
            return Some(self.sample(bits, len));
        }
        draw_admitted(draw, |bits| self.sample(bits, len), |at| lineup.weight(at))
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}
