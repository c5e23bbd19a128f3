//! The detectors that look at the whole fleet, as pure functions of one interval.
//!
//! All sums run in the order of the keys, and every function of floats is libm's: the same interval gives the same
//! verdict on every machine.

use core::time::Duration;

use super::detectors::{CorrelatedFailure, FailurePercentage, LatencyOutlier, SuccessRate};
use super::event::Cause;
use super::reading::{Interval, Origin};
use crate::balance::Tally;

/// How the attempts on one instance ended within the interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rated {
    /// Which instance.
    pub(super) slot: usize,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
}

/// An instance that a detector found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) slot: usize,
    /// How bad it is among those found by the same detector.
    pub(super) severity: f64,
    pub(super) cause: Cause,
}

/// Memory that is kept from sweep to sweep, so that sweeps need not ask for any.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) intervals: Vec<(usize, Interval)>,
    pub(super) rated: Vec<Rated>,
    pub(super) found: Vec<Found>,
    /// Those with a long run of failures.
    pub(super) failing: Vec<usize>,
    sorted: Vec<u64>,
    cuts: Vec<(u64, usize)>,
    logs: Vec<(usize, f64)>,
    ranks: Vec<f64>,
}

impl Rated {
    const fn volume(&self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    /// The success rate in percent.
    fn rate(&self) -> f64 {
        100.0 * self.succeeded as f64 / self.volume() as f64
    }

    /// The success rate in millionths, rounded down.
    fn rate_ppm(&self) -> u64 {
        let ppm = u128::from(self.succeeded) * u128::from(PPM) / u128::from(self.volume().max(1));
        u64::try_from(ppm).unwrap_or(PPM)
    }
}

impl Scratch {
    /// Rates the attempts of `origin`.
    pub(super) fn rate(&mut self, origin: Origin, overloaded_is_failure: bool) {
        self.rated.clear();
        self.rated.extend(self.intervals.iter().map(|(slot, interval)| {
            let (succeeded, failed) = interval.outcomes(origin, overloaded_is_failure);
            Rated { slot: *slot, succeeded, failed }
        }));
    }

    /// Finds those whose success rate is below mean − factor · deviation. The deviation is that of the population.
    pub(super) fn find_low_rates(&mut self, origin: Origin, by: &SuccessRate) {
        self.found.clear();
        let counted = || self.rated.iter().filter(|rated| rated.volume() >= by.volume_min.get());
        let count = counted().count();
        if count < by.hosts_min.get() as usize {
            return;
        }
        let mean = counted().map(Rated::rate).sum::<f64>() / count as f64;
        let squares = counted().map(|rated| (rated.rate() - mean) * (rated.rate() - mean)).sum::<f64>();
        let deviation = libm::sqrt(squares / count as f64);
        let threshold = mean - f64::from(by.stdev_factor_milli.get()) / 1000.0 * deviation;
        let all = counted().fold((0, 0), pooled);
        let is_low = |rated: &Rated| {
            let rate = rated.rate();
            let others = (all.0.saturating_sub(rated.failed), all.1.saturating_sub(rated.volume()));
            rate < threshold
                && mean - rate >= f64::from(by.gap_min_percent)
                && is_no_accident(rated, others, by.false_alarms_per_million)
        };
        self.found.extend(counted().filter(|rated| is_low(rated)).map(|rated| {
            let rate = rated.rate();
            let cause = Cause::SuccessRate { origin, rate, mean, deviation, threshold };
            Found { slot: rated.slot, severity: -rate, cause }
        }));
    }

    /// Finds those that fail more than a share.
    pub(super) fn find_failing(&mut self, origin: Origin, by: &FailurePercentage) {
        self.found.clear();
        let counted = || self.rated.iter().filter(|rated| rated.volume() >= by.volume_min.get());
        if counted().count() < by.hosts_min.get() as usize {
            return;
        }
        let threshold = by.threshold_percent;
        let is_failing = |rated: &Rated| {
            let (failed, allowed) =
                (u128::from(rated.failed) * 100, u128::from(rated.volume()) * u128::from(threshold));
            failed > allowed || (by.threshold_included && failed == allowed)
        };
        self.found.extend(counted().filter(|rated| is_failing(rated)).map(|rated| {
            let percentage = 100.0 * rated.failed as f64 / rated.volume() as f64;
            let cause = Cause::FailurePercentage { origin, percentage, threshold };
            Found { slot: rated.slot, severity: percentage, cause }
        }));
    }

    /// Finds the part of the fleet below the widest gap between two neighbours' success rates that is no accident.
    pub(super) fn find_correlated(&mut self, origin: Origin, by: &CorrelatedFailure) {
        self.found.clear();
        if !self.sort_and_cut(by) {
            return;
        }
        for &(gap, cut) in &self.cuts {
            let (below, above) = self.sorted.split_at(cut);
            let rest = above.iter().map(|entry| rated_of(&self.rated, *entry)).fold((0, 0), pooled);
            let others = 100.0 - 100.0 * rest.0 as f64 / rest.1 as f64;
            let bad = below.iter().map(|entry| rated_of(&self.rated, *entry));
            let bad = bad.filter(|rated| is_no_accident(rated, rest, by.false_alarms_per_million));
            self.found.extend(bad.map(|rated| {
                let (rate, gap) = (rated.rate(), gap as f64 / PPM_OF_PERCENT as f64);
                let cause = Cause::CorrelatedFailure { origin, rate, others, gap, below: cut };
                Found { slot: rated.slot, severity: -rate, cause }
            }));
            if !self.found.is_empty() {
                return;
            }
        }
    }

