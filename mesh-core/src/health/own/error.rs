//! Why a check is not registered, or a report not taken.

use core::num::NonZeroU32;

use thiserror::Error;

use super::check::CheckName;
use crate::service::ConfigError;

/// Why checks were not registered. None of them was; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OwnCheckError {
    /// A check of this name is registered, or named twice.
    #[error("check {name}: is registered already")]
    Duplicate {
        /// The name.
        name: CheckName,
    },
    /// It depends on one that is not registered.
    #[error("check {name}: depends on {dependency}, which is not registered")]
    UnknownDependency {
        /// The check.
        name: CheckName,
        /// What it depends on.
        dependency: CheckName,
    },
    /// They depend on each other.
    #[error("checks depend on each other: {}", written(cycle))]
    Cycle {
        /// Each depends on the next; the last is the first again.
        cycle: Vec<CheckName>,
    },
    /// There is no room for it.
    #[error("check {name}: is one more than checks_max = {checks_max}")]
    TooMany {
        /// The check.
        name: CheckName,
        /// The bound.
        checks_max: NonZeroU32,
    },
    /// One of its numbers breaks a rule.
    #[error("check {name}: {source}")]
    Invalid {
        /// The check.
        name: CheckName,
        /// Which number, and which rule.
        source: ConfigError,
    },
}

/// A report of a check that is not registered. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("check {name}: is not registered")]
pub struct UnknownCheck {
    /// The name that was reported.
    pub name: CheckName,
}

fn written(cycle: &[CheckName]) -> String {
    cycle.iter().map(CheckName::as_str).collect::<Vec<_>>().join(" -> ")
}
