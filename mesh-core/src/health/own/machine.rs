//! All checks of the service's own health, and the three answers that follow from them.

use alloc::collections::{BTreeMap, BTreeSet};
use core::num::NonZeroU32;
use core::time::Duration;

use super::aggregate::{Aggregate, OwnState, OwnStatus, Reason, Statuses, severity};
use super::check::{CheckKind, CheckName, OwnCheck};
use super::error::{OwnCheckError, UnknownCheck};
use super::graph::{self, Dependencies};
use super::judgement::{CheckStatus, Judgement};
use super::report::Report;
use crate::service::{ConfigError, Problems};
use crate::time::{Instant, Monotonic};

/// The bounds of a service's own health.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct OwnHealthConfig {
    /// The most checks. Default 64.
    pub checks_max: NonZeroU32,
    /// How long a startup check may take to pass, from when it was registered. From then on the process counts as not
    /// alive, so that it is restarted, until it passes after all. Default "never".
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration_or_never"))]
    pub startup_deadline: Option<Duration>,
}

impl Default for OwnHealthConfig {
    fn default() -> Self {
        Self { checks_max: CHECKS_MAX, startup_deadline: None }
    }
}

impl OwnHealthConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Every field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        let given = self.startup_deadline != Some(Duration::ZERO);
        problems.require(given, "startup_deadline", "0s", "must be longer than zero");
        if problems.is_empty() { Ok(()) } else { Err(problems.into_error()) }
    }
}

/// The service's own health: what its checks reported, and what follows.
///
/// *Inputs*: checks, reports and the wish to drain. *Answers*: liveness, readiness and startup at a time, each with its
/// reasons, and the order in which to stop. *Timers*: [`OwnHealth::next_transition_at`], for reports that expire and
/// startups that are late; nothing has to be told that the time came. *Bounds*: `checks_max` checks, a note of 256
/// bytes each. A time that goes back counts as the latest that a report or a check came with.
#[derive(Clone, Debug, Default)]
pub struct OwnHealth {
    config: OwnHealthConfig,
    checks: BTreeMap<CheckName, Judgement>,
    /// Those depended upon first.
    order: Vec<CheckName>,
    clock: Monotonic,
    draining: bool,
}

impl OwnHealth {
    /// One without checks: alive, started and ready.
    #[must_use]
    pub fn new(config: OwnHealthConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Registers a check that depends only on those registered before.
    ///
    /// # Errors
    /// Why it is not registered; nothing changed then.
    pub fn register(&mut self, now: Instant, check: OwnCheck) -> Result<(), OwnCheckError> {
        self.register_all(now, vec![check])
    }

    /// Registers checks that may depend on each other, in any order: all of them, or none.
    ///
    /// A startup check that is registered later has the process start anew: until it passes, liveness and readiness are
    /// not judged.
    ///
    /// # Errors
    /// Why they are not registered; nothing changed then.
    pub fn register_all(&mut self, now: Instant, checks: Vec<OwnCheck>) -> Result<(), OwnCheckError> {
        let order = self.order_with(&checks)?;
        let now = self.clock.observe(now);
        self.order = order;
        for check in checks {
            self.checks.insert(check.name.clone(), Judgement::new(check, now));
        }
        Ok(())
    }

    /// Takes in what came of a check. What a startup check that has passed reports is ignored, and so is that one passes
    /// while it is blocked by a check that it depends on.
    ///
    /// With the last startup check that passes, what liveness checks reported before is forgotten: they are not asked
    /// before that.
    ///
    /// # Errors
    /// Says that there is no such check.
    pub fn report(&mut self, now: Instant, name: &CheckName, report: Report) -> Result<(), UnknownCheck> {
        let now = self.at(now);
        let blocked = report.is_good() && self.is_starting_blocked(now, name);
        let Some(check) = self.checks.get_mut(name) else { return Err(UnknownCheck { name: name.clone() }) };
        self.clock.observe(now);
        if blocked {
            return Ok(());
        }
        let starting = check.is_starting();
        check.record(now, report);
        if starting && !self.is_starting() {
            let alive = |check: &&mut Judgement| check.check.kind == CheckKind::Liveness;
            self.checks.values_mut().filter(alive).for_each(|check| check.begin_anew(now));
        }
        Ok(())
    }

    /// From now on the process is not ready, whatever its checks say. There is no way back.
    pub const fn begin_drain(&mut self) {
        self.draining = true;
    }

    /// Whether it is being drained.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.draining
    }

    /// Whether no check is registered, so that nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// Whether `name` is a startup check that has passed: nobody has to run it again.
    #[must_use]
    pub fn has_started(&self, name: &CheckName) -> bool {
        self.checks.get(name).is_some_and(Judgement::has_started)
    }

    /// The checks, those depended upon last: the order in which to stop what they stand for, and by name backwards where
    /// either may come first.
    #[must_use]
    pub fn drain_order(&self) -> Vec<CheckName> {
        self.order.iter().rev().cloned().collect()
    }

    /// What is thought of a check; none where there is no such check.
    #[must_use]
    pub fn status(&self, now: Instant, name: &CheckName) -> Option<CheckStatus> {
        self.statuses(self.at(now)).remove(name)
    }

    /// The three answers.
    #[must_use]
    pub fn state(&self, now: Instant) -> OwnState {
        let now = self.at(now);
        let statuses = self.statuses(now);
        let starting = self.starting(now, &statuses);
        OwnState {
            liveness: Aggregate::of(self.alive(&starting, &statuses)),
            readiness: Aggregate::of(self.ready(&starting, &statuses)),
            startup: Aggregate::of(starting),
            judged: self.draining || !self.is_empty(),
        }
    }

