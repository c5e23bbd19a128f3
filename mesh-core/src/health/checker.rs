//! The active checks of one service's instances: when each is due, and what the answers mean.
//!
//! One check in flight for an instance, a bound on all of them, the next one an interval after the last
//! ended: a period is the interval and the time that the answer took, or the timeout where none came. It never talks to an instance and never decides who is picked.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use core::num::NonZeroU32;
use core::time::Duration;

use super::probe::{Probe, ProbeFailure, ProbeId, ProbeReport, ProbeVerdict};
use super::status::Health;
use super::threshold::Threshold;
use crate::rng::Rng;
use crate::service::{CheckStanding, HealthCheck, Instance, InstanceKey};
use crate::time::Instant;
use crate::timers::Timers;

/// How checks are spread and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct CheckerConfig {
    /// The most checks in flight at once for one service. Default 64. What is due beyond waits its turn.
    pub in_flight_max: NonZeroU32,
    /// The first check of an instance comes at random within this time, or within its interval where that is
    /// shorter, so that a thousand instances found at once are no herd. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub stagger_max: Duration,
    /// How far each interval may be stretched at random, in percent: 0 to 100. Default 10.
    pub jitter_percent: u32,
}

impl Default for CheckerConfig {
    fn default() -> Self {
        Self { in_flight_max: IN_FLIGHT_MAX, stagger_max: Duration::from_secs(1), jitter_percent: 10 }
    }
}

/// A change of an instance's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) key: InstanceKey,
    pub(crate) from: Health,
    pub(crate) to: Health,
    pub(crate) verdict: ProbeVerdict,
}

#[derive(Debug)]
pub(crate) struct Checker {
    config: CheckerConfig,
    rng: Rng,
    targets: BTreeMap<InstanceKey, Target>,
    /// How many of them are unhealthy.
    unhealthy: usize,
    timers: Timers<Timer>,
    in_flight: BTreeMap<ProbeId, InstanceKey>,
    waiting: BTreeMap<u64, InstanceKey>,
    turns_given: u64,
    probes_made: u64,
    probes: VecDeque<Probe>,
    transitions: VecDeque<Transition>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Due(InstanceKey),
    Late(ProbeId),
}

#[derive(Debug)]
struct Target {
    instance: Arc<Instance>,
    check: Arc<HealthCheck>,
    threshold: Threshold,
    health: Health,
    asked: Asked,
    /// The answer that decided its health.
    decided: Option<ProbeVerdict>,
    /// When the last check of it ended.
    concluded: Option<Instant>,
    /// How many requests it had been given by then. Only kept where its check asks for it.
    picks: u64,
}

/// How many requests an instance has been given since it joined.
type Picks<'a> = &'a dyn Fn(&InstanceKey) -> u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    No,
    /// For the place of this turn in `waiting`, where it can be found however long the line is.
    Waiting(u64),
    InFlight(ProbeId),
}

impl Checker {
    pub(crate) fn new(config: CheckerConfig, rng: Rng) -> Self {
        Self {
            config,
            rng,
            targets: BTreeMap::new(),
            unhealthy: 0,
            timers: Timers::new(),
            in_flight: BTreeMap::new(),
            waiting: BTreeMap::new(),
            turns_given: 0,
            probes_made: 0,
            probes: VecDeque::new(),
            transitions: VecDeque::new(),
        }
    }

    /// Checks `instance` from now on. What is known of it stays, unless it moved to another address or the
    /// check became another one; returns whether it is unchecked.
    pub(crate) fn watch(&mut self, now: Instant, instance: &Arc<Instance>, check: &Arc<HealthCheck>) -> bool {
        let key = instance.key();
        if let Some(target) = self.targets.get_mut(key) {
            let moved = target.instance.host() != instance.host() || target.instance.port() != instance.port();
            if !moved && target.check == *check {
                target.instance = Arc::clone(instance);
                return false;
            }
            self.forget(now, &key.clone());
        }
        let threshold = Threshold::new(check.rise(), check.fall());
        let (instance, check) = (Arc::clone(instance), Arc::clone(check));
        let first = self.rng.up_to(self.config.stagger_max.min(check.interval()));
        self.timers.set(Timer::Due(key.clone()), now + first);
        let health = Health::Unknown;
        let target =
            Target { instance, check, threshold, health, asked: Asked::No, decided: None, concluded: None, picks: 0 };
        self.targets.insert(target.instance.key().clone(), target);
        true
    }

    /// Checks the instance `key` no longer; an answer still to come is ignored.
    pub(crate) fn forget(&mut self, now: Instant, key: &InstanceKey) {
        let Some(target) = self.targets.remove(key) else { return };
        self.unhealthy -= usize::from(target.health == Health::Unhealthy);
        self.timers.clear(&Timer::Due(key.clone()));
        match target.asked {
            Asked::No => {}
            Asked::Waiting(turn) => drop(self.waiting.remove(&turn)),
            Asked::InFlight(id) => {
                self.probes.retain(|probe| probe.id != id);
                self.release(id);
                self.ask_waiting(now);
            }
        }
    }

    /// Checks the instance `key` at once, unless a check of it is under way or ended a moment ago, or it is
    /// known to be unhealthy: there is nothing to hurry for then.
    pub(crate) fn hurry(&mut self, now: Instant, key: &InstanceKey) {
        let worth_it = |target: &Target| {
            let gap = HURRY_GAP.min(target.check.interval());
            let rested = target.concluded.is_none_or(|concluded| now.since(concluded) >= gap);
            target.asked == Asked::No && target.health != Health::Unhealthy && rested
        };
        if self.targets.get(key).is_some_and(worth_it) {
            self.timers.clear(&Timer::Due(key.clone()));
            self.ask(now, key.clone());
        }
    }

