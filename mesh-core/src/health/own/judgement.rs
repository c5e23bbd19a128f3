//! What is thought of one check by itself.

use core::time::Duration;

use super::check::{CheckKind, CheckName, OwnCheck};
use super::report::{Note, Report};
use crate::health::threshold::Threshold;
use crate::time::Instant;

/// What is thought of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckStatus {
    /// It passes, or is a startup check that has passed once.
    Passing,
    /// Nothing was reported yet.
    Pending,
    /// It passes, but something is wrong.
    Warning(Note),
    /// It fails.
    Failed(Note),
    /// Its reports count for this long, and it has not reported since.
    Stale(Duration),
    /// A check that it depends on fails, so that its own word means nothing.
    Blocked {
        /// The root of it: the check that fails by itself.
        by: CheckName,
    },
}

impl CheckStatus {
    /// Its name in answers, metrics and logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Pending => "pending",
            Self::Warning(_) => "warning",
            Self::Failed(_) => "failed",
            Self::Stale(_) => "stale",
            Self::Blocked { .. } => "blocked",
        }
    }

    /// What came with the report, where a report decided.
    #[must_use]
    pub const fn note(&self) -> Option<&Note> {
        match self {
            Self::Warning(note) | Self::Failed(note) => Some(note),
            Self::Passing | Self::Pending | Self::Stale(_) | Self::Blocked { .. } => None,
        }
    }

    /// The check that those who depend on `name`, of which this is thought, are blocked by.
    pub(super) const fn blocker<'a>(&'a self, name: &'a CheckName) -> Option<&'a CheckName> {
        match self {
            Self::Failed(_) | Self::Stale(_) => Some(name),
            Self::Blocked { by } => Some(by),
            Self::Passing | Self::Pending | Self::Warning(_) => None,
        }
    }
}

/// One check, and what it has reported.
#[derive(Clone, Debug)]
pub(super) struct Judgement {
    pub(super) check: OwnCheck,
    threshold: Threshold,
    /// By what was reported: never stale or blocked, which follow from the time and from others.
    shown: CheckStatus,
    /// When it was registered.
    begun: Instant,
    /// When it last reported, or began to be asked.
    heard: Instant,
    started: bool,
}

impl Judgement {
    pub(super) const fn new(check: OwnCheck, now: Instant) -> Self {
        let threshold = Threshold::new(check.rise, check.fall);
        Self { check, threshold, shown: CheckStatus::Pending, begun: now, heard: now, started: false }
    }

    pub(super) fn record(&mut self, now: Instant, report: Report) {
        if self.started {
            return;
        }
        if self.is_stale(now) && self.threshold.verdict().is_some() {
            // Silence counted as failure, so it takes as many good reports as a failure does.
            self.threshold = Threshold::new(self.check.rise, self.check.fall);
            self.threshold.record(false);
            self.shown = CheckStatus::Failed(Note::new("stale"));
        }
        self.heard = now;
        self.threshold.record(report.is_good());
        let up = self.threshold.verdict() == Some(true);
        match report {
            Report::Pass if up => self.shown = CheckStatus::Passing,
            Report::Warn(note) if up => self.shown = CheckStatus::Warning(note),
            Report::Fail(note) if !up => self.shown = CheckStatus::Failed(note),
            // Only being counted, it changes nothing yet.
            Report::Pass | Report::Warn(_) | Report::Fail(_) => {}
        }
        self.started = up && self.check.kind == CheckKind::Startup;
    }

    /// Forgets what was reported, as if it had just been registered.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.threshold = Threshold::new(self.check.rise, self.check.fall);
        self.shown = CheckStatus::Pending;
        self.heard = now;
    }

    /// Whether it is a startup check that has not passed yet.
    pub(super) fn is_starting(&self) -> bool {
        self.check.kind == CheckKind::Startup && !self.started
    }

    /// Whether it is a startup check that has passed.
    pub(super) const fn has_started(&self) -> bool {
        self.started
    }

    /// By itself, whatever it depends on.
    pub(super) fn status(&self, now: Instant) -> CheckStatus {
        if self.started {
            CheckStatus::Passing
        } else if self.is_stale(now) {
            CheckStatus::Stale(self.check.valid_for.unwrap_or_default())
        } else {
            self.shown.clone()
        }
    }

    /// When it becomes stale, unless it reports before.
    pub(super) fn expires(&self) -> Option<Instant> {
        let valid_for = self.check.valid_for.filter(|_| !self.started)?;
        Some(self.heard + valid_for)
    }

    /// When it is late, of a startup check that has not passed.
    pub(super) fn is_late_from(&self, deadline: Option<Duration>) -> Option<Instant> {
        let deadline = deadline.filter(|_| self.is_starting())?;
        Some(self.begun + deadline)
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.expires().is_some_and(|expires| expires <= now)
    }
}
