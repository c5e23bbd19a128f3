//! Whose turn it is: a count that all handles of a route share, and the place on a cycle that it has come to.
//!
//! A cycle that stays as it is goes on exactly where it was, however often its view is rebuilt. One that changes
//! cannot: the count modulo a new length is an arbitrary place, and where changes come in step with the turns it is
//! the same place every time, which starves whoever is elsewhere. Each change therefore moves the cycle on by an
//! irrational part of its length, so that the places at which changes find it are spread evenly over all of it
//! (Weyl, "Über die Gleichverteilung von Zahlen mod. Eins", 1916), whatever the changes are in step with.

use alloc::sync::Arc;

use crate::balance::lineup::Print;
use crate::balance::policy::Draw;
use crate::balance::view::Lineup;
use crate::rng::mix;
use crate::sync::{AtomicU64, Ordering};

/// A shared count of turns over a cycle of places.
#[derive(Debug)]
pub(in crate::balance::policy) struct Rotation {
    turn: Arc<AtomicU64>,
    /// Where the count began.
    first: u64,
    /// Stands for everything that the cycle depends on.
    print: Print,
    /// How often the cycle has changed since the first turn.
    changes: u32,
    start: u32,
    shift: u32,
    len: u32,
    /// 2^64 / `len`, rounded up; unused when there is one place.
    reciprocal: u64,
}

/// A turn: how many cycles are complete, the place on the cycle, and 32 bits for what depends on the former, which are 0
/// at first and random for each change: a second irrational step would now and then be in step with the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::balance::policy) struct Turn {
    pub(in crate::balance::policy) lap: u32,
    pub(in crate::balance::policy) place: u32,
    pub(in crate::balance::policy) shift: u32,
}

impl Rotation {
    /// The rotation over `len` places that follows `previous`. `print` stands for what is at the places.
    ///
    /// Without a previous one, or when no turn of it was taken, it begins at a place that the lineup's seed decides:
    /// the first for seed 0.
    pub(in crate::balance::policy) fn build(
        lineup: &Lineup<'_>,
        len: usize,
        print: Print,
        previous: Option<&Self>,
    ) -> Self {
        let begun = previous.filter(|previous| previous.turn.load(Ordering::Relaxed) != previous.first);
        let first = mix(lineup.seed()) >> 32;
        let (turn, first, changes) = match begun {
            None => (Arc::new(AtomicU64::new(first)), first, 0),
            Some(begun) => {
                let changes = begun.changes.wrapping_add(u32::from(begun.print != print));
                (Arc::clone(&begun.turn), begun.first, changes)
            }
        };
        let len = len as u32;
        let reciprocal = if len > 1 { u64::MAX / u64::from(len) + 1 } else { 0 };
        let start = (u64::from(changes.wrapping_mul(START_STEP)) * u64::from(len)) >> 32;
        let shift = mix(u64::from(changes)) as u32;
        Self { turn, first, print, changes, start: start as u32, shift, len, reciprocal }
    }

    /// The next turn. There must be a place.
    #[inline]
    pub(in crate::balance::policy) fn next(&self, draw: &mut Draw<'_>) -> Turn {
        self.at(draw.ticket(&self.turn))
    }

    /// The turn of a ticket, of which 32 bits count: after 2^32 turns the rotation is cut off once and begins anew.
    ///
    /// The quotient by multiplication is exact (Lemire, Kaser and Kurz, "Faster remainder by direct computation",
    /// 2019: 64 bits of reciprocal for dividends and divisors of 32).
    #[inline]
    fn at(&self, ticket: u64) -> Turn {
        let count = (ticket as u32).wrapping_add(self.start);
        if self.len <= 1 {
            return Turn { lap: count, place: 0, shift: self.shift };
        }
        let lap = ((u128::from(self.reciprocal) * u128::from(count)) >> 64) as u32;
        Turn { lap, place: count - lap * self.len, shift: self.shift }
    }
}

/// √2 − 1 in units of 2^-32.
const START_STEP: u32 = 0x6A09_E667;

#[cfg(test)]
mod tests {
    use super::*;

    fn rotation(len: u32, start: u32) -> Rotation {
        let reciprocal = if len > 1 { u64::MAX / u64::from(len) + 1 } else { 0 };
        Rotation {
            turn: Arc::default(),
            first: 0,
            print: Print::default(),
            changes: 0,
            start,
            shift: 0,
            len,
            reciprocal,
        }
    }

    #[test]
    fn the_reciprocal_divides_as_division_does() {
        let lens = [1, 2, 3, 5, 7, 10, 255, 256, 257, 10_000, 65_535, 65_536, 65_537, u32::MAX / 2, u32::MAX];
        for len in lens {
            let near = [len.wrapping_sub(1), len, len.wrapping_add(1), u32::MAX / len * len - 1, u32::MAX / len * len];
            for count in near.into_iter().chain([0, 1, 2, u32::MAX - 1, u32::MAX]) {
                let expected = Turn { lap: count / len, place: count % len, shift: 0 };
                assert_eq!(rotation(len, 0).at(u64::from(count)), expected, "{count} by {len}");
            }
        }
    }

    #[test]
    fn the_start_moves_the_turns_on_and_the_count_wraps() {
        assert_eq!(rotation(10, 7).at(5), Turn { lap: 1, place: 2, shift: 0 });
        assert_eq!(rotation(10, 7).at(u64::from(u32::MAX)), Turn { lap: 0, place: 6, shift: 0 });
        assert_eq!(rotation(10, 0).at(1 << 32), Turn { lap: 0, place: 0, shift: 0 });
    }
}
