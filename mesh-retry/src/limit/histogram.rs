//! Quantiles of round trips, for algorithms that would rather not see a mean.

use crate::sync::{AtomicU32, Ordering};

/// Counts of values in 464 buckets: exact below 32, and sixteen to an octave above, so that a quantile is off by 1/32 of
/// itself at most.
#[derive(Debug)]
pub(super) struct Histogram(Box<[AtomicU32]>);

impl Histogram {
    pub(super) fn new() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU32::new(0)).collect())
    }

    pub(super) fn add(&self, value: u32) {
        if let Some(bucket) = self.0.get(bucket_of(value)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The value below which `milli` thousandths of the counted lie, spread evenly over their bucket; all are taken out.
    /// None where none were counted.
    pub(super) fn take(&self, milli: u32) -> Option<u64> {
        let mut counts = [0_u32; BUCKETS];
        for (count, bucket) in counts.iter_mut().zip(&self.0) {
            *count = bucket.swap(0, Ordering::Relaxed);
        }
        let total: u64 = counts.iter().copied().map(u64::from).sum();
        let rank = (total * u64::from(milli)).div_ceil(1_000).clamp(1, total.max(1));
        let mut before = 0;
        for (bucket, count) in counts.iter().copied().map(u64::from).enumerate() {
            if before + count >= rank {
                let (lowest, width) = bounds_of(bucket);
                // Half a place down: the middle of the bucket where it holds one value.
                return Some(lowest + width * (2 * (rank - before) - 1) / (2 * count));
            }
            before += count;
        }
        None
    }
}

fn bucket_of(value: u32) -> usize {
    let octave = value.checked_ilog2().unwrap_or(0).saturating_sub(SUB_BITS);
    (octave * SUB + (value >> octave)) as usize
}

/// The lowest value of a bucket, and how many it has.
const fn bounds_of(bucket: usize) -> (u64, u64) {
    let octave = (bucket as u64 / SUB as u64).saturating_sub(1);
    ((bucket as u64 - octave * SUB as u64) << octave, 1 << octave)
}

const SUB_BITS: u32 = 4;
const SUB: u32 = 1 << SUB_BITS;
/// Of values of 32 bits: two times sixteen that are exact, and 27 octaves.
#[cfg(not(mesh_loom))]
const BUCKETS: usize = 464;
/// Few enough to explore.
#[cfg(mesh_loom)]
const BUCKETS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut next = 0;
        for bucket in 0..BUCKETS {
            let (lowest, width) = bounds_of(bucket);
            assert_eq!(lowest, next, "bucket {bucket}");
            assert_eq!(bucket_of(lowest as u32), bucket);
            assert_eq!(bucket_of((lowest + width - 1) as u32), bucket);
            next = lowest + width;
        }
        assert_eq!(next, 1 << 32);
    }

    #[test]
    fn a_quantile_is_off_by_a_thirty_second_at_most() {
        let histogram = Histogram::new();
        assert_eq!(histogram.take(500), None);
        for value in [0, 1, 31, 32, 1_000, 123_456, u32::MAX] {
            histogram.add(value);
            let found = histogram.take(500).unwrap();
            assert!(found.abs_diff(u64::from(value)) <= u64::from(value) / 32, "{value} is taken for {found}");
        }
        (1..=10_000).for_each(|value| histogram.add(value));
        let found = histogram.take(900).unwrap();
        assert!(found.abs_diff(9_000) <= 9_000 / 32, "{found}");
        for (milli, expected) in [(0, 3), (1, 3), (333, 3), (334, 5), (1_000, 7)] {
            [3, 5, 7].into_iter().for_each(|value| histogram.add(value));
            assert_eq!(histogram.take(milli), Some(expected), "{milli} thousandths");
        }
    }
}
