//! What requests have shown since an algorithm was last asked.

use core::time::Duration;

use mesh_core::time::saturating_nanos;

use super::algorithm::Sample;
use super::config::Aggregate;
use super::histogram::Histogram;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The samples of a window, gathered by many threads and taken by one.
///
/// A sample is one addition to one word, in which the count (24 bits) and the sum of the round trips (40 bits, in units
/// of 64 ns) stand side by side, so that whoever takes them takes a count and the sum of just that many.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Samples {
    sums: AtomicU64,
    /// The most in flight at any admission, and in the highest bit whether any was dropped.
    peak: AtomicU32,
    /// The round trip of the last window in units; none yet where it is zero.
    last: AtomicU64,
    /// Of round trips, where a quantile is wanted.
    histogram: Option<(Histogram, u32)>,
}

impl Samples {
    pub(super) fn new(aggregate: Aggregate) -> Self {
        let histogram = match aggregate {
            Aggregate::Mean => None,
            Aggregate::Quantile { milli } => Some((Histogram::new(), milli)),
        };
        Self { sums: AtomicU64::new(0), peak: AtomicU32::new(0), last: AtomicU64::new(0), histogram }
    }

    /// Adds a request that was admitted as the `in_flight`-th and took `rtt`.
    ///
    /// How soon a dropped request failed says nothing of how long the work takes: it counts for the round trip of the
    /// window before at least. Nothing is added to a window that is full, but for the peak.
    pub(super) fn add(&self, rtt: Duration, in_flight: u32, dropped: bool) {
        let least = if dropped { self.last.load(Ordering::Relaxed) } else { 1 };
        let units = (saturating_nanos(rtt) / UNIT).clamp(least.clamp(1, UNITS_MAX), UNITS_MAX);
        self.raise_peak(in_flight.min(DROPPED - 1) | if dropped { DROPPED } else { 0 });
        if Sums(self.sums.load(Ordering::Relaxed)).are_full() {
            return;
        }
        if let Some((histogram, _)) = &self.histogram {
            histogram.add(units as u32);
        }
        // Releases what was written above to whoever takes this sample.
        self.sums.fetch_add(units << COUNT_BITS | 1, Ordering::Release);
    }

    /// How many samples there are, and whether there is no room for more.
    pub(super) fn count(&self) -> (u32, bool) {
        let sums = Sums(self.sums.load(Ordering::Relaxed));
        (sums.count(), sums.are_full())
    }

    /// Takes all samples, and begins a window without any. To be called by one thread at a time.
    pub(super) fn take(&self) -> Option<Sample> {
        let sums = Sums(self.sums.swap(0, Ordering::Acquire));
        let mean = sums.mean()?;
        let peak = self.peak.swap(0, Ordering::Relaxed);
        let quantile = self.histogram.as_ref().and_then(|(histogram, milli)| histogram.take(*milli));
        // None where whoever came before has taken its part of what was added meanwhile.
        let units = quantile.unwrap_or(mean);
        self.last.store(units, Ordering::Relaxed);
        Some(Sample {
            rtt: Duration::from_nanos(units * UNIT),
            count: sums.count(),
            in_flight: peak & !DROPPED,
            dropped: peak & DROPPED != 0,
        })
    }

    /// The round trip of the last window.
    pub(super) fn last(&self) -> Option<Duration> {
        let units = self.last.load(Ordering::Relaxed);
        (units > 0).then(|| Duration::from_nanos(units * UNIT))
    }

    fn raise_peak(&self, with: u32) {
        let raised = |peak: u32| {
            let both = (peak & !DROPPED).max(with & !DROPPED) | (peak | with) & DROPPED;
            (both != peak).then_some(both)
        };
        // Refused where it is as high already, which costs a load only.
        let _ = self.peak.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised);
    }
}

/// A count and the sum of just that many.
#[derive(Clone, Copy, Debug)]
struct Sums(u64);

