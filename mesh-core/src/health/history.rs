//! What became of each instance: its status, since when, why, and what went before.
//!
//! Decides what counts as a flap and how a service as a whole is doing. Never decides a status.

use alloc::collections::{BTreeMap, VecDeque};
use core::num::NonZeroU32;
use core::time::Duration;

use super::status::{Reason, Status};
use crate::service::{ConfigError, InstanceKey, Problems};
use crate::time::Instant;

/// How much is remembered of each instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct HistoryConfig {
    /// The most changes of status kept for an instance; of more, the oldest are forgotten. 1 to 1024. Default 16, at
    /// 40 bytes each, which are taken as they happen.
    pub changes_max: NonZeroU32,
}

impl HistoryConfig {
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
        problems.require(self.changes_max <= CHANGES_BOUND, "changes_max", self.changes_max, "must be 1 to 1024");
    }
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { changes_max: CHANGES_MAX }
    }
}

/// One change of an instance's status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusChange {
    /// When.
    pub at: Instant,
    /// What it was.
    pub from: Status,
    /// What it became.
    pub to: Status,
    /// Why.
    pub reason: Reason,
}

/// The status of one instance and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    status: Status,
    since: Instant,
    reason: Reason,
    changes: VecDeque<StatusChange>,
    flaps: u64,
    /// What is over; where it is down now, that time is still to be added.
    down: Duration,
}

impl History {
    const fn new(now: Instant) -> Self {
        Self {
            status: Status::Unknown,
            since: now,
            reason: Reason::Unchecked,
            changes: VecDeque::new(),
            flaps: 0,
            down: Duration::ZERO,
        }
    }

    /// The status in force.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// Since when it is in force, whatever reasons it had meanwhile.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// Why it is in force: the newest reason.
    #[must_use]
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The last changes, the oldest first: at most `changes_max`.
    pub fn changes(&self) -> impl ExactSizeIterator<Item = &StatusChange> {
        self.changes.iter()
    }

    /// How often it fell: from a status in which it takes requests ([`Status::is_up`]) to one in which it is down
    /// ([`Status::is_down`]). A first check that fails is no fall, since nothing was known of the instance before.
    #[must_use]
    pub const fn flaps(&self) -> u64 {
        self.flaps
    }

    /// For how long it was down ([`Status::is_down`]) until `now`, all times together.
    #[must_use]
    pub fn down_for(&self, now: Instant) -> Duration {
        let running = if self.status.is_down() { now.since(self.since) } else { Duration::ZERO };
        self.down.saturating_add(running)
    }

    fn record(&mut self, now: Instant, status: Status, reason: Reason, changes_max: usize) -> Option<StatusChange> {
        self.reason = reason;
        if status == self.status {
            return None;
        }
        let at = now.max(self.since);
        self.down = self.down_for(at);
        self.flaps = self.flaps.saturating_add(u64::from(is_fall(self.status, status)));
        let from = core::mem::replace(&mut self.status, status);
        self.since = at;
        let change = StatusChange { at, from, to: status, reason: self.reason.clone() };
        if self.changes.len() >= changes_max {
            self.changes.pop_front();
        }
        self.changes.push_back(change.clone());
        Some(change)
    }
}

/// The histories of the instances of one service: one for each that is enrolled, and no others.
///
/// Time that goes back is taken to stand still.
#[derive(Clone, Debug)]
pub struct Ledger {
    changes_max: usize,
    histories: BTreeMap<InstanceKey, History>,
    counts: [usize; Status::ALL.len()],
}

impl Ledger {
    /// A ledger of nobody.
    #[must_use]
    pub const fn new(config: &HistoryConfig) -> Self {
        let changes_max = config.changes_max.get() as usize;
        Self { changes_max, histories: BTreeMap::new(), counts: [0; Status::ALL.len()] }
    }

    /// Begins the history of an instance, as `Unknown`; one that was begun goes on.
    pub fn enrol(&mut self, now: Instant, key: &InstanceKey) {
        if !self.histories.contains_key(key) {
            self.histories.insert(key.clone(), History::new(now));
            self.count(Status::Unknown, 1);
        }
    }

