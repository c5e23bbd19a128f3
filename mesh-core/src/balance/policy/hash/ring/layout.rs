//! How many points each instance has, and where they stand.

use core::fmt::Write as _;

use xxhash_rust::xxh64::xxh64;

use super::circle::Point;
use super::{RING_MAX, RingHashConfig, RingKind};
use crate::balance::policy::hash::order;
use crate::balance::view::Lineup;
use crate::rng::Draws;
use crate::service::Instance;

/// How many points the instance at each position has.
pub(super) fn counts(config: &RingHashConfig, lineup: &Lineup<'_>) -> Vec<u32> {
    let weights: Vec<u32> = (0..lineup.len()).map(|at| lineup.weight(at)).collect();
    let points = config.points.clamp(1, POINTS_MAX);
    let ring_max = config.ring_max.clamp(1, RING_MAX);
    match config.kind {
        RingKind::Fixed => {
            let fair = u64::from(points) * UNITS_MEAN_MAX * weights.len() as u64;
            by_weight(points, &weights, fair.min(ring_max.into()))
        }
        RingKind::Ketama => by_weight(points, &weights, ring_max.into()),
        RingKind::Xds => by_scale(config.ring_min.clamp(1, ring_max), ring_max, &weights),
    }
}

/// `points` for each unit of weight, halved as often as it takes for the ring to have `most` points or fewer: then to
/// the nearest point, and to one at least.
///
/// The halvings depend on the sum of the weights and not on any single one, so that a change of one instance changes
/// the points of the others only where the sum crosses a power of two of the limit.
fn by_weight(points: u32, weights: &[u32], most: u64) -> Vec<u32> {
    let count = |weight: u32, halvings: u32| {
        let exact = u64::from(weight) * u64::from(points);
        ((exact + (1 << halvings >> 1)) >> halvings).max(1)
    };
    let fits = |&halvings: &u32| weights.iter().map(|&weight| count(weight, halvings)).sum::<u64>() <= most;
    let halvings = (0..HALVINGS_MAX).find(fits).unwrap_or(HALVINGS_MAX);
    weights.iter().map(|&weight| count(weight, halvings) as u32).collect()
}

/// Envoy's and gRPC's (A42): the lightest instance has a whole number of points, the others as many as keep the running
/// sum at or above their share. The same operations on the same floats as theirs, in the order of the lineup.
fn by_scale(ring_min: u32, ring_max: u32, weights: &[u32]) -> Vec<u32> {
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    let share = |weight: u32| f64::from(weight) / total as f64;
    let least = weights.iter().copied().min().map_or(1.0, share);
    let scale = ((least * f64::from(ring_min)).ceil() / least).min(f64::from(ring_max));
    let (mut target, mut current) = (0.0_f64, 0.0_f64);
    let count = |&weight: &u32| {
        target += scale * share(weight);
        let before = current;
        // They add points one by one while the whole number `current` is below the target.
        current = current.max(target.ceil());
        (current - before) as u32
    };
    weights.iter().map(count).collect()
}

/// Makes the points of instances; what they have is the beginning of an endless sequence of their own.
#[derive(Debug)]
pub(super) struct Maker {
    kind: RingKind,
    text: String,
}

impl Maker {
    pub(super) const fn new(kind: RingKind) -> Self {
        Self { kind, text: String::new() }
    }

    /// Adds the first `count` points of `instance`, which is at `position`.
    pub(super) fn extend<P: Point>(&mut self, points: &mut Vec<P>, instance: &Instance, position: u32, count: u32) {
        match self.kind {
            RingKind::Fixed => {
                let mut draws = Draws::new(order::identity(instance));
                points.extend((0..count).map(|_| P::new(draws.next_u64() >> 32, position)));
            }
            RingKind::Ketama => points.extend(ketama(instance, count).map(|place| P::new(place.into(), position))),
            RingKind::Xds => self.extend_hashed(points, instance, position, count),
        }
    }

    /// The XXH64 of `<host>:<port>_<number>`, numbered from 0.
    fn extend_hashed<P: Point>(&mut self, points: &mut Vec<P>, instance: &Instance, position: u32, count: u32) {
        self.text.clear();
        order::push_address(&mut self.text, instance);
        self.text.push('_');
        let stem = self.text.len();
        for number in 0..count {
            self.text.truncate(stem);
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{number}");
            points.push(P::new(xxh64(self.text.as_bytes(), 0), position));
        }
    }
}

/// nginx's and pingora's: the CRC-32 of host, zero byte, port and the point before, which is four bytes with the lowest
/// first and 0 before the first point.
fn ketama(instance: &Instance, count: u32) -> impl Iterator<Item = u32> {
    let mut stem = crc32fast::Hasher::new();
    stem.update(instance.host().as_str().as_bytes());
    stem.update(b"\0");
    stem.update(instance.port().to_string().as_bytes());
    (0..count).scan(0_u32, move |previous, _| {
        let mut hasher = stem.clone();
        hasher.update(&previous.to_le_bytes());
        *previous = hasher.finalize();
        Some(*previous)
    })
}

/// The range of [`RingHashConfig::points`].
pub(super) const POINTS_MAX: u32 = 1_000;
/// The units of weight that an instance has points for at most, on average. With seven, no limit (7, 14, 28, 56, 112,
/// 896, 1,792) is near even weights of 1 to 6, 10, 20, 50, 100 or 1,000, whether they rise or fall.
const UNITS_MEAN_MAX: u64 = 7;
/// So many leave one point to every weight: 65,535 × 1,000 is below 2^26.
const HALVINGS_MAX: u32 = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_go_by_weight_until_the_ring_is_full_and_are_halved_then() {
        assert_eq!(by_weight(160, &[1, 1, 2], 10_000), [160, 160, 320]);
        assert_eq!(by_weight(160, &[1, 1, 2], 640), [160, 160, 320]);
        assert_eq!(by_weight(160, &[1, 1, 2], 639), [80, 80, 160]);
        assert_eq!(by_weight(160, &[1, 65_535], 5 * 320), [1, 1_280], "to the nearest, and one at least");
        assert_eq!(by_weight(160, &[3, 65_535], 6_000_000), [240, 5_242_800]);
        assert_eq!(by_weight(1, &[5, 3], 7), [3, 2], "2.5 and 1.5 are rounded up");
        assert_eq!(by_weight(1_000, &[65_535; 3], 2), [1, 1, 1], "nobody is left without a point");
    }

    #[test]
    fn the_scale_of_envoy_gives_the_lightest_a_whole_number_of_points() {
        assert_eq!(by_scale(12, 8_388_608, &[1; 6]), [2; 6]);
        assert_eq!(by_scale(3, 8_388_608, &[1, 1]), [2, 2]);
        assert_eq!(by_scale(6, 6, &[1, 2, 3]), [1, 2, 3]);
        assert_eq!(by_scale(6_144, 8_388_608, &[1, 2, 3]), [1_024, 2_048, 3_072]);
        assert_eq!(by_scale(6, 6, &[1; 4]), [2, 1, 2, 1], "one and a half each");
        assert_eq!(by_scale(1, 4, &[1; 8]), [1, 0, 1, 0, 1, 0, 1, 0], "a ring too small leaves some without a point");
    }
}
