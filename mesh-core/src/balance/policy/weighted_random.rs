//! Weighted random: every candidate as often as its weight says.

use super::{Draw, Picker};
use crate::balance::view::Lineup;

#[derive(Debug)]
pub(in crate::balance) struct WeightedRandom;

impl WeightedRandom {
    pub(super) fn build(_lineup: &Lineup<'_>) -> Self {
        Self
    }
}

impl Picker for WeightedRandom {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }
}
