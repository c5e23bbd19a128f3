//! What the detector tells its owner: who is out and why, and who is back.

use core::time::Duration;

use super::reading::Origin;
use crate::service::InstanceKey;
use crate::time::Instant;

/// What happened to an instance.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum OutlierEvent {
    /// It gets no requests until its time is served.
    Ejected {
        /// Who.
        key: InstanceKey,
        /// Why.
        cause: Cause,
        /// Until when, at least.
        until: Instant,
    },
    /// It is an outlier and stays in.
    Spared {
        /// Who.
        key: InstanceKey,
        /// Why it would be out.
        cause: Cause,
        /// Why it is not.
        because: Reprieve,
    },
    /// Its ejection ended: the owner lets one request through and says how it ended
    /// ([`OutlierDetector::probed`](super::OutlierDetector::probed)).
    Released {
        /// Who.
        key: InstanceKey,
    },
    /// It gets requests again.
    Restored {
        /// Who.
        key: InstanceKey,
        /// By what.
        by: Restoration,
    },
}

/// Why an outlier stays in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reprieve {
    /// As many as may be are out already.
    NoRoom,
    /// The lot of `enforcing_percent` fell in its favour.
    NotEnforced,
}

impl Reprieve {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoRoom => "no-room",
            Self::NotEnforced => "not-enforced",
        }
    }
}

/// What brought an instance back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Restoration {
    /// The end of its ejection.
    Time,
    /// A request that went well.
    Probe,
    /// No request ended while it was being probed: nothing more is known against it.
    Unprobed,
    /// A passed active check.
    Check,
    /// So many others left that too many would be out.
    Room,
}

impl Restoration {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Probe => "probe",
            Self::Unprobed => "unprobed",
            Self::Check => "check",
            Self::Room => "room",
        }
    }
}

/// Which run of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Run {
    /// [`Reading::failures_in_row`](super::Reading::failures_in_row).
    Any,
    /// [`Reading::gateway_in_row`](super::Reading::gateway_in_row).
    Gateway,
    /// [`Reading::local_in_row`](super::Reading::local_in_row).
    Local,
}

/// Why an instance is an outlier, with the numbers of the detector. Rates are in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// So many failures in a row.
    InRow {
        /// Of which kind.
        run: Run,
        /// How many, since the instance was last found or came back.
        length: u64,
        /// How many were enough.
        threshold: u32,
    },
    /// A success rate far below the mean.
    SuccessRate {
        /// Of which attempts.
        origin: Origin,
        /// Its success rate.
        rate: f64,
        /// The mean of the instances with enough volume, this one among them.
        mean: f64,
        /// The population standard deviation of theirs.
        deviation: f64,
        /// Mean − factor · deviation.
        threshold: f64,
    },
    /// Too large a share of failures.
    FailurePercentage {
        /// Of which attempts.
        origin: Origin,
        /// The share of failures.
        percentage: f64,
        /// How much was too much.
        threshold: u32,
    },
    /// Answers far slower than the median's.
    Latency {
        /// The geometric mean of its latencies.
        mean: Duration,
        /// The median of the instances' geometric means.
        median: Duration,
        /// How many percent of the median were too much.
        factor_percent: u32,
    },
    /// One of a part of the fleet that fails unlike the rest.
    CorrelatedFailure {
        /// Of which attempts.
        origin: Origin,
        /// Its success rate.
        rate: f64,
        /// That of all attempts on the instances above the cut.
        others: f64,
        /// How far apart the two sides are, in percentage points.
        gap: f64,
        /// How many instances are below the cut.
        below: usize,
    },
    /// The one request that was let through failed.
    Probe,
}

impl Cause {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InRow { run: Run::Any, .. } => "failures-in-row",
            Self::InRow { run: Run::Gateway, .. } => "gateway-in-row",
            Self::InRow { run: Run::Local, .. } => "local-in-row",
            Self::SuccessRate { .. } => "success-rate",
            Self::FailurePercentage { .. } => "failure-percentage",
            Self::Latency { .. } => "latency",
            Self::CorrelatedFailure { .. } => "correlated-failure",
            Self::Probe => "probe",
        }
    }
}

/// Where an instance stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Standing {
    /// It gets requests. So does one that is not enrolled.
    #[default]
    In,
    /// It gets none.
    Ejected {
        /// Until when, at least.
        until: Instant,
        /// Why.
        cause: Cause,
    },
    /// It gets one request, which decides.
    Probing {
        /// Since when.
        since: Instant,
    },
}