    /// Puts the success rates in order, and the gaps between neighbours that are wide enough, the widest first and of
    /// equal ones that with more below. Returns whether there is any.
    fn sort_and_cut(&mut self, by: &CorrelatedFailure) -> bool {
        self.sorted.clear();
        let counted = self.rated.iter().enumerate().filter(|(_, rated)| rated.volume() >= by.volume_min.get());
        self.sorted.extend(counted.map(|(index, rated)| rated.rate_ppm() << RATE_SHIFT | index as u64));
        let gap_min = u64::from(by.gap_min_percent.max(1)) * PPM_OF_PERCENT;
        let rates = || self.sorted.iter().map(|entry| entry >> RATE_SHIFT);
        let spread = rates().max().unwrap_or(0) - rates().min().unwrap_or(0);
        if self.sorted.len() < by.hosts_min.get() as usize || spread < gap_min {
            return false;
        }
        self.sorted.sort_unstable();
        self.cuts.clear();
        let gaps = self.sorted.windows(2).map(|pair| (pair[1] >> RATE_SHIFT) - (pair[0] >> RATE_SHIFT));
        self.cuts.extend(gaps.enumerate().filter(|(_, gap)| *gap >= gap_min).map(|(below, gap)| (gap, below + 1)));
        self.cuts.sort_unstable_by(|one, other| other.cmp(one));
        !self.cuts.is_empty()
    }

    /// Finds those whose geometric mean latency is far above the median of all.
    pub(super) fn find_slow(&mut self, by: &LatencyOutlier) {
        self.found.clear();
        self.logs.clear();
        let counted = self.intervals.iter().filter(|(_, interval)| interval.latency_count >= by.volume_min.get());
        self.logs.extend(
            counted.map(|(slot, interval)| (*slot, interval.latency_log2_sum as f64 / interval.latency_count as f64)),
        );
        if self.logs.len() < by.hosts_min.get() as usize {
            return;
        }
        self.ranks.clear();
        self.ranks.extend(self.logs.iter().map(|(_, log)| *log));
        let Some(median) = median(&mut self.ranks).map(Tally::latency_of) else { return };
        let bound = median.as_nanos() * u128::from(by.factor_percent);
        let is_slow = |mean: Duration| 100 * mean.as_nanos() > bound && mean.saturating_sub(median) >= by.excess_min;
        let means = self.logs.iter().map(|(slot, log)| (*slot, *log, Tally::latency_of(*log)));
        self.found.extend(means.filter(|(.., mean)| is_slow(*mean)).map(|(slot, log, mean)| {
            let cause = Cause::Latency { mean, median, factor_percent: by.factor_percent };
            Found { slot, severity: log, cause }
        }));
    }
}

/// Failures and attempts, with those of `rated` added.
fn pooled(sum: (u64, u64), rated: &Rated) -> (u64, u64) {
    (sum.0.saturating_add(rated.failed), sum.1.saturating_add(rated.volume()))
}

fn rated_of(rated: &[Rated], entry: u64) -> &Rated {
    &rated[(entry & INDEX_MASK) as usize]
}

/// Whether an instance that fails as often as `others` (failures, attempts) would hardly ever have so many failures.
///
/// Of n attempts that each fail with probability p, a share of a > p or more fail with a probability of at most
/// exp(−n · D(a, p)), where D(a, p) = a·ln(a/p) + (1−a)·ln((1−a)/(1−p)) (Hoeffding, "Probability inequalities for
/// sums of bounded random variables", 1963). p is taken to be (failures + 1) / (attempts + 2), Laplace's rule of
/// succession, so that others without failures prove little when they are few.
fn is_no_accident(rated: &Rated, others: (u64, u64), false_alarms_per_million: u32) -> bool {
    if false_alarms_per_million == 0 {
        return true;
    }
    let attempts = rated.volume() as f64;
    let (share, usual) = (rated.failed as f64 / attempts, (others.0 as f64 + 1.0) / (others.1 as f64 + 2.0));
    if share <= usual {
        return false;
    }
    let well = if share < 1.0 { (1.0 - share) * libm::log((1.0 - share) / (1.0 - usual)) } else { 0.0 };
    let divergence = share * libm::log(share / usual) + well;
    attempts * divergence >= libm::log(1e6 / f64::from(false_alarms_per_million))
}

/// The median of `values`, of an even number the mean of the middle two; none of none. They are left in another order.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    Some(match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if even => f64::midpoint(lower, upper),
        Some(_) | None => upper,
    })
}

const PPM: u64 = 1_000_000;
const PPM_OF_PERCENT: u64 = 10_000;
/// A rate in millionths and an index share one word, the rate above.
const RATE_SHIFT: u32 = 32;
const INDEX_MASK: u64 = (1 << RATE_SHIFT) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 10.0]), Some(3.0));
        assert_eq!(median(&mut [7.0]), Some(7.0));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn the_bound_on_accidents_is_hoeffdings() {
        // Others fail 1 of 10 (99 of 998 and Laplace's two): 10 of 20 have 20·D(0.5, 0.1) = 10.2 < ln(1e5) = 11.5.
        let of_twenty = |failed| Rated { slot: 0, succeeded: 20 - failed, failed };
        assert!(!is_no_accident(&of_twenty(10), (99, 998), 10));
        assert!(is_no_accident(&of_twenty(11), (99, 998), 10));
        assert!(is_no_accident(&of_twenty(10), (99, 998), 40));
        assert!(!is_no_accident(&of_twenty(1), (99, 998), 999_999), "as many as the others");
        assert!(is_no_accident(&of_twenty(1), (99, 998), 0), "untested");
        assert!(!is_no_accident(&of_twenty(4), (0, 20), 10), "that twenty have none proves little");
    }
}
