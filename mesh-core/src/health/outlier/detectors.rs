//! What each detector looks for, and how sure it must be. The defaults are the mesh's own.

use core::num::{NonZeroU32, NonZeroU64};
use core::time::Duration;

use crate::service::Problems;

/// So many failures in a row, whatever the rest of the fleet does. Judged in line, not at sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct InRow {
    /// How many in a row. Default 5, as Envoy's `consecutive_5xx`.
    pub threshold: NonZeroU32,
    /// How many percent of those found are ejected, by lot: 0 to 100. Default 100.
    pub enforcing_percent: u32,
}

/// A success rate far below the mean of the fleet, in standard deviations of the fleet.
///
/// Blind by construction where more than 1 / (1 + factor²) of the instances are bad: 21.69 % at 1.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct SuccessRate {
    /// How many instances with enough volume it takes. Default 5.
    pub hosts_min: NonZeroU32,
    /// How many attempts within the interval make an instance count. Default 20; Envoy and gRPC 100.
    pub volume_min: NonZeroU64,
    /// An instance is out below mean − factor · deviation; in thousandths. Default 1900, as Envoy and gRPC.
    pub stdev_factor_milli: NonZeroU32,
    /// It must be this many percentage points below the mean as well, or a fleet without failures would lose an
    /// instance over one. Default 5; Envoy and gRPC 0.
    pub gap_min_percent: u32,
    /// The chance, per instance and sweep and in millionths, that one as good as the others is found by bad luck; an
    /// upper bound. 0 leaves that untested. Default 10; Envoy and gRPC 0.
    pub false_alarms_per_million: u32,
    /// How many percent of those found are ejected, by lot: 0 to 100. Default 100.
    pub enforcing_percent: u32,
}

/// A share of failures that is too much whatever the rest of the fleet does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct FailurePercentage {
    /// The share, in percent: 0 to 100. Default 85, as Envoy and gRPC.
    pub threshold_percent: u32,
    /// Whether exactly that share is too much (Envoy: yes, gRPC: no). Default true.
    pub threshold_included: bool,
    /// How many instances with enough volume it takes. Default 2; Envoy and gRPC 5.
    pub hosts_min: NonZeroU32,
    /// How many attempts within the interval make an instance count. Default 20; Envoy and gRPC 50.
    pub volume_min: NonZeroU64,
    /// How many percent of those found are ejected, by lot: 0 to 100. Default 100; Envoy 0.
    pub enforcing_percent: u32,
}

/// A latency far above the median of the fleet: the geometric mean of an instance against the median of those means.
///
/// Blind where half of the fleet is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct LatencyOutlier {
    /// An instance is out beyond this many percent of the median: above 100. Default 300.
    pub factor_percent: u32,
    /// It must be this much slower than the median as well: three times of little is little. Default 20 ms.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub excess_min: Duration,
    /// How many instances with enough volume it takes: at least 3, of two nobody can say which is wrong. Default 3.
    pub hosts_min: NonZeroU32,
    /// How many latencies within the interval make an instance count. Default 20.
    pub volume_min: NonZeroU64,
    /// How many percent of those found are ejected, by lot: 0 to 100. Default 100.
    pub enforcing_percent: u32,
}

/// A part of the fleet, however large, that fails far more than the rest.
///
/// The success rates are put in order and cut where two neighbours are furthest apart; those below the cut are out
/// where they fail more than those above can explain. Finds any number of bad instances out of two or more, as long
/// as one is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct CorrelatedFailure {
    /// How far apart, in percentage points, the two sides must be: 1 to 100. Default 20.
    pub gap_min_percent: u32,
    /// As [`SuccessRate::false_alarms_per_million`], against the instances above the cut. Default 10.
    pub false_alarms_per_million: u32,
    /// How many instances with enough volume it takes: at least 2. Default 2.
    pub hosts_min: NonZeroU32,
    /// How many attempts within the interval make an instance count. Default 20.
    pub volume_min: NonZeroU64,
    /// How many percent of those found are ejected, by lot: 0 to 100. Default 100.
    pub enforcing_percent: u32,
}

