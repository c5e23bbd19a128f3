//! The points of a ring in their order, and the way to the first at or after a place.
//!
//! Points are hashes, so they lie evenly: an index of equal arcs with two to four points each leads to a point in O(1),
//! and dealing the points out to the arcs sorts them in O(n).

use core::fmt::Debug;

/// A point: its place on the circle and, below it in the order, the position of the instance that it belongs to.
pub(super) trait Point: Copy + Debug + Default + Ord + Send + Sync + 'static {
    /// The point of the instance at `position`, at `place`; a point with fewer than 64 bits for places takes the low
    /// ones.
    fn new(place: u64, position: u32) -> Self;

    /// The instance that it belongs to.
    fn position(self) -> u32;

    /// The same point, with the position that its instance has by now.
    fn moved(self, position: u32) -> Self;

    /// The arc of `2^bits` that it lies in; `bits` is 1 to 31.
    fn arc(self, bits: u32) -> usize;
}

/// 32 bits of place: eight bytes a point.
impl Point for u64 {
    #[inline]
    fn new(place: u64, position: u32) -> Self {
        (place << 32) | Self::from(position)
    }

    #[inline]
    fn position(self) -> u32 {
        self as u32
    }

    #[inline]
    fn moved(self, position: u32) -> Self {
        (self & !Self::from(u32::MAX)) | Self::from(position)
    }

    #[inline]
    fn arc(self, bits: u32) -> usize {
        (self >> (Self::BITS - bits)) as usize
    }
}

/// 64 bits of place.
impl Point for u128 {
    #[inline]
    fn new(place: u64, position: u32) -> Self {
        (Self::from(place) << 64) | Self::from(position)
    }

    #[inline]
    fn position(self) -> u32 {
        self as u32
    }

    #[inline]
    fn moved(self, position: u32) -> Self {
        (self & !Self::from(u32::MAX)) | Self::from(position)
    }

    #[inline]
    fn arc(self, bits: u32) -> usize {
        (self >> (Self::BITS - bits)) as usize
    }
}

/// The points in their order. Several at one place stand in the order of their instances.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Circle<P> {
    points: Box<[P]>,
    /// How many points lie before each arc, and after the last arc how many there are.
    before: Box<[u32]>,
    bits: u32,
}

impl<P: Point> Circle<P> {
    /// The circle of `points`, in any order: fewer than 2^32. O(n).
    pub(super) fn new(mut points: Vec<P>) -> Self {
        let bits = arc_bits(points.len());
        let mut dealt = vec![P::default(); points.len()];
        let before = if points.len() > NEAR_MAX {
            deal(&points, &mut dealt, NEAR_BITS);
            core::mem::swap(&mut points, &mut dealt);
            deal(&points, &mut dealt, bits)
        } else {
            deal(&points, &mut dealt, bits)
        };
        let mut rest = &mut *dealt;
        for pair in before.windows(2) {
            let (arc, after) = rest.split_at_mut((pair[1] - pair[0]) as usize);
            arc.sort_unstable();
            rest = after;
        }
        Self { points: dealt.into(), before, bits }
    }

    /// This circle with each point given the position that `positions` has for its old one, without the `gone` for
    /// which it has [`GONE`], and with `fresh`. O(n), without sorting what was sorted: the positions that stay must be
    /// in the order that they were in.
    pub(super) fn merged(&self, positions: &[u32], gone: usize, fresh: &Self) -> Self {
        let len = self.points.len() - gone + fresh.points.len();
        let bits = arc_bits(len);
        let mut points = Vec::with_capacity(len);
        let mut fresh = fresh.points.iter().copied();
        let mut next = fresh.next();
        for point in &self.points {
            let position = positions[point.position() as usize];
            if position == GONE {
                continue;
            }
            let point = point.moved(position);
            while let Some(new) = next.filter(|&new| new < point) {
                points.push(new);
                next = fresh.next();
            }
            points.push(point);
        }
        points.extend(next.into_iter().chain(fresh));
        let before = count_before(&points, bits);
        Self { points: points.into(), before, bits }
    }

    pub(super) const fn len(&self) -> usize {
        self.points.len()
    }

    /// The instances of the points at and after `place`, all the way round. Empty when there are no points.
    #[inline]
    pub(super) fn from(&self, place: u64) -> impl Iterator<Item = usize> + '_ {
        let (after, until) = self.points.split_at(self.find(P::new(place, 0)));
        until.iter().chain(after).map(|point| point.position() as usize)
    }

    /// The instance of the first point at or after `place`.
    #[inline]
    pub(super) fn owner(&self, place: u64) -> Option<usize> {
        let point = self.points.get(self.find(P::new(place, 0))).or_else(|| self.points.first())?;
        Some(point.position() as usize)
    }

    /// The number of points before `needle`.
    #[inline]
    fn find(&self, needle: P) -> usize {
        let mut at = self.before[needle.arc(self.bits)] as usize;
        while self.points.get(at).is_some_and(|&point| point < needle) {
            at += 1;
        }
        at
    }
}

