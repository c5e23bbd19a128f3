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

use alloc::collections::VecDeque;

use super::greatest_common_divisor;
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
    /// The columns of `weights`, none of which is 0. O(n).
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

/// Every light candidate's column, and to whom it passes turns on. O(n).
///
/// A heavy candidate takes over from one light one after the other until it has what it is to get. They give in an order
/// of golden steps, so that those who give to one are spread over the whole lap.
fn columns(weights: &[u32]) -> Box<[Column]> {
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    // In turns a lap, times the total weight: exact.
    let mut shares: Vec<u64> = weights.iter().map(|&weight| u64::from(weight) * weights.len() as u64).collect();
    let mut givers = in_golden_steps((0..shares.len()).filter(|&at| shares[at] < total).collect());
    let mut takers: VecDeque<usize> = (0..shares.len()).filter(|&at| shares[at] > total).collect();
    let mut columns = vec![Column::ALL; weights.len()];
    while let (Some(giver), Some(&taker)) = (givers.pop_front(), takers.front()) {
        columns[giver] = Column { own: part(shares[giver], total), other: taker as u32 };
        shares[taker] -= total - shares[giver];
        if shares[taker] <= total {
            takers.pop_front();
        }
        if shares[taker] < total {
            givers.push_back(taker);
        }
    }
    columns.into_boxed_slice()
}

/// `share` of `total`, which is greater, in units of 2^-32; 1 at least.
fn part(share: u64, total: u64) -> u32 {
    let own = match u32::try_from(total) {
        Ok(_) => (share << 32) / total,
        Err(_) => ((u128::from(share) << 32) / u128::from(total)) as u64,
    };
    (own as u32).max(1)
}

/// `all`, each once: every next one about 0.618 of the whole further on.
fn in_golden_steps(all: Vec<usize>) -> VecDeque<usize> {
    let count = all.len();
    let golden = (count as u64 * u64::from(PHASE_STEP)) >> 32;
    let step = (golden.max(1)..).find(|&step| greatest_common_divisor(step, count as u64) == 1).unwrap_or(1);
    let mut at = 0;
    let next = |_| {
        let here = at;
        at = (at + step as usize) % count;
        all[here]
    };
    (0..count).map(next).collect()
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
    fn those_who_pass_turns_on_to_one_are_spread_over_the_lap() {
        for (heavy, weight) in [(10, 101), (3, 40), (1, 1_000)] {
            let weights: Vec<u32> = (0..200).map(|at| if at < heavy { weight } else { 1 }).collect();
            let columns = columns(&weights);
            for taker in 0..heavy {
                let givers: Vec<usize> = (heavy..200).filter(|&at| columns[at].other as usize == taker).collect();
                let mean = (200 - heavy) as f64 / givers.len() as f64;
                // Round the lap: from the last to the first of the next one too.
                let next = givers.iter().skip(1).copied().chain([givers[0] + 200 - heavy]);
                let gaps = givers.iter().zip(next).map(|(giver, next)| (next - giver) as f64 / mean);
                let widest = gaps.fold(0.0, f64::max);
                assert!(givers.len() > 2 && widest < 3.0, "{heavy} of {weight}, {taker}: {givers:?}");
            }
        }
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
