//! What is thought of an instance's health, by whom, and who is right when they disagree.
//!
//! Decides the one status of an instance out of everything that is known of it. It keeps nothing and measures
//! nothing: what each source says is its argument.

use super::probe::ProbeVerdict;
use crate::service::Weight;
use crate::snapshot::RegistryStatus;
use crate::time::Instant;

/// What active checks say of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// No check has ended yet. It may be picked: a fleet that has just been discovered is not an outage.
    #[default]
    Unknown,
    /// It answers as it should.
    Healthy,
    /// It answers that it is close to its limits (HTTP 429). It may be picked.
    Degraded,
    /// It does not answer as it should, for as many checks in a row as the threshold says.
    Unhealthy,
}

impl Health {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What is thought of an instance, all [`Sources`] considered.
///
/// # Precedence
/// The first row that holds decides. A check is *fresh* while its answer is recent ([`CheckEvidence::is_fresh`]).
///
/// | | what is known | status | reason |
/// |---|---|---|---|
/// | 1 | its owner drained it | `Draining` | `Drained` |
/// | 2 | its weight in force is 0 | `Draining` | `Weight` |
/// | 3 | the registry says maintenance | `Maintenance` | `Maintenance` |
/// | 4 | outlier detection ejected it | `Ejected` | `Outlier` |
/// | 5 | its check fails, is fresh, and is not doubted | `Unhealthy` | `Check` |
/// | 6 | the registry says critical, and is not doubted | `Unhealthy` | `Registry` |
/// | 7 | its check failed when it last ran, is not doubted, and the registry says neither passing nor warning | `Unhealthy` | `Check` |
/// | 8 | it is held out because it flapped | `Unhealthy` | `Damped` |
/// | 9 | outlier detection tries it with single requests | `Probing` | `Outlier` |
/// | 10 | its check is fresh, and warns, or fails and is doubted | `Degraded` | `Check` |
/// | 11 | the registry says warning | `Degraded` | `Registry` |
/// | 12 | its check passes, and is fresh | `Healthy` | `Check` |
/// | 13 | the registry says critical, and is doubted | `Degraded` | `Registry` |
/// | 14 | the registry says passing | `Healthy` | `Registry` |
/// | 15 | nothing of all this | `Unknown` | `Unchecked` |
///
/// # Who is right
/// - *The registry says critical, our check passes.* The instance is out. The registry's check may look at what ours
///   cannot see, such as a disk or a queue, and every client hears the same of it.
/// - *The registry says passing, our check fails.* The instance is out. Ours took the path that requests take; the
///   registry's agent asks over its own loopback, and an agent that died leaves the last word in the catalog.
/// - *The registry says critical of a large share of the fleet at once.* An agent that restarts begins with every
///   check of its node at critical, so the owner of the list may doubt it ([`Sources::registry_doubted`]). Then our
///   fresh check decides, and without one the instance is `Degraded` and still picked: a view that the registry
///   emptied serves nobody.
/// - *Our checks fail on most of the fleet at once, and requests to it succeed.* Checks often ask something that
///   requests do not need, and all instances share it; so the owner may doubt a check of an instance that answers its
///   requests ([`Sources::check_doubted`]). The instance is `Degraded` and still picked.
/// - *A check that ran long ago* counts for less than the registry, and its pass for nothing.
///
/// Plans of people come before faults, so that a drained instance does not alarm anybody when it goes; faults
/// before `Probing`, so that no user's request is the probe of an instance that is known to fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Nobody has said anything yet. It may be picked: a fleet that has just been discovered is not an outage.
    #[default]
    Unknown,
    /// All is well.
    Healthy,
    /// It serves, but is close to its limits or in doubt. It may be picked.
    Degraded,
    /// A check fails, or it is held out because it flapped.
    Unhealthy,
    /// Outlier detection took it out for a time.
    Ejected,
    /// Its time out is over, and single requests show whether it recovered.
    Probing,
    /// Its owner gives it no new requests.
    Draining,
    /// Somebody took it out of service in the registry.
    Maintenance,
}

impl Status {
    /// Every status, in the order of [`Status::index`].
    pub(super) const ALL: [Self; 8] = [
        Self::Unknown,
        Self::Healthy,
        Self::Degraded,
        Self::Unhealthy,
        Self::Ejected,
        Self::Probing,
        Self::Draining,
        Self::Maintenance,
    ];

    /// The status by the table above, and the row's reason with the numbers of its source.
    #[must_use]
    pub fn of(sources: &Sources) -> (Self, Reason) {
        planned(sources).or_else(|| failed(sources)).unwrap_or_else(|| serving(sources))
    }

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Probing => "probing",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
        }
    }

    /// Whether it takes requests like any other: `Unknown`, `Healthy`, `Degraded`.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Unknown | Self::Healthy | Self::Degraded)
    }

    /// Whether it is out against its will: `Unhealthy`, `Ejected`, and `Probing`, which has not returned yet.
    #[must_use]
    pub const fn is_down(self) -> bool {
        matches!(self, Self::Unhealthy | Self::Ejected | Self::Probing)
    }

    /// Whether somebody took it out on purpose: `Draining`, `Maintenance`.
    #[must_use]
    pub const fn is_planned(self) -> bool {
        matches!(self, Self::Draining | Self::Maintenance)
    }

    /// Its place in [`Status::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// Why an instance has its status: the source that decided, with its numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No source has said anything yet.
    #[default]
    Unchecked,
    /// Its owner drained it.
    Drained,
    /// Its weight in force is 0.
    Weight,
    /// The registry says that it is in maintenance.
    Maintenance,
    /// The registry says this of its checks.
    Registry(RegistryStatus),
    /// The mesh's own check ended like this.
    Check(ProbeVerdict),
    /// The outlier detector of this name.
    Outlier(&'static str),
    /// It flapped, and is held out for now.
    Damped {
        /// When it may return.
        until: Instant,
    },
}