/// The position of points that are to go.
pub(super) const GONE: u32 = u32::MAX;

/// The power of two of arcs for `len` points, so that two to four points lie in each.
const fn arc_bits(len: usize) -> u32 {
    let bits = (usize::BITS - len.saturating_sub(1).leading_zeros()).saturating_sub(2);
    if bits == 0 { 1 } else { bits }
}

/// Deals `points` out to `2^bits` arcs, into as many places, and returns how many lie before each arc and after the last.
fn deal<P: Point>(points: &[P], places: &mut [P], bits: u32) -> Box<[u32]> {
    let mut before = vec![0_u32; (1 << bits) + 1];
    for point in points {
        before[point.arc(bits) + 1] += 1;
    }
    let mut sum = 0;
    for count in &mut before {
        sum += *count;
        *count = sum;
    }
    // Where the next point of each arc goes.
    let mut free = before.clone();
    for &point in points {
        let free = &mut free[point.arc(bits)];
        places[*free as usize] = point;
        *free += 1;
    }
    before.into()
}

/// How many of `points`, which are in their order, lie before each of `2^bits` arcs and after the last.
fn count_before<P: Point>(points: &[P], bits: u32) -> Box<[u32]> {
    let mut before = vec![0_u32; (1 << bits) + 1];
    for (index, point) in points.iter().enumerate() {
        // The last of an arc has the last word.
        before[point.arc(bits) + 1] = index as u32 + 1;
    }
    let mut most = 0;
    for count in &mut before {
        most = most.max(*count);
        *count = most;
    }
    before.into()
}

/// More points than this are dealt out twice, first to few arcs, so that the second time all goes to near places.
const NEAR_MAX: usize = 1 << 15;
/// The number of the few arcs is 2 to the power of this.
const NEAR_BITS: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Draws;

    #[test]
    fn the_index_leads_to_the_first_point_at_or_after_any_place() {
        for len in [1, 2, 3, 4, 5, 8, 9, 100, 1_000] {
            let mut draws = Draws::new(len);
            let points: Vec<u64> = (0..len).map(|at| Point::new(draws.next_u64() >> 32, at as u32)).collect();
            let circle = Circle::new(points.clone());
            let mut sorted = points.clone();
            sorted.sort_unstable();
            assert_eq!(*circle.points, *sorted);
            let ends = [0, u64::from(u32::MAX)];
            let near = points.iter().flat_map(|point| (point >> 32).saturating_sub(1)..=(point >> 32) + 1);
            for place in near.chain(ends).filter(|&place| place <= u64::from(u32::MAX)) {
                let first = sorted.iter().find(|&&point| point >> 32 >= place).or(sorted.first());
                assert_eq!(circle.owner(place), first.map(|&point| point as u32 as usize), "{place} of {len}");
                assert_eq!(circle.from(place).next(), circle.owner(place));
                assert_eq!(circle.from(place).count() as u64, len);
            }
        }
    }

    #[test]
    fn a_circle_without_points_has_no_owner() {
        let circle = Circle::<u128>::new(vec![]);
        assert_eq!((circle.owner(0), circle.owner(u64::MAX), circle.from(7).next()), (None, None, None));
    }

    #[test]
    fn points_at_one_place_stand_in_the_order_of_their_instances_however_the_circle_was_built() {
        let point = |place, position| <u64 as Point>::new(place, position);
        let old = Circle::new(vec![point(7, 2), point(7, 0), point(9, 1), point(7, 1)]);
        // 0 leaves, somebody joins between 1 and 2.
        let merged = old.merged(&[GONE, 0, 2], 1, &Circle::new(vec![point(7, 1), point(8, 1)]));
        let anew = Circle::new(vec![point(7, 2), point(9, 0), point(7, 0), point(7, 1), point(8, 1)]);
        assert_eq!(merged, anew);
        assert_eq!(merged.owner(7), Some(0));
        assert_eq!(merged.from(8).collect::<Vec<_>>(), [1, 0, 0, 1, 2]);
    }

    #[test]
    fn arcs_have_two_to_four_points() {
        for len in [9, 16, 17, 480, 1_600_000] {
            let each = len as f64 / f64::from(1_u32 << arc_bits(len));
            assert!(each > 2.0 && each <= 4.0, "{len}: {each}");
        }
    }
}
