//! What is counted while a simulation runs. Only requests that come at or after the warm-up count.

use hdrhistogram::Histogram;
use mesh_core::time::Instant;

use crate::model::result::{Latency, Requests, Wait};

/// The counters of one run.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) requests: Requests,
    pub(super) attempts: u64,
    pub(super) retries: u64,
    pub(super) hedges: u64,
    pub(super) retries_denied: u64,
    latency: Durations,
    wait: Durations,
}

/// How a call ended that did not succeed; while it is under way, how its last attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failing {
    Failed,
    TimedOut,
    Rejected,
    Refused,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let (latency, wait) = (Durations::new(), Durations::new());
        Self { requests: Requests::default(), attempts: 0, retries: 0, hedges: 0, retries_denied: 0, latency, wait }
    }

    /// A measured request succeeded, so long after it was meant to come.
    #[inline]
    pub(super) fn succeeded(&mut self, nanos: u64) {
        self.requests.succeeded += 1;
        self.latency.record(nanos);
    }

    /// A measured request ended without success.
    pub(super) const fn failed(&mut self, how: Failing) {
        match how {
            Failing::Failed => self.requests.failed += 1,
            Failing::TimedOut => self.requests.timed_out += 1,
            Failing::Rejected => self.requests.rejected += 1,
            Failing::Refused => self.requests.refused += 1,
        }
    }

    /// An attempt of a measured request waited so long for its service.
    #[inline]
    pub(super) fn waited(&mut self, nanos: u64) {
        self.wait.record(nanos);
    }

    pub(super) fn latency(&self) -> Latency {
        let at = |quantile| self.latency.quantile(quantile);
        Latency {
            mean: self.latency.mean(),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: self.latency.max(),
        }
    }

    pub(super) fn wait(&self) -> Wait {
        Wait { mean: self.wait.mean(), p99: self.wait.quantile(0.99) }
    }
}

/// Durations in nanoseconds: the sum and the largest exact, the rest in a histogram of three significant digits.
#[derive(Debug)]
struct Durations {
    histogram: Histogram<u64>,
    sum: u128,
    max: u64,
}

impl Durations {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, DIGITS);
        #[expect(clippy::expect_used, reason = "the bounds and the digits are within what the crate documents")]
        let histogram = histogram.expect("the bounds are valid");
        Self { histogram, sum: 0, max: 0 }
    }

    #[inline]
    fn record(&mut self, nanos: u64) {
        self.histogram.saturating_record(nanos);
        self.sum += u128::from(nanos);
        self.max = self.max.max(nanos);
    }

    fn mean(&self) -> Option<f64> {
        let count = self.histogram.len();
        (count > 0).then(|| self.sum as f64 / count as f64 / NANOS_PER_MILLI)
    }

    fn max(&self) -> Option<f64> {
        (!self.histogram.is_empty()).then(|| self.max as f64 / NANOS_PER_MILLI)
    }

    /// The quantile, from the middle of its bucket, which is at most 0.1 % wide.
    fn quantile(&self, quantile: f64) -> Option<f64> {
        if self.histogram.is_empty() {
            return None;
        }
        let highest = self.histogram.value_at_quantile(quantile);
        let middle = self.histogram.median_equivalent(highest);
        Some(middle.min(self.max) as f64 / NANOS_PER_MILLI)
    }
}

/// The part of `from..to` that lies within `since..until`, in nanoseconds.
pub(super) fn overlap(from: Instant, to: Instant, window: (Instant, Instant)) -> u64 {
    to.min(window.1).as_nanos().saturating_sub(from.max(window.0).as_nanos())
}

const NANOS_PER_MILLI: f64 = 1e6;
const DIGITS: u8 = 3;
/// What a histogram of u64 can hold, by far longer than any run.
const LONGEST: u64 = u64::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_thousandth_and_the_mean_is_exact() {
        let mut durations = Durations::new();
        assert_eq!((durations.mean(), durations.quantile(0.5), durations.max()), (None, None, None));
        for step in 1..=100_000_u64 {
            durations.record(step * 977);
        }
        let exact = |quantile: f64| 977.0 * (quantile * 100_000.0).ceil() / NANOS_PER_MILLI;
        for quantile in [0.001, 0.5, 0.9, 0.99, 0.9999] {
            let found = durations.quantile(quantile).unwrap();
            assert!((found / exact(quantile) - 1.0).abs() < 0.001, "{quantile}: {found} for {}", exact(quantile));
        }
        assert_eq!(durations.mean(), Some(977.0 * 50_000.5 / NANOS_PER_MILLI));
        assert_eq!(durations.max(), Some(97.7));
    }

    #[test]
    fn overlaps_are_cut_to_the_window() {
        let at = Instant::from_nanos;
        assert_eq!(overlap(at(5), at(20), (at(10), at(15))), 5);
        assert_eq!(overlap(at(5), at(8), (at(10), at(15))), 0);
        assert_eq!(overlap(at(11), at(12), (at(10), at(15))), 1);
    }
}
