//! A ring of points: a key belongs to the first point at or after its hash.
//!
//! A pick is O(1) whatever the size of the ring. After a change, the points of the changed instances are merged into the
//! ring that was there; nothing else is hashed or sorted again, unless the points of most instances change.

mod circle;
mod layout;

use alloc::sync::Arc;
use core::any::Any;

use super::order::{self, Found, Order};
use crate::balance::policy::{Draw, Picker};
use crate::balance::tried::EndpointId;
use crate::balance::view::Lineup;
use crate::rng::mix;
use crate::service::Problems;
use circle::{Circle, GONE, Point};
use layout::{Maker, POINTS_MAX};

/// The parameters of ring hashing. Values outside their ranges are taken as the nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct RingHashConfig {
    /// Whose ring it is. Default [`RingKind::Fixed`].
    pub kind: RingKind,
    /// [`RingKind::Fixed`] and [`RingKind::Ketama`]: points for each unit of weight, 1 to 1,000; default 160, as nginx.
    pub points: u32,
    /// [`RingKind::Xds`]: the fewest points of the ring, 1 to `ring_max`; default 1,024, as Envoy and gRPC.
    pub ring_min: u32,
    /// The most points of the ring, 1 to 8,388,608, which is the default and Envoy's. Rather than going beyond,
    /// [`RingKind::Fixed`] and [`RingKind::Ketama`] halve the points for a unit of weight, as often as it takes but
    /// for the last point of each instance: a fleet larger than `ring_max` has a point each.
    pub ring_max: u32,
}

/// Where the points of a ring stand, and how many an instance has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum RingKind {
    /// Points by the instance's key in the registry, a number of them for each unit of weight, so that no key moves that
    /// need not.
    ///
    /// Lest large weights blow up the ring, the points for a unit of weight are halved until an instance has those of
    /// seven units at most, on average: the shares of weights below a hundredth of the average are coarse. Only where
    /// the average weight crosses such a limit (7, 14, 28, 56, 112 and so on, which leaves the usual weights room to
    /// rise and to fall) do keys move that need not, nearly half of them then. Shares vary about
    /// the weights with a standard deviation of 1 / √points: by 8 % with 160 points.
    #[default]
    Fixed,
    /// The points of nginx and pingora (CRC-32 of host and port): 160 for each unit of weight, however large. Keys are
    /// to be hashed by [`ketama_key`](crate::balance::ketama_key); the low 32 bits count.
    ///
    /// Where two instances share a point, the one whose key in the registry is lower owns it; nginx leaves that open.
    /// Hosts are hashed as pingora does: an IPv6 address without brackets, which nginx hashes as they are configured;
    /// and an nginx server that is configured without a port has none in its points.
    Ketama,
    /// The points of Envoy and gRPC (XXH64 of `<host>:<port>_<number>`). Their number follows the whole fleet, so that
    /// more keys move: of ten instances one leaves, and at `ring_min` 1,024 it moves 17 % of the keys, not 10 %.
    ///
    /// Agrees with Envoy where its hosts stand in the order of the instances' keys, or have equal weights and a
    /// `ring_min` that is reached. An instance whose share of `ring_max` is below one point may own no key.
    Xds,
}

impl RingHashConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        problems.require((1..=POINTS_MAX).contains(&self.points), "points", self.points, "must be 1 to 1000");
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
pub(in crate::balance) struct RingHash {
    kind: RingKind,
    ring: Width,
}

/// A ring in points of 32 or of 64 bits.
#[derive(Debug)]
enum Width {
    Narrow(Ring<u64>),
    Wide(Ring<u128>),
}

/// The points, and whose they are.
#[derive(Debug)]
struct Ring<P> {
    /// In the order of the lineup.
    members: Box<[Member]>,
    circle: Arc<Circle<P>>,
}

/// An instance and how many points it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    endpoint: EndpointId,
    points: u32,
}

impl RingHash {
    pub(in crate::balance) fn build(
        config: &RingHashConfig,
        lineup: &Lineup<'_>,
        previous: Option<&dyn Picker>,
    ) -> Self {
        let previous = previous.and_then(|previous| (previous as &dyn Any).downcast_ref());
        Self::build_from(config, lineup, previous)
    }

    /// As [`RingHash::build`], taking over from `previous` what stays.
    pub(super) fn build_from(config: &RingHashConfig, lineup: &Lineup<'_>, previous: Option<&Self>) -> Self {
        let kind = config.kind;
        let previous = previous.filter(|previous| previous.kind == kind).map(|previous| &previous.ring);
        let counts = layout::counts(config, lineup);
        let member = |(at, points)| Member { endpoint: lineup.endpoint(at).id(), points };
        let members = counts.into_iter().enumerate().map(member).collect();
        let ring = match (kind, previous) {
            (RingKind::Xds, Some(Width::Wide(previous))) => {
                Width::Wide(Ring::build(kind, members, lineup, Some(previous)))
            }
            (RingKind::Xds, _) => Width::Wide(Ring::build(kind, members, lineup, None)),
            (RingKind::Fixed | RingKind::Ketama, Some(Width::Narrow(previous))) => {
                Width::Narrow(Ring::build(kind, members, lineup, Some(previous)))
            }
            (RingKind::Fixed | RingKind::Ketama, _) => Width::Narrow(Ring::build(kind, members, lineup, None)),
        };
        Self { kind, ring }
    }
}

