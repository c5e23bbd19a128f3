//! What makes an instance an outlier, and what becomes of it; with the presets of Envoy and gRPC.

use core::num::NonZeroU64;
use core::time::Duration;

use super::detectors::{CorrelatedFailure, FIVE, FailurePercentage, InRow, LatencyOutlier, SuccessRate, percent};
use crate::service::{ConfigError, Problems};

/// How the outliers of one service are found, and for how long they are out.
///
/// A detector that is `None` ("off" in a configuration file) does not look. The default is the mesh's own;
/// [`OutlierConfig::envoy`] and [`OutlierConfig::grpc`] decide as those do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct OutlierConfig {
    /// From one sweep to the next, and what a sweep looks back at: 10 ms to 1 h. Default 5 s; Envoy and gRPC 10 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub interval: Duration,
    /// Whether what happened on the way (no connection, no answer in time) and what the instance answered are judged
    /// apart, as Envoy's `split_external_local_origin_errors`. The owner then leaves the former out of
    /// `failures_in_row`. Default false: what users see is judged, whoever is to blame.
    pub split_local_origin: bool,
    /// Whether answers of overload count as failures (Envoy: a 503 does). Where not, they count as nothing: shedding
    /// load is no sickness, and no proof of health. Default false.
    pub overloaded_is_failure: bool,
    /// Whether they lower the success rate all the same, which is compared with the fleet's: one instance that sheds load
    /// where the others do not is unlike them (a proxy that has lost what is behind it answers 503), and all that do are
    /// not. Part of a fleet that sheds load is no correlated failure: taking it out would give the rest more. Default true.
    pub overloaded_lowers_rate: bool,
    /// For how many sweeps the attempts on an instance that had fewer than 50 are judged together: at most 1,000. A balancer
    /// that keeps away from who fails would hide him otherwise. Default 12; Envoy and gRPC 0, the last interval alone.
    pub gathers_max: u32,
    /// Failures in a row. Default 5.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::or_off"))]
    pub failures_in_row: Option<InRow>,
    /// Failures of a gateway in a row: 503 where overload is a failure, silence, no connection. Default off; Envoy 5, enforced
    /// for 0 %.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::or_off"))]
    pub gateway_in_row: Option<InRow>,
    /// Failures of local origin in a row. Default 5. Envoy has it only where the origins are split: 5.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::or_off"))]
    pub local_in_row: Option<InRow>,
    /// Success rate far below the fleet's.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::or_off"))]
    pub success_rate: Option<SuccessRate>,
    /// Failures beyond a share. Default off: where a common dependency fails, it would take out half of the fleet for
    /// nothing, and where a part of the fleet fails, `correlated` finds it.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::or_off"))]
    pub failure_percentage: Option<FailurePercentage>,
    /// Latency far above the fleet's. Envoy and gRPC have none.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::or_off"))]
    pub latency: Option<LatencyOutlier>,
    /// A part of the fleet that fails unlike the rest. Envoy and gRPC have none.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::or_off"))]
    pub correlated: Option<CorrelatedFailure>,
    /// What becomes of an outlier.
    pub ejection: Ejection,
}

/// For how long outliers are out, how many at once, and how they come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Ejection {
    /// The length of a first ejection: at least 1 ms. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub base_time: Duration,
    /// The longest ejection, without jitter: at least `base_time`. Default 300 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub max_time: Duration,
    /// Every ejection is longer by up to this, at random: at most 1 h. Default 3 s; Envoy and gRPC 0 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub jitter_max: Duration,
    /// How ejections of the same instance grow, and how that is forgotten.
    pub growth: Growth,
    /// The most that may be out, in percent of the enrolled instances: 0 to 100. Default 50; Envoy and gRPC 10.
    pub share_max_percent: u32,
    /// How that share is counted.
    pub share_rule: ShareRule,
    /// Whether one may be out even where the share is less than one instance (Envoy's `always_eject_one_host`).
    /// Default true; Envoy false. Without meaning for [`ShareRule::Before`], which lets a first one go anyway.
    pub at_least_one: bool,
    /// When an ejection ends.
    pub release: Release,
    /// How an instance comes back.
    pub comeback: Comeback,
    /// For how long an instance is probed; when there was no request for it by then, it is back, and when there was one
    /// that took longer, it has failed: at least 1 ms. Default 30 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub probing_max: Duration,
    /// Which ejections a passed active check ends. Of checks that failed and pass again, all but for `Never`.
    pub uneject_on_check: UnejectOnCheck,
    /// Whether one that comes back is judged only by what happens from then on. Where not, its first sweep sees the
    /// whole interval. Default true; Envoy and gRPC false.
    pub fresh_start: bool,
    /// Whether an outlier for whom there was no room is ejected by the next reading or sweep that finds room and it
    /// still failing. Where not, a run must reach its threshold anew. Default true; Envoy and gRPC false.
    pub insists: bool,
}