    /// Takes in the answer to a probe; returns whose it is. Unknown and late answers are ignored.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        id: ProbeId,
        report: ProbeReport,
        picks: Picks<'_>,
    ) -> Option<InstanceKey> {
        let key = self.in_flight.get(&id).cloned()?;
        self.release(id);
        self.conclude(now, &key, report.verdict, picks);
        self.ask_waiting(now);
        Some(key)
    }

    /// The world has no room for a probe: its instance is asked again a tenth of the interval later, and nothing is learnt.
    pub(crate) fn postpone(&mut self, now: Instant, id: ProbeId) {
        let Some(key) = self.in_flight.get(&id).cloned() else { return };
        self.release(id);
        if let Some(target) = self.targets.get_mut(&key) {
            target.asked = Asked::No;
            let wait = (target.check.interval() / 10).max(POSTPONED_MIN);
            self.timers.set(Timer::Due(key), now + wait);
        }
        self.ask_waiting(now);
    }

    /// Does what is due at `now`.
    pub(crate) fn tick(&mut self, now: Instant, picks: Picks<'_>) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Due(key) => self.ask(now, key),
                Timer::Late(id) => {
                    let Some(key) = self.in_flight.remove(&id) else { continue };
                    self.conclude(now, &key, ProbeVerdict::Failed(ProbeFailure::TimedOut), picks);
                    self.ask_waiting(now);
                }
            }
        }
    }

    pub(crate) fn poll_probe(&mut self) -> Option<Probe> {
        self.probes.pop_front()
    }

    pub(crate) fn poll_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(crate) fn health(&self, key: &InstanceKey) -> Health {
        self.targets.get(key).map_or(Health::Unknown, |target| target.health)
    }

    /// Whether anybody is checked.
    pub(crate) fn is_checking(&self) -> bool {
        !self.targets.is_empty()
    }

    /// Whether checks fail on most of those that are checked, and on two at least.
    pub(crate) fn mostly_fails(&self) -> bool {
        self.unhealthy > 1 && self.unhealthy * 2 > self.targets.len()
    }

    /// The answer that decided what is thought of the instance `key`.
    pub(crate) fn verdict(&self, key: &InstanceKey) -> Option<&ProbeVerdict> {
        self.targets.get(key)?.decided.as_ref()
    }

    fn ask(&mut self, now: Instant, key: InstanceKey) {
        let Some(target) = self.targets.get_mut(&key) else { return };
        if self.in_flight.len() >= self.config.in_flight_max.get() as usize {
            self.turns_given += 1;
            target.asked = Asked::Waiting(self.turns_given);
            self.waiting.insert(self.turns_given, key);
            return;
        }
        self.probes_made += 1;
        let id = ProbeId(self.probes_made);
        target.asked = Asked::InFlight(id);
        self.timers.set(Timer::Late(id), now + target.check.timeout());
        let probe = Probe { id, instance: Arc::clone(&target.instance), check: Arc::clone(&target.check) };
        self.in_flight.insert(id, key);
        self.probes.push_back(probe);
    }

    fn ask_waiting(&mut self, now: Instant) {
        if let Some((_, key)) = self.waiting.pop_first() {
            self.ask(now, key);
        }
    }

    fn release(&mut self, id: ProbeId) {
        self.in_flight.remove(&id);
        self.timers.clear(&Timer::Late(id));
    }

    /// Draws the conclusion of one probe and sets the time of the next.
    fn conclude(&mut self, now: Instant, key: &InstanceKey, verdict: ProbeVerdict, picks: Picks<'_>) {
        let Some(target) = self.targets.get_mut(key) else { return };
        target.asked = Asked::No;
        target.concluded = Some(now);
        let failure = if let ProbeVerdict::Failed(failure) = &verdict { Some(failure) } else { None };
        if failure.is_some_and(|failure| target.check.immediate_on_status() && failure.is_an_answer()) {
            target.threshold.decide(false);
        } else {
            target.threshold.record(failure.is_none());
        }
        let interval = target.next_interval(picks);
        let stretch = self.rng.up_to(interval * self.config.jitter_percent.min(100) / 100);
        self.timers.set(Timer::Due(key.clone()), now + interval + stretch);
        let to = match (target.threshold.verdict(), &verdict) {
            (Some(true), ProbeVerdict::Warned) => Health::Degraded,
            // A failure that is only being counted changes nothing yet.
            (Some(true), ProbeVerdict::Failed(_)) => target.health,
            (Some(true), ProbeVerdict::Passed) => Health::Healthy,
            (Some(false) | None, _) => Health::Unhealthy,
        };
        let from = core::mem::replace(&mut target.health, to);
        self.unhealthy += usize::from(to == Health::Unhealthy);
        self.unhealthy -= usize::from(from == Health::Unhealthy);
        if from != to {
            target.decided = Some(verdict.clone());
            self.transitions.push_back(Transition { key: key.clone(), from, to, verdict });
        }
    }
}

impl Target {
    /// The time until its next check, after one that was just concluded.
    fn next_interval(&mut self, picks: Picks<'_>) -> Duration {
        let has_traffic = self.check.no_traffic_interval().is_none() || {
            let picks = picks(self.instance.key());
            core::mem::replace(&mut self.picks, picks) != picks
        };
        let is_up = self.threshold.verdict() == Some(true);
        let is_counting = self.threshold.is_counting();
        self.check.interval_after(CheckStanding { is_up, is_counting, has_traffic })
    }
}

/// The least time between the end of a check and a hurried one: Consul's shortest interval.
const HURRY_GAP: Duration = Duration::from_secs(1);
const IN_FLIGHT_MAX: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// The least time until a postponed check is tried again.
const POSTPONED_MIN: Duration = Duration::from_millis(1);
