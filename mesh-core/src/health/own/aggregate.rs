//! What follows from all checks together, and why.

use alloc::collections::BTreeMap;
use core::fmt;

use super::check::{CheckKind, CheckName, Importance};
use super::judgement::CheckStatus;
use super::report::NOTE_BYTES_MAX;

/// How the whole is, from best to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OwnStatus {
    /// All is well.
    #[default]
    Up,
    /// It works, but something is wrong.
    Degraded,
    /// It does not: not alive, not ready or not started.
    Down,
}

impl OwnStatus {
    /// Its name in answers, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// How the whole is, and why it is not better.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    /// How it is.
    pub status: OwnStatus,
    /// Why: the worst first, then by the name of the check. At most two for each check.
    pub reasons: Vec<Reason>,
}

/// The three answers at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnState {
    /// Whether the process works at all.
    pub liveness: Aggregate,
    /// Whether it should be given requests.
    pub readiness: Aggregate,
    /// Whether it has begun its work.
    pub startup: Aggregate,
    /// Whether anything is judged at all: a check is registered, or it drains.
    pub judged: bool,
}

/// Why the whole is not better than it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is being drained.
    Draining,
    /// A startup check has not passed yet.
    Starting {
        /// The check.
        check: CheckName,
        /// What is thought of it.
        status: CheckStatus,
        /// Whether it has taken longer than the startup deadline.
        late: bool,
    },
    /// A check is not as it should be.
    Check {
        /// The check.
        check: CheckName,
        /// What it asks.
        kind: CheckKind,
        /// What hangs on it.
        importance: Importance,
        /// What is thought of it.
        status: CheckStatus,
    },
}

impl Reason {
    /// The check that it is about.
    #[must_use]
    pub const fn check(&self) -> Option<&CheckName> {
        match self {
            Self::Draining => None,
            Self::Starting { check, .. } | Self::Check { check, .. } => Some(check),
        }
    }

    /// What is thought of the check that it is about.
    #[must_use]
    pub const fn status(&self) -> Option<&CheckStatus> {
        match self {
            Self::Draining => None,
            Self::Starting { status, .. } | Self::Check { status, .. } => Some(status),
        }
    }
}

/// Without the notes, which may say more than everybody is to read.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (check, status) = match self {
            Self::Draining => return f.write_str("draining"),
            Self::Starting { check, status, .. } | Self::Check { check, status, .. } => (check, status),
        };
        write!(f, "{check} {}", status.name())?;
        match (status, self) {
            (CheckStatus::Blocked { by }, _) => write!(f, " by {by}"),
            (_, Self::Starting { late: true, .. }) => f.write_str(" and late"),
            (_, Self::Draining | Self::Starting { .. } | Self::Check { .. }) => Ok(()),
        }
    }
}

impl Aggregate {
    /// One line of at most 256 bytes, without the notes of the checks: "db failed; cache blocked by db".
    #[must_use]
    pub fn summary(&self) -> String {
        let mut line = String::new();
        for (told, reason) in self.reasons.iter().enumerate() {
            let left = self.reasons.len() - told;
            let separator = if told == 0 { "" } else { "; " };
            let next = format!("{separator}{reason}");
            if line.len() + next.len() + ROOM_FOR_MORE > NOTE_BYTES_MAX {
                line.push_str(&format!("{separator}{left} more"));
                break;
            }
            line.push_str(&next);
        }
        line
    }

    pub(super) fn of(mut found: Vec<(OwnStatus, Reason)>) -> Self {
        // Stable, so that those of one severity keep the order of their names.
        found.sort_by_key(|(status, _)| core::cmp::Reverse(*status));
        let status = found.first().map_or(OwnStatus::Up, |(status, _)| *status);
        Self { status, reasons: found.into_iter().map(|(_, reason)| reason).collect() }
    }
}

/// What is thought of every check, by name.
pub(super) type Statuses<'a> = BTreeMap<&'a CheckName, CheckStatus>;

/// What follows from a check of this kind and importance of which `status` is thought.
pub(super) const fn severity(kind: CheckKind, importance: Importance, status: &CheckStatus) -> OwnStatus {
    let fails = match importance {
        Importance::Critical => OwnStatus::Down,
        Importance::Degrading => OwnStatus::Degraded,
    };
    match (status, kind) {
        (CheckStatus::Passing, _) | (CheckStatus::Pending, CheckKind::Liveness) => OwnStatus::Up,
        // No restart mends what somebody else is to blame for.
        (CheckStatus::Warning(_), _) | (CheckStatus::Blocked { .. }, CheckKind::Liveness) => OwnStatus::Degraded,
        (CheckStatus::Failed(_) | CheckStatus::Stale(_), _)
        | (CheckStatus::Pending | CheckStatus::Blocked { .. }, CheckKind::Readiness | CheckKind::Startup) => fails,
    }
}

/// Room for "; 4294967295 more".
const ROOM_FOR_MORE: usize = 20;
