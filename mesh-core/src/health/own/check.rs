//! What one of the service's own checks is called, what it asks and how much hangs on it.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::service::text::{is_word, text_newtype};
use crate::service::{ConfigError, Problems};

text_newtype! {
    /// The name of a check: 1 to 64 ASCII letters, digits, `-`, `_` and `.`.
    CheckName, "check", check_name
}

fn check_name(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if is_word(text, 64, b"-_.") { Ok(text.into()) } else { Err("must be 1 to 64 letters, digits, '-', '_' and '.'") }
}

/// What a check asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckKind {
    /// Whether the process has begun its work. Passed once, it is asked no more.
    Startup,
    /// Whether the process works at all, so that only a restart would help if it does not.
    Liveness,
    /// Whether the process can serve requests now.
    Readiness,
}

impl CheckKind {
    /// Its name in answers, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
        }
    }
}

/// What follows when a check fails. Startup checks have to pass whatever their importance is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Importance {
    /// The whole is down.
    #[default]
    Critical,
    /// The whole is degraded.
    Degrading,
}

impl Importance {
    /// Its name in answers, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Degrading => "degrading",
        }
    }
}

/// One check of the service's own health.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnCheck {
    /// What it is called.
    pub name: CheckName,
    /// What it asks.
    pub kind: CheckKind,
    /// What follows when it fails. Default critical.
    pub importance: Importance,
    /// The checks without which this one cannot pass. Default none.
    pub depends_on: BTreeSet<CheckName>,
    /// How many good reports in a row make a failed check pass again. Default 1. The first report decides at once.
    pub rise: NonZeroU32,
    /// How many bad reports in a row make a passing check fail. Default 1.
    pub fall: NonZeroU32,
    /// For how long a report counts. From this time on, and from this time on after the check's beginning where
    /// nothing was reported at all, it is stale and counts as failed. Default 30 s; none means for ever.
    pub valid_for: Option<Duration>,
}

impl OwnCheck {
    /// A check of this kind with the default numbers.
    #[must_use]
    pub const fn new(kind: CheckKind, name: CheckName) -> Self {
        Self {
            name,
            kind,
            importance: Importance::Critical,
            depends_on: BTreeSet::new(),
            rise: NonZeroU32::MIN,
            fall: NonZeroU32::MIN,
            valid_for: Some(VALID_FOR),
        }
    }

    /// A check of whether the process has begun its work.
    #[must_use]
    pub const fn startup(name: CheckName) -> Self {
        Self::new(CheckKind::Startup, name)
    }

    /// A check of whether the process works at all.
    #[must_use]
    pub const fn liveness(name: CheckName) -> Self {
        Self::new(CheckKind::Liveness, name)
    }

    /// A check of whether the process can serve requests.
    #[must_use]
    pub const fn readiness(name: CheckName) -> Self {
        Self::new(CheckKind::Readiness, name)
    }

    /// The same, which only degrades the whole when it fails.
    #[must_use]
    pub const fn degrading(mut self) -> Self {
        self.importance = Importance::Degrading;
        self
    }

    /// The same, which cannot pass while `dependency` does not.
    #[must_use]
    pub fn depends_on(mut self, dependency: CheckName) -> Self {
        self.depends_on.insert(dependency);
        self
    }

    /// The same, which rises after `rise` good reports in a row and falls after `fall` bad ones.
    #[must_use]
    pub const fn thresholds(mut self, rise: NonZeroU32, fall: NonZeroU32) -> Self {
        self.rise = rise;
        self.fall = fall;
        self
    }

    /// The same, whose reports count for `valid_for`; none means for ever.
    #[must_use]
    pub const fn valid_for(mut self, valid_for: Option<Duration>) -> Self {
        self.valid_for = valid_for;
        self
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Every field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        problems.require(self.valid_for != Some(Duration::ZERO), "valid_for", "0s", "must be longer than zero");
        if problems.is_empty() { Ok(()) } else { Err(problems.into_error()) }
    }
}

const VALID_FOR: Duration = Duration::from_secs(30);