/// How the ejections of one instance grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Growth {
    /// An ejection lasts as long as the one before and `base_time`, less the time that the instance was well in
    /// between. It does not depend on the interval, and never exceeds `max_time`.
    #[default]
    WithTime,
    /// Envoy's: `base_time` times a number that rises by one with each ejection while number · base < max + base, and
    /// falls by one with each sweep of an instance that has been in for at least an interval. It may pass what the
    /// longest ejection needs by one.
    EnvoySteps,
    /// gRPC's (A50): the number rises with each ejection, and falls with each sweep that an instance is in.
    GrpcSteps,
}

/// How the share of instances that are out is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ShareRule {
    /// The share of the fleet, rounded down, and never all of it. Those being probed count as out. Those that something
    /// else keeps requests from ([`OutlierDetector::set_aside`](super::OutlierDetector::set_aside)) are not of the fleet
    /// meanwhile. Where instances leave or are set aside and too many are out, those that are due first come back.
    #[default]
    RoundedDown,
    /// Envoy's: 100 · (ejected + 1) / enrolled may not exceed the share.
    Included,
    /// gRPC's (A50): as long as 100 · ejected / enrolled is below the share, one more may go, which may exceed it.
    Before,
}

/// When ejections end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Release {
    /// At their time.
    #[default]
    OnTime,
    /// Envoy's: with the first sweep at or after their time, before it judges.
    SweepBefore,
    /// gRPC's (A50): with the first sweep after their time, once it has judged.
    SweepAfter,
}

/// How an instance comes back when its ejection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Comeback {
    /// One request is let through, and decides.
    #[default]
    Probing,
    /// Fully, as Envoy's and gRPC's do.
    Full,
}

/// Which ejections a passed active check ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum UnejectOnCheck {
    /// None.
    Never,
    /// Those for failures of local origin in a row. That an instance can be reached is all that a check proves; one
    /// that passes its checks and fails its requests is the very thing to be found.
    #[default]
    Unreachable,
    /// All, as Envoy's `successful_active_health_check_uneject_host` does.
    Always,
}

impl OutlierConfig {
    /// No detector: nothing is ever ejected.
    #[must_use]
    pub fn off() -> Self {
        Self {
            failures_in_row: None,
            gateway_in_row: None,
            local_in_row: None,
            success_rate: None,
            failure_percentage: None,
            latency: None,
            correlated: None,
            ..Self::default()
        }
    }

    /// Envoy's outlier detection with its defaults (`outlier_detection.proto`, `outlier_detection_impl.cc`).
    ///
    /// Where several are found at once and there is not room for all, Envoy takes them in the order of a hash table,
    /// and this the worst first. It has no run of local origin: who sets `split_local_origin` sets `local_in_row` as well
    /// (5 there), or nobody is found for not being reached but by rates. Deviations: 502 and 504 are no failures of the
    /// gateway, and 429, which is overload like 503, is a failure, where Envoy counts 5xx alone.
    #[must_use]
    pub fn envoy() -> Self {
        Self {
            interval: Duration::from_secs(10),
            overloaded_is_failure: true,
            gathers_max: 0,
            failures_in_row: Some(InRow::new(FIVE, 100)),
            gateway_in_row: Some(InRow::new(FIVE, 0)),
            success_rate: Some(plain_success_rate()),
            failure_percentage: Some(percentage(true, 0)),
            ejection: Ejection {
                growth: Growth::EnvoySteps,
                share_rule: ShareRule::Included,
                release: Release::SweepBefore,
                uneject_on_check: UnejectOnCheck::Always,
                ..plain_ejection()
            },
            ..Self::off()
        }
    }

