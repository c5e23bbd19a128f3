//! Laps over the candidates, in which a light one passes part of its turns on to a heavy one.
//!
//! With n candidates a lap has n turns, one for each. A candidate of less than the mean weight keeps only its share of
//! its turns, `own`, and passes the rest on to one that has more: Walker's alias table, read not by random numbers but
//! in order. Whether a turn is kept is gRPC's rule (gRFC A58, `static_stride_scheduler.cc`): in lap g it is when
//! `(own * g + phase) mod 2^32 >= 2^32 - own`, so that of any number of laps in a row the candidate keeps its exact
//! share, rounded up or down, as evenly spread as can be.
//!
//! gRPC skips a turn where this passes it on. One turn a pick is what bounds the work, and what keeps the shares when
//! a handle makes a single pick and goes, or a view is changed after each pick: the pick that follows a skipped turn
//! would be more likely the longer the run of skipped ones before it. The phases are multiples of the golden ratio
//! where gRPC alternates between two, which lets a hundred equal candidates take their turns in two bursts.

use alloc::collections::{BinaryHeap, VecDeque};
use core::cmp::Reverse;

use crate::balance::policy::round_robin::Turn;

/// One column for each candidate.
#[derive(Debug)]
pub(super) struct Stride {
    columns: Box<[Column]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    /// The part of its turns that the candidate keeps, of 2^32; 0 stands for all.
    own: u32,
    /// Who has the others.
    other: u32,
}

impl Column {
    const ALL: Self = Self { own: 0, other: 0 };

    #[inline]
    const fn keeps(self, phase: u32) -> bool {
        phase >= self.own.wrapping_neg()
    }
}

impl Stride {
    /// The columns of `weights`, none of which is 0. O(n log n).
    pub(super) fn build(weights: &[u32]) -> Self {
        Self { columns: columns(weights) }
    }

    /// How many turns a lap has.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Who is picked at `turn`.
    #[inline]
    pub(super) fn at(&self, turn: Turn) -> usize {
        let column = self.columns[turn.place as usize];
        let phase = turn.place.wrapping_mul(PHASE_STEP).wrapping_add(turn.shift);
        let keeps = column.keeps(column.own.wrapping_mul(turn.lap).wrapping_add(phase));
        if keeps { turn.place as usize } else { column.other as usize }
    }

    /// The position that 64 random bits stand for, each as likely as its weight.
    pub(super) fn sample(&self, bits: u64) -> usize {
        let place = ((bits >> 32) * self.columns.len() as u64) >> 32;
        let column = self.columns[place as usize];
        if column.keeps(bits as u32) { place as usize } else { column.other as usize }
    }
}

/// Every light candidate's column, and to whom it passes turns on: to the heavy candidate that has had the least of
/// what it is to get, so that each gets its part from all over the lap.
fn columns(weights: &[u32]) -> Box<[Column]> {
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    // In turns a lap, times the total weight: exact.
    let mut shares: Vec<u64> = weights.iter().map(|&weight| u64::from(weight) * weights.len() as u64).collect();
    let mut light: VecDeque<usize> = (0..shares.len()).filter(|&at| shares[at] < total).collect();
    let heavy = (0..shares.len()).filter(|&at| shares[at] > total);
    let mut heavy: BinaryHeap<Reverse<Taker>> =
        heavy.map(|at| Reverse(Taker::new(at, shares[at] - total, total))).collect();
    let mut columns = vec![Column::ALL; weights.len()];
    while let (Some(giver), Some(Reverse(taker))) = (light.pop_front(), heavy.pop()) {
        let own = (u128::from(shares[giver]) << 32) / u128::from(total);
        columns[giver] = Column { own: (own as u32).max(1), other: taker.at as u32 };
        let given = total - shares[giver];
        shares[taker.at] -= given;
        if shares[taker.at] < total {
            light.push_back(taker.at);
        } else if shares[taker.at] > total {
            heavy.push(Reverse(taker.after(given, total)));
        }
    }
    columns.into_boxed_slice()
}

/// A heavy candidate, ordered by the part that it has had of what it is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Taker {
    /// What it has had and half a turn more, in 2^-32 of what it is to get.
    had: u128,
    at: usize,
    taken: u64,
    wanted: u64,
}

impl Taker {
    fn new(at: usize, wanted: u64, turn: u64) -> Self {
        Self { had: 0, at, taken: 0, wanted }.after(0, turn)
    }

    fn after(self, given: u64, turn: u64) -> Self {
        let taken = self.taken + given;
        let had = (u128::from(taken + turn / 2) << 32) / u128::from(self.wanted);
        Self { had, taken, ..self }
    }
}

/// The golden ratio less one in units of 2^-32: its multiples are as evenly spread as can be (three-distance theorem).
const PHASE_STEP: u32 = 0x9E37_79B9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_give_everybody_its_weight() {
        let tiny_behind: Vec<u32> = (0..1_000).map(|at| if at == 0 { 65_535 } else { 1 }).collect();
        let all = [vec![1], vec![3, 1], vec![65_535, 1], vec![5, 1, 1], tiny_behind, (1..=500).collect()];
        for weights in all.into_iter().chain([vec![u32::MAX, 1, 7]]) {
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            let mut turns = vec![0.0; weights.len()];
            for (at, column) in columns(&weights).iter().enumerate() {
                let own = if column.own == 0 { 1.0 } else { f64::from(column.own) / 4_294_967_296.0 };
                turns[at] += own;
                turns[column.other as usize] += 1.0 - own;
            }
            for (at, &weight) in weights.iter().enumerate() {
                let exact = f64::from(weight) / total * weights.len() as f64;
                assert!((turns[at] - exact).abs() < 2e-7, "{at}: {} turns of {exact}", turns[at]);
            }
        }
    }

    #[test]
    fn equal_weights_keep_all_their_turns() {
        assert_eq!(*columns(&[12; 7]), [Column::ALL; 7]);
        assert_eq!(*columns(&[]), []);
    }

    #[test]
    fn turns_are_passed_on_to_the_heavy_ones_in_turn_and_not_to_one_after_the_other() {
        let weights: Vec<u32> = (0..100).map(|at| if at < 10 { 101 } else { 1 }).collect();
        let takers: Vec<u32> = columns(&weights)[10..30].iter().map(|column| column.other).collect();
        let twice: Vec<u32> = (0..20).map(|at| at % 10).collect();
        assert_eq!(takers, twice);
    }

    #[test]
    fn random_bits_stand_for_everybody_by_weight() {
        let stride = Stride::build(&[5, 1, 3, 1]);
        let mut counts = [0_u32; 4];
        for step in 0..10_000_u64 {
            counts[stride.sample(crate::rng::mix(step))] += 1;
        }
        for (count, expected) in counts.into_iter().zip([5_000, 1_000, 3_000, 1_000]) {
            assert!(count.abs_diff(expected) < 150, "{counts:?}");
        }
    }
}