    /// Whether the process works at all: down where only a restart would help.
    #[must_use]
    pub fn liveness(&self, now: Instant) -> Aggregate {
        self.state(now).liveness
    }

    /// Whether the process should be given requests: not down.
    #[must_use]
    pub fn readiness(&self, now: Instant) -> Aggregate {
        self.state(now).readiness
    }

    /// Whether all startup checks have passed: up or down.
    #[must_use]
    pub fn startup(&self, now: Instant) -> Aggregate {
        self.state(now).startup
    }

    /// The first time after `now` at which an answer may change without a report: something expires or is late.
    #[must_use]
    pub fn next_transition_at(&self, now: Instant) -> Option<Instant> {
        let now = self.at(now);
        let times = |check: &Judgement| [check.expires(), check.is_late_from(self.config.startup_deadline)];
        self.checks.values().flat_map(times).flatten().filter(|time| *time > now).min()
    }

    fn at(&self, now: Instant) -> Instant {
        now.max(self.clock.latest())
    }

    /// Whether `name` is a startup check that has not passed, and cannot.
    fn is_starting_blocked(&self, now: Instant, name: &CheckName) -> bool {
        let is_blocked = || matches!(self.statuses(now).get(name), Some(CheckStatus::Blocked { .. }));
        self.checks.get(name).is_some_and(Judgement::is_starting) && is_blocked()
    }

    fn is_starting(&self) -> bool {
        self.checks.values().any(Judgement::is_starting)
    }

    fn statuses(&self, now: Instant) -> Statuses<'_> {
        let mut statuses = Statuses::new();
        for name in &self.order {
            let Some(check) = self.checks.get(name) else { continue };
            let blocker = |dependency| statuses.get(dependency).and_then(|status| status.blocker(dependency));
            let by = check.check.depends_on.iter().find_map(blocker).filter(|_| !check.has_started());
            let status = by.map_or_else(|| check.status(now), |by| CheckStatus::Blocked { by: by.clone() });
            statuses.insert(name, status);
        }
        statuses
    }

    /// The startup checks that have not passed.
    fn starting(&self, now: Instant, statuses: &Statuses<'_>) -> Vec<(OwnStatus, Reason)> {
        let reason = |(name, check): (&CheckName, &Judgement)| {
            let status = statuses.get(name).filter(|_| check.is_starting())?.clone();
            let late = check.is_late_from(self.config.startup_deadline).is_some_and(|from| from <= now);
            Some((OwnStatus::Down, Reason::Starting { check: name.clone(), status, late }))
        };
        self.checks.iter().filter_map(reason).collect()
    }

    fn alive(&self, starting: &[(OwnStatus, Reason)], statuses: &Statuses<'_>) -> Vec<(OwnStatus, Reason)> {
        if starting.is_empty() {
            return self.judged(CheckKind::Liveness, statuses);
        }
        let judged = |(_, reason): &(OwnStatus, Reason)| match reason {
            Reason::Starting { late: true, .. } => (OwnStatus::Down, reason.clone()),
            Reason::Starting { .. } | Reason::Draining | Reason::Check { .. } => (OwnStatus::Up, reason.clone()),
        };
        starting.iter().map(judged).collect()
    }

    fn ready(&self, starting: &[(OwnStatus, Reason)], statuses: &Statuses<'_>) -> Vec<(OwnStatus, Reason)> {
        let mut found = Vec::new();
        if self.draining {
            found.push((OwnStatus::Down, Reason::Draining));
        }
        found.extend_from_slice(starting);
        if starting.is_empty() {
            found.extend(self.judged(CheckKind::Liveness, statuses));
            found.extend(self.judged(CheckKind::Readiness, statuses));
        }
        found
    }

    /// The checks of `kind` that are not as they should be, by name.
    fn judged(&self, kind: CheckKind, statuses: &Statuses<'_>) -> Vec<(OwnStatus, Reason)> {
        let reason = |(name, check): (&CheckName, &Judgement)| {
            let status = statuses.get(name)?.clone();
            let importance = check.check.importance;
            let severity = severity(kind, importance, &status);
            let reason = Reason::Check { check: name.clone(), kind, importance, status };
            (severity > OwnStatus::Up).then_some((severity, reason))
        };
        self.checks.iter().filter(|(_, check)| check.check.kind == kind).filter_map(reason).collect()
    }

    /// The order of all checks with `added`.
    fn order_with(&self, added: &[OwnCheck]) -> Result<Vec<CheckName>, OwnCheckError> {
        let mut all: Dependencies<'_> =
            self.checks.iter().map(|(name, check)| (name, &check.check.depends_on)).collect();
        for check in added {
            let name = check.name.clone();
            if let Err(source) = check.validate() {
                return Err(OwnCheckError::Invalid { name, source });
            }
            if all.insert(&check.name, &check.depends_on).is_some() {
                return Err(OwnCheckError::Duplicate { name });
            }
            if all.len() > self.config.checks_max.get() as usize {
                return Err(OwnCheckError::TooMany { name, checks_max: self.config.checks_max });
            }
        }
        for check in added {
            if let Some(dependency) = unknown(&check.depends_on, &all) {
                return Err(OwnCheckError::UnknownDependency { name: check.name.clone(), dependency });
            }
        }
        graph::order(&all).map_err(|cycle| OwnCheckError::Cycle { cycle })
    }
}

fn unknown(depends_on: &BTreeSet<CheckName>, all: &Dependencies<'_>) -> Option<CheckName> {
    depends_on.iter().find(|dependency| !all.contains_key(dependency)).cloned()
}

const CHECKS_MAX: NonZeroU32 = NonZeroU32::new(64).unwrap();