impl<P: Point> Ring<P> {
    fn build(kind: RingKind, members: Box<[Member]>, lineup: &Lineup<'_>, previous: Option<&Self>) -> Self {
        let circle = previous.and_then(|previous| previous.changed(kind, &members, lineup));
        let circle = circle.unwrap_or_else(|| Arc::new(circle_of(kind, &members, lineup, 0..members.len())));
        Self { members, circle }
    }

    /// The circle of `members`, made from this one; none when most points differ.
    fn changed(&self, kind: RingKind, members: &[Member], lineup: &Lineup<'_>) -> Option<Arc<Circle<P>>> {
        let Changes { positions, gone, fresh } = Changes::between(&self.members, members);
        let points = fresh.iter().map(|&at| members[at].points as usize).sum::<usize>();
        if gone + points == 0 && self.members.len() == members.len() {
            return Some(Arc::clone(&self.circle));
        }
        if (gone + points) * 2 > self.circle.len() {
            return None;
        }
        let fresh = circle_of(kind, members, lineup, fresh.into_iter());
        Some(Arc::new(self.circle.merged(&positions, gone, &fresh)))
    }
}

/// The circle of those of `members` that are at `positions`.
fn circle_of<P: Point>(
    kind: RingKind,
    members: &[Member],
    lineup: &Lineup<'_>,
    positions: impl Iterator<Item = usize> + Clone,
) -> Circle<P> {
    let len = positions.clone().map(|at| members[at].points as usize).sum();
    let mut points = Vec::with_capacity(len);
    let mut maker = Maker::new(kind);
    for at in positions {
        maker.extend(&mut points, lineup.instance(at), at as u32, members[at].points);
    }
    Circle::new(points)
}

/// What became of the members of a ring.
#[derive(Debug)]
struct Changes {
    /// The new position of each old one, or [`GONE`].
    positions: Vec<u32>,
    /// How many points go.
    gone: usize,
    /// The new positions whose points must be made.
    fresh: Vec<usize>,
}

impl Changes {
    fn between(old: &[Member], new: &[Member]) -> Self {
        let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
        let same_end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(old, new)| old == new);
        let end = same_end.count();
        let mut middle: Vec<(EndpointId, usize)> = (start..new.len() - end).map(|at| (new[at].endpoint, at)).collect();
        middle.sort_unstable();
        let mut stayed = vec![false; middle.len()];
        let mut changes = Self { positions: (0..start as u32).collect(), gone: 0, fresh: Vec::new() };
        for member in &old[start..old.len() - end] {
            let found = middle.binary_search_by_key(&member.endpoint, |&(endpoint, _)| endpoint);
            let kept = found.map(|index| middle[index].1).ok().filter(|&at| new[at].points == member.points);
            if let Some(at) = kept {
                stayed[at - start] = true;
            } else {
                changes.gone += member.points as usize;
            }
            changes.positions.push(kept.map_or(GONE, |at| at as u32));
        }
        changes.positions.extend((new.len() - end..new.len()).map(|at| at as u32));
        changes.fresh.extend((start..new.len() - end).filter(|at| !stayed[at - start]));
        changes
    }
}

impl<P: Point> Order for Ring<P> {
    #[inline]
    fn first(&self, place: u64, lineup: &Lineup<'_>, mut accepts: impl FnMut(usize) -> bool) -> Option<Found> {
        let owner = self.circle.owner(place)?;
        if accepts(owner) {
            return Some(Found::owner(owner));
        }
        let successor = self.circle.from(place).skip(1).take(WALK_MAX).find(|&at| accepts(at));
        successor.map(Found::successor).or_else(|| order::race(place, lineup, accepts))
    }
}

impl Order for RingHash {
    #[inline]
    fn first(&self, hash: u64, lineup: &Lineup<'_>, accepts: impl FnMut(usize) -> bool) -> Option<Found> {
        match (&self.ring, self.kind) {
            (Width::Wide(ring), _) => ring.first(hash, lineup, accepts),
            (Width::Narrow(ring), RingKind::Ketama) => ring.first(hash & u64::from(u32::MAX), lineup, accepts),
            // Keys that are no hashes but small numbers must not all be at the start of the ring.
            (Width::Narrow(ring), RingKind::Fixed | RingKind::Xds) => ring.first(mix(hash) >> 32, lineup, accepts),
        }
    }
}

impl Picker for RingHash {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        order::pick(self, draw)
    }

    fn learns_from_success(&self) -> bool {
        false
    }
}

const RING_MAX: u32 = 8_388_608;
/// How many points are followed in search of an instance that may serve, before all instances are looked at.
const WALK_MAX: usize = 256;