    /// gRPC's outlier detection (proposal A50) with both its detectors at their defaults.
    ///
    /// One deviation: what ejected instances still answer does not count for the mean.
    #[must_use]
    pub fn grpc() -> Self {
        Self {
            interval: Duration::from_secs(10),
            overloaded_is_failure: true,
            gathers_max: 0,
            success_rate: Some(plain_success_rate()),
            failure_percentage: Some(percentage(false, 100)),
            ejection: Ejection {
                growth: Growth::GrpcSteps,
                share_rule: ShareRule::Before,
                release: Release::SweepAfter,
                uneject_on_check: UnejectOnCheck::Never,
                ..plain_ejection()
            },
            ..Self::off()
        }
    }

    /// Whether no detector looks.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        let runs = self.failures_in_row.is_some() || self.gateway_in_row.is_some() || self.local_in_row.is_some();
        let rates = self.success_rate.is_some() || self.failure_percentage.is_some() || self.correlated.is_some();
        !(runs || rates || self.latency.is_some())
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Every field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems.into_error()) }
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        let interval = shown(self.interval);
        let fits = (INTERVAL_MIN..=HOUR).contains(&self.interval);
        problems.require(fits, "interval", interval, "must be 10ms to 1h");
        problems.require(self.gathers_max <= 1_000, "gathers_max", self.gathers_max, "must be at most 1000");
        for run in [&self.failures_in_row, &self.gateway_in_row, &self.local_in_row].into_iter().flatten() {
            run.check(problems);
        }
        self.success_rate.iter().for_each(|detector| detector.check(problems));
        self.failure_percentage.iter().for_each(|detector| detector.check(problems));
        self.latency.iter().for_each(|detector| detector.check(problems));
        self.correlated.iter().for_each(|detector| detector.check(problems));
        self.ejection.check(problems);
    }
}

impl Ejection {
    fn check(&self, problems: &mut Problems) {
        let (base, max) = (self.base_time, self.max_time);
        problems.require(base >= TIME_MIN, "base_time", shown(base), "must be at least 1ms");
        problems.require(max >= base, "max_time", shown(max), "must be at least base_time");
        problems.require(self.jitter_max <= HOUR, "jitter_max", shown(self.jitter_max), "must be at most 1h");
        let probing = self.probing_max;
        problems.require(probing >= TIME_MIN, "probing_max", shown(probing), "must be at least 1ms");
        percent("share_max_percent", 0, self.share_max_percent, problems);
    }
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            split_local_origin: false,
            overloaded_is_failure: false,
            overloaded_lowers_rate: true,
            gathers_max: 12,
            failures_in_row: Some(InRow::default()),
            gateway_in_row: None,
            local_in_row: Some(InRow::default()),
            success_rate: Some(SuccessRate::default()),
            failure_percentage: None,
            latency: Some(LatencyOutlier::default()),
            correlated: Some(CorrelatedFailure::default()),
            ejection: Ejection::default(),
        }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            base_time: Duration::from_secs(30),
            max_time: Duration::from_secs(300),
            jitter_max: Duration::from_secs(3),
            growth: Growth::WithTime,
            share_max_percent: 50,
            share_rule: ShareRule::RoundedDown,
            at_least_one: true,
            release: Release::OnTime,
            comeback: Comeback::Probing,
            probing_max: Duration::from_secs(30),
            uneject_on_check: UnejectOnCheck::Unreachable,
            fresh_start: true,
            insists: true,
        }
    }
}

/// What Envoy's and gRPC's ejections have in common.
fn plain_ejection() -> Ejection {
    Ejection {
        jitter_max: Duration::ZERO,
        share_max_percent: 10,
        at_least_one: false,
        comeback: Comeback::Full,
        fresh_start: false,
        insists: false,
        ..Ejection::default()
    }
}

fn plain_success_rate() -> SuccessRate {
    SuccessRate { volume_min: HUNDRED, gap_min_percent: 0, false_alarms_per_million: 0, ..SuccessRate::default() }
}

fn percentage(threshold_included: bool, enforcing_percent: u32) -> FailurePercentage {
    let common = FailurePercentage::default();
    FailurePercentage { threshold_included, hosts_min: FIVE, volume_min: FIFTY, enforcing_percent, ..common }
}

fn shown(duration: Duration) -> String {
    format!("{duration:?}")
}

const INTERVAL_MIN: Duration = Duration::from_millis(10);
const TIME_MIN: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const FIFTY: NonZeroU64 = NonZeroU64::new(50).unwrap();
const HUNDRED: NonZeroU64 = NonZeroU64::new(100).unwrap();