impl Sums {
    const fn count(self) -> u32 {
        (self.0 & COUNT) as u32
    }

    /// Whether either half is more than half full. What threads add that have not seen it yet still has room.
    const fn are_full(self) -> bool {
        self.count() as u64 > COUNT / 2 || self.0 >> 63 == 1
    }

    const fn mean(self) -> Option<u64> {
        (self.0 >> COUNT_BITS).checked_div(self.count() as u64)
    }
}

/// Nanoseconds in a unit.
const UNIT: u64 = 64;
/// The longest round trip that is told from a longer one: 275 s.
const UNITS_MAX: u64 = u32::MAX as u64;
const COUNT_BITS: u32 = 24;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const DROPPED: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_window_is_the_mean_of_its_samples_and_their_peak() {
        let samples = Samples::new(Aggregate::Mean);
        assert_eq!(samples.take(), None);
        for (rtt, in_flight) in [(1, 4), (2, 9), (6, 7)] {
            samples.add(MS * rtt, in_flight, false);
        }
        assert_eq!(samples.take(), Some(Sample { rtt: MS * 3, count: 3, in_flight: 9, dropped: false }));
        assert_eq!((samples.take(), samples.last()), (None, Some(MS * 3)));
    }

    #[test]
    fn a_request_that_fails_at_once_does_not_look_fast() {
        let samples = Samples::new(Aggregate::Mean);
        samples.add(MS * 8, 1, false);
        let _ = samples.take();
        samples.add(Duration::ZERO, 1, true);
        samples.add(MS * 8, 2, false);
        assert_eq!(samples.take(), Some(Sample { rtt: MS * 8, count: 2, in_flight: 2, dropped: true }));
        samples.add(MS * 20, 1, true);
        assert_eq!(samples.take(), Some(Sample { rtt: MS * 20, count: 1, in_flight: 1, dropped: true }));
        samples.add(MS, 1, false);
        assert_eq!(samples.take(), Some(Sample { rtt: MS, count: 1, in_flight: 1, dropped: false }));
    }

    #[test]
    fn no_round_trip_is_nothing_and_none_is_for_ever() {
        let samples = Samples::new(Aggregate::Mean);
        samples.add(Duration::ZERO, 1, false);
        assert_eq!(samples.take().map(|sample| sample.rtt), Some(Duration::from_nanos(64)));
        let fresh = Samples::new(Aggregate::Mean);
        fresh.add(Duration::ZERO, 1, true);
        assert_eq!(fresh.take().map(|sample| sample.rtt), Some(Duration::from_nanos(64)), "with nothing before it");
        samples.add(Duration::MAX, u32::MAX, false);
        let longest = Duration::from_nanos(64 * UNITS_MAX);
        let expected = Sample { rtt: longest, count: 1, in_flight: DROPPED - 1, dropped: false };
        assert_eq!(samples.take(), Some(expected));
    }

    #[test]
    fn a_window_that_is_full_takes_no_more_and_does_not_overflow() {
        let samples = Samples::new(Aggregate::Mean);
        let long = Duration::from_nanos(64 * UNITS_MAX);
        (0..1_000).for_each(|_| samples.add(long, 1, false));
        // 2^39 units and a few, of 2^32 - 1 each.
        assert_eq!(samples.count(), (129, true));
        assert_eq!(samples.take().map(|sample| sample.rtt), Some(long));
    }

    #[test]
    fn a_quantile_is_taken_where_one_is_wanted() {
        let samples = Samples::new(Aggregate::Quantile { milli: 500 });
        for rtt in [1, 1, 2, 90, 900] {
            samples.add(MS * rtt, 1, false);
        }
        let rtt = samples.take().map(|sample| sample.rtt.as_secs_f64() * 1e3);
        assert!(rtt.is_some_and(|rtt| (rtt - 2.0).abs() < 0.07), "{rtt:?}");
        assert_eq!((samples.take(), samples.count()), (None, (0, false)));
    }
}