impl InRow {
    /// `threshold` in a row, of which `enforcing_percent` are ejected.
    #[must_use]
    pub const fn new(threshold: NonZeroU32, enforcing_percent: u32) -> Self {
        Self { threshold, enforcing_percent }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        enforcing(self.enforcing_percent, problems);
    }
}

impl SuccessRate {
    pub(super) fn check(&self, problems: &mut Problems) {
        enforcing(self.enforcing_percent, problems);
        percent("gap_min_percent", 0, self.gap_min_percent, problems);
        false_alarms(self.false_alarms_per_million, problems);
    }
}

impl FailurePercentage {
    pub(super) fn check(&self, problems: &mut Problems) {
        enforcing(self.enforcing_percent, problems);
        percent("threshold_percent", 0, self.threshold_percent, problems);
    }
}

impl LatencyOutlier {
    pub(super) fn check(&self, problems: &mut Problems) {
        enforcing(self.enforcing_percent, problems);
        let factor = self.factor_percent;
        problems.require(factor > 100, "factor_percent", factor, "must be above 100");
        problems.require(self.hosts_min.get() >= 3, "hosts_min", self.hosts_min, "must be at least 3");
    }
}

impl CorrelatedFailure {
    pub(super) fn check(&self, problems: &mut Problems) {
        enforcing(self.enforcing_percent, problems);
        percent("gap_min_percent", 1, self.gap_min_percent, problems);
        false_alarms(self.false_alarms_per_million, problems);
        problems.require(self.hosts_min.get() >= 2, "hosts_min", self.hosts_min, "must be at least 2");
    }
}

impl Default for InRow {
    fn default() -> Self {
        Self { threshold: FIVE, enforcing_percent: 100 }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self {
            hosts_min: FIVE,
            volume_min: VOLUME_MIN,
            stdev_factor_milli: STDEV_FACTOR,
            gap_min_percent: 5,
            false_alarms_per_million: FALSE_ALARMS,
            enforcing_percent: 100,
        }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self {
            threshold_percent: 85,
            threshold_included: true,
            hosts_min: TWO,
            volume_min: VOLUME_MIN,
            enforcing_percent: 100,
        }
    }
}

impl Default for LatencyOutlier {
    fn default() -> Self {
        Self {
            factor_percent: 300,
            excess_min: Duration::from_millis(20),
            hosts_min: THREE,
            volume_min: VOLUME_MIN,
            enforcing_percent: 100,
        }
    }
}

impl Default for CorrelatedFailure {
    fn default() -> Self {
        Self {
            gap_min_percent: 20,
            false_alarms_per_million: FALSE_ALARMS,
            hosts_min: TWO,
            volume_min: VOLUME_MIN,
            enforcing_percent: 100,
        }
    }
}

fn enforcing(value: u32, problems: &mut Problems) {
    percent("enforcing_percent", 0, value, problems);
}

pub(super) fn percent(field: &'static str, least: u32, value: u32, problems: &mut Problems) {
    let rule = format!("must be {least} to 100");
    problems.require((least..=100).contains(&value), field, value, rule);
}

fn false_alarms(value: u32, problems: &mut Problems) {
    let field = "false_alarms_per_million";
    problems.require(value < 1_000_000, field, value, "must be below 1000000");
}

pub(super) const FIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();
const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();
const TWO: NonZeroU32 = NonZeroU32::new(2).unwrap();
const STDEV_FACTOR: NonZeroU32 = NonZeroU32::new(1900).unwrap();
const VOLUME_MIN: NonZeroU64 = NonZeroU64::new(20).unwrap();
/// One in 100,000: a fleet of a hundred, swept every 5 s, is wrong about one of them at most every 80 minutes, and in
/// truth far less often, because the bound is generous and the gaps are asked for as well.
const FALSE_ALARMS: u32 = 10;