impl Reason {
    /// The name of its source in metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Drained => "drained",
            Self::Weight => "weight",
            Self::Maintenance => "maintenance",
            Self::Registry(_) => "registry",
            Self::Check(_) => "check",
            Self::Outlier(_) => "outlier",
            Self::Damped { .. } => "damped",
        }
    }
}

/// Everything that is known of one instance's health. By default nothing is, and its weight is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sources {
    /// Whether its owner drained it.
    pub drained: bool,
    /// Its weight in force.
    pub weight: Weight,
    /// What the registry says.
    pub registry: RegistryStatus,
    /// Whether what the registry says is not to be believed where it is `Critical`, because it says so of more of the
    /// fleet than is likely.
    pub registry_doubted: bool,
    /// Where outlier detection has it.
    pub outlier: OutlierStanding,
    /// What the mesh's own check last said; none before the first answer.
    pub check: Option<CheckEvidence>,
    /// Whether that is not to be believed where it is `Unhealthy`, because most checks fail and requests succeed.
    pub check_doubted: bool,
    /// Until when it is held out because it flapped; none where it is not held out now.
    pub damped_until: Option<Instant>,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            drained: false,
            weight: Weight::ONE,
            registry: RegistryStatus::Unknown,
            registry_doubted: false,
            outlier: OutlierStanding::Admitting,
            check: None,
            check_doubted: false,
            damped_until: None,
        }
    }
}

/// Where outlier detection has an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutlierStanding {
    /// In.
    #[default]
    Admitting,
    /// Out for a time. The text is the name of what it was ejected for: that of a detector, or of a trial that failed.
    Ejected(&'static str),
    /// Tried with single requests. The text is what views show as the reason: the machine of a service says `probe`.
    Probing(&'static str),
}

/// What the mesh's own checks say of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckEvidence {
    /// What the answers so far amount to, by the threshold.
    pub health: Health,
    /// The answer that decided it.
    pub verdict: ProbeVerdict,
    /// Whether the last answer is recent: not older than two of the check's intervals and its timeout, say, so that
    /// one check may be late.
    pub is_fresh: bool,
}

/// Rows 1 to 3.
fn planned(sources: &Sources) -> Option<(Status, Reason)> {
    if sources.drained {
        Some((Status::Draining, Reason::Drained))
    } else if sources.weight.is_drained() {
        Some((Status::Draining, Reason::Weight))
    } else if sources.registry == RegistryStatus::Maintenance {
        Some((Status::Maintenance, Reason::Maintenance))
    } else {
        None
    }
}

/// Rows 4 to 9.
fn failed(sources: &Sources) -> Option<(Status, Reason)> {
    if let OutlierStanding::Ejected(detector) = sources.outlier {
        return Some((Status::Ejected, Reason::Outlier(detector)));
    }
    let failing = |check: &&CheckEvidence| check.health == Health::Unhealthy && !sources.check_doubted;
    let failing = sources.check.as_ref().filter(failing);
    let check = |check: &CheckEvidence| (Status::Unhealthy, Reason::Check(check.verdict.clone()));
    if let Some(fresh) = failing.filter(|check| check.is_fresh) {
        return Some(check(fresh));
    }
    if sources.registry == RegistryStatus::Critical && !sources.registry_doubted {
        return Some((Status::Unhealthy, Reason::Registry(RegistryStatus::Critical)));
    }
    let vouched = matches!(sources.registry, RegistryStatus::Passing | RegistryStatus::Warning);
    if let Some(stale) = failing.filter(|_| !vouched) {
        return Some(check(stale));
    }
    if let Some(until) = sources.damped_until {
        return Some((Status::Unhealthy, Reason::Damped { until }));
    }
    match sources.outlier {
        OutlierStanding::Probing(detector) => Some((Status::Probing, Reason::Outlier(detector))),
        OutlierStanding::Ejected(_) | OutlierStanding::Admitting => None,
    }
}

/// Rows 10 to 15.
fn serving(sources: &Sources) -> (Status, Reason) {
    let fresh = sources.check.as_ref().filter(|check| check.is_fresh);
    let says = |health| fresh.filter(|check| check.health == health).map(|check| Reason::Check(check.verdict.clone()));
    // One that fails and is not doubted has been dealt with.
    if let Some(reason) = says(Health::Degraded).or_else(|| says(Health::Unhealthy)) {
        return (Status::Degraded, reason);
    }
    if sources.registry == RegistryStatus::Warning {
        return (Status::Degraded, Reason::Registry(RegistryStatus::Warning));
    }
    if let Some(reason) = says(Health::Healthy) {
        return (Status::Healthy, reason);
    }
    match sources.registry {
        RegistryStatus::Critical => (Status::Degraded, Reason::Registry(RegistryStatus::Critical)),
        RegistryStatus::Passing => (Status::Healthy, Reason::Registry(RegistryStatus::Passing)),
        RegistryStatus::Unknown | RegistryStatus::Warning | RegistryStatus::Maintenance => {
            (Status::Unknown, Reason::Unchecked)
        }
    }
}
