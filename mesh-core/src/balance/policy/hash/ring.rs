//! A ring of points: a key belongs to the first point at or after its hash.

use crate::balance::policy::{Draw, Picker};
use crate::balance::view::Lineup;
use crate::service::Problems;

/// The parameters of ring hashing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct RingHashConfig {
    /// Whose ring it is. Default [`RingKind::Fixed`].
    pub kind: RingKind,
    /// [`RingKind::Fixed`] and [`RingKind::Ketama`]: points for each unit of weight, 1 to 1,000; default 160, as nginx.
    pub points: u32,
    /// [`RingKind::Xds`]: the fewest points of the ring, 1 to `points_max`; default 1,024, as Envoy and gRPC.
    pub ring_min: u32,
    /// The most points of the ring, 1 to 8,388,608, which is the default and Envoy's; points a unit of weight are
    /// given up rather than going beyond.
    pub ring_max: u32,
}

/// Where the points of a ring stand, and how many an instance has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum RingKind {
    /// A fixed number of points for each unit of weight: no key moves that need not.
    #[default]
    Fixed,
    /// The points of nginx and pingora (CRC-32 of the address): 160 for each unit of weight.
    Ketama,
    /// The points of Envoy and gRPC (XXH64 of the address), whose number follows the whole fleet: more keys move.
    Xds,
}

impl RingHashConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        problems.require((1..=1_000).contains(&self.points), "points", self.points, "must be 1 to 1000");
        problems.require(
            (1..=self.ring_max).contains(&self.ring_min),
            "ring_min",
            self.ring_min,
            "must be 1 to ring_max",
        );
        problems.require((1..=RING_MAX).contains(&self.ring_max), "ring_max", self.ring_max, "must be 1 to 8388608");
    }
}

impl Default for RingHashConfig {
    fn default() -> Self {
        Self { kind: RingKind::Fixed, points: 160, ring_min: 1_024, ring_max: RING_MAX }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct RingHash;

impl RingHash {
    pub(in crate::balance) fn build(
        _config: &RingHashConfig,
        _lineup: &Lineup<'_>,
        _previous: Option<&dyn Picker>,
    ) -> Self {
        Self
    }
}

impl Picker for RingHash {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.scan()
    }
}

const RING_MAX: u32 = 8_388_608;