    /// Takes note of the status of an instance; returns the change if it is one. The reason is noted in any case.
    ///
    /// What is said of an instance that is not enrolled is ignored, so that late news of one that left begins nothing.
    pub fn record(&mut self, now: Instant, key: &InstanceKey, status: Status, reason: Reason) -> Option<StatusChange> {
        let change = self.histories.get_mut(key)?.record(now, status, reason, self.changes_max)?;
        self.count(change.from, -1);
        self.count(change.to, 1);
        Some(change)
    }

    /// Forgets an instance that left; returns its history.
    pub fn forget(&mut self, key: &InstanceKey) -> Option<History> {
        let history = self.histories.remove(key)?;
        self.count(history.status, -1);
        Some(history)
    }

    /// The history of the instance `key`.
    #[must_use]
    pub fn of(&self, key: &InstanceKey) -> Option<&History> {
        self.histories.get(key)
    }

    /// All histories, in the order of the keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&InstanceKey, &History)> {
        self.histories.iter()
    }

    /// How the service as a whole is doing, in O(1).
    #[must_use]
    pub const fn aggregate(&self) -> Aggregate {
        Aggregate { counts: self.counts }
    }

    fn count(&mut self, status: Status, by: isize) {
        if let Some(count) = self.counts.get_mut(status.index()) {
            *count = count.saturating_add_signed(by);
        }
    }
}

/// How many instances of a service have which status, and what that means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aggregate {
    counts: [usize; Status::ALL.len()],
}

impl Aggregate {
    /// How many instances have this status.
    #[must_use]
    pub fn count(&self, status: Status) -> usize {
        self.counts.get(status.index()).copied().unwrap_or_default()
    }

    /// Each status with how many instances have it.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (Status, usize)> {
        Status::ALL.into_iter().zip(self.counts)
    }

    /// How many instances there are.
    #[must_use]
    pub fn total(&self) -> usize {
        self.sum(|_| true)
    }

    /// How many instances take requests: [`Status::is_up`].
    #[must_use]
    pub fn up(&self) -> usize {
        self.sum(Status::is_up)
    }

    /// How many instances are out against their will: [`Status::is_down`].
    #[must_use]
    pub fn down(&self) -> usize {
        self.sum(Status::is_down)
    }

    /// What the counts mean.
    ///
    /// Instances in a planned status ([`Status::is_planned`]) count neither for nor against it, so that half a fleet
    /// that is taken out for a deploy alarms nobody; but a service of which nobody is up is critical, whatever the plan.
    #[must_use]
    pub fn verdict(&self) -> ServiceVerdict {
        let (up, down) = (self.up(), self.down());
        if self.total() == 0 {
            ServiceVerdict::Empty
        } else if up == 0 || up < down {
            ServiceVerdict::Critical
        } else if down > 0 || self.count(Status::Degraded) > 0 {
            ServiceVerdict::Degraded
        } else {
            ServiceVerdict::Healthy
        }
    }

    fn sum(&self, counted: impl Fn(Status) -> bool) -> usize {
        self.counts().filter(|(status, _)| counted(*status)).map(|(_, count)| count).sum()
    }
}

/// How a service as a whole is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ServiceVerdict {
    /// It has no instances.
    Empty,
    /// None of its instances is down or degraded, and one is up.
    Healthy,
    /// Some are down or degraded.
    Degraded,
    /// None is up, or fewer than are down: the half at which Envoy's `healthy_panic_threshold` stands by default.
    Critical,
}

impl ServiceVerdict {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
        }
    }
}

/// Only one that got requests can be ejected, so an ejection is a fall even where nothing else is known.
const fn is_fall(from: Status, to: Status) -> bool {
    from.is_up() && to.is_down() && !matches!((from, to), (Status::Unknown, Status::Unhealthy))
}

const CHANGES_MAX: NonZeroU32 = NonZeroU32::new(16).unwrap();
const CHANGES_BOUND: NonZeroU32 = NonZeroU32::new(1024).unwrap();
