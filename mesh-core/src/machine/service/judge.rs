//! What is thought of each instance, all that is known of it taken together: its status with its history, whether it
//! flaps, and how much of its weight it keeps.
//!
//! It is told what sources say and reads what endpoints counted. It publishes nothing: the machine asks it of every
//! instance that it names as affected.

mod weighing;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::time::Duration;

use super::config::ServiceMachineConfig;
use crate::balance::{Endpoint, Runs, Tally, View, WakeRules};
use crate::health::outlier::{OutlierConfig, OutlierDetector, OutlierEvent, Reading, Standing};
use crate::health::{
    Aggregate, CheckEvidence, Damper, Damping, Health, HealthWeight, History, Ledger, OutlierStanding, Reason,
    ScoreConfig, Signals, SlowStartConfig, Sources, Status, StatusChange,
};
use crate::service::InstanceKey;
use crate::time::Instant;
use crate::timers::Timers;

#[derive(Debug)]
pub(super) struct Judge {
    outliers: OutlierDetector,
    /// Whether what endpoints counted is looked at.
    sweeps: bool,
    /// Whether overload is a failure.
    overload_fails: bool,
    /// Whether what an instance did before it came back is forgotten.
    starts_fresh: bool,
    ledger: Ledger,
    damping: Damping,
    scores: ScoreConfig,
    slow_start: SlowStartConfig,
    wards: BTreeMap<InstanceKey, Ward>,
    damped: BTreeSet<InstanceKey>,
    timers: Timers<Due>,
    affected: VecDeque<InstanceKey>,
    /// Memory that is kept from sweep to sweep.
    latencies: Vec<f64>,
    outcomes: VecDeque<OutlierEvent>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// An instance that flapped may return.
    Undamped(InstanceKey),
    /// The next step of an instance that warms up.
    Warmer(InstanceKey),
}

/// What is kept of one instance.
#[derive(Debug, Default)]
struct Ward {
    damper: Damper,
    /// Whether the mesh's own checks had it down when they were asked last, doubted or not: a doubt that ends is no fall.
    is_down: bool,
    weight: HealthWeight,
    status: Status,
    /// Whether it is to warm up once it may be picked.
    is_cold: bool,
    warms_since: Option<Instant>,
    /// As it was at the last sweep.
    tally: Tally,
    /// As it was at the sweep before.
    earlier: Tally,
}

/// What came of looking at an instance.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) status: Status,
    /// How much of its weight it keeps, in thousandths.
    pub(super) factor_milli: u32,
    /// Whether the status is another one, and how long the one before lasted.
    pub(super) change: Option<(StatusChange, Duration)>,
}

impl Judge {
    pub(super) fn new(config: &ServiceMachineConfig, seed: u64) -> Self {
        Self {
            outliers: OutlierDetector::new(config.outlier.clone(), seed),
            sweeps: Self::rules(config).tally,
            overload_fails: config.outlier.overloaded_is_failure,
            starts_fresh: config.outlier.ejection.fresh_start,
            ledger: Ledger::new(&config.history),
            damping: Damping::new(&config.damping),
            scores: config.weighting.clone(),
            slow_start: config.slow_start.clone(),
            wards: BTreeMap::new(),
            damped: BTreeSet::new(),
            timers: Timers::new(),
            affected: VecDeque::new(),
            latencies: Vec::new(),
            outcomes: VecDeque::new(),
        }
    }

    /// What leases are to ask sweeps for.
    pub(super) fn rules(config: &ServiceMachineConfig) -> WakeRules {
        let OutlierConfig { failures_in_row, gateway_in_row, local_in_row, .. } = &config.outlier;
        let length = |run: &Option<crate::health::outlier::InRow>| run.as_ref().map(|run| run.threshold);
        WakeRules {
            failures: config.wake_after,
            failures_again: length(failures_in_row),
            gateway: length(gateway_in_row),
            local: length(local_in_row),
            split_local: config.outlier.split_local_origin,
            overload_fails: config.outlier.overloaded_is_failure,
            overload_fails_trials: config.outlier.overloaded_lowers_rate,
            // Without outlier detection there are no sweeps to look at it.
            tally: !config.outlier.is_off(),
        }
    }

    pub(super) fn enrol(&mut self, now: Instant, key: &InstanceKey) {
        if self.sweeps {
            self.outliers.enrol(now, key.clone());
        }
        self.ledger.enrol(now, key);
        self.wards.entry(key.clone()).or_default();
    }

    /// Another process answers to `key`, of which nothing is known.
    pub(super) fn replace(&mut self, now: Instant, key: &InstanceKey) {
        if self.sweeps {
            self.outliers.replace(now, key.clone());
        }
        self.drop_ward(key);
        self.enrol(now, key);
    }

    /// The instance `key` has left.
    pub(super) fn forget(&mut self, key: &InstanceKey) {
        self.outliers.forget(key);
        self.drop_ward(key);
    }

    fn drop_ward(&mut self, key: &InstanceKey) {
        self.wards.remove(key);
        self.damped.remove(key);
        self.timers.clear(&Due::Undamped(key.clone()));
        self.timers.clear(&Due::Warmer(key.clone()));
        self.ledger.forget(key);
    }

    /// Looks at the instances whose leases asked for it: at those with a long run of failures, and at how the requests to
    /// those on probation ended.
    pub(super) fn heed(&mut self, now: Instant, view: &View) {
        let rests = self.outliers.probing_count() > 0;
        for (endpoint, _) in view.registered() {
            let runs = endpoint.runs();
            if runs != Runs::default() {
                // One whose checks are not believed because it serves may serve no longer.
                self.affected.push_back(endpoint.key().clone());
                self.outliers.heed(now, endpoint.key(), &reading(endpoint));
            }
            if rests && let Some(passed) = endpoint.ticket().verdict() {
                self.outliers.probed(now, endpoint.key(), passed);
            }
        }
    }

    /// A check of the instance `key` ended.
    pub(super) fn checked(&mut self, now: Instant, key: &InstanceKey, passed: bool) {
        self.outliers.checked(now, key, passed);
    }

    /// Checks of the instance `key`, the mesh's or the registry's, failed before and pass now.
    pub(super) fn recovered(&mut self, now: Instant, key: &InstanceKey) {
        self.outliers.recovered(now, key);
    }

    /// Does what is due at `now`; returns whether it looked at what all instances did. What they did is remembered where
    /// weights follow it, or where `checks` may have to be doubted for it.
    pub(super) fn tick(&mut self, now: Instant, view: &View, checks: bool) -> bool {
        self.see_who_is_tried(now, view);
        let sweeps = self.outliers.is_sweep_due(now);
        if sweeps {
            let readings = view.endpoints().map(|endpoint| (endpoint.key(), reading(endpoint)));
            self.outliers.sweep(now, readings);
            if checks || self.scores.is_on() {
                self.weigh(view);
            }
        }
        self.outliers.tick(now);
        while let Some(due) = self.timers.pop_due(now) {
            match due {
                Due::Undamped(key) => {
                    self.damped.remove(&key);
                    self.affected.push_back(key);
                }
                Due::Warmer(key) => {
                    self.warm(now, &key);
                    self.affected.push_back(key);
                }
            }
        }
        sweeps
    }

    /// Tells the detector how it is with the requests to those whose probation would end: nobody need have been woken since
    /// one ended, or for one that was given up.
    fn see_who_is_tried(&mut self, now: Instant, view: &View) {
        if self.outliers.probing_count() == 0 || self.outliers.next().is_none_or(|due| due > now) {
            return;
        }
        for endpoint in view.endpoints() {
            match endpoint.ticket().verdict() {
                Some(passed) => self.outliers.probed(now, endpoint.key(), passed),
                None => self.outliers.tried(endpoint.key(), endpoint.ticket().taken_at()),
            }
        }
    }

    /// Takes in what the outlier detector says; `endpoint` finds the counters of an instance.
    pub(super) fn follow_outliers<E>(&mut self, now: Instant, endpoint: impl Fn(&InstanceKey) -> Option<E>)
    where
        E: core::ops::Deref<Target = Endpoint>,
    {
        while let Some(event) = self.outliers.poll_event() {
            match &event {
                OutlierEvent::Released { key } => {
                    if let Some(endpoint) = endpoint(key) {
                        endpoint.ticket().offer();
                        self.outliers.rebase(key, &reading(&endpoint));
                    }
                    self.affected.push_back(key.clone());
                }
                OutlierEvent::Restored { key, .. } => {
                    if let Some(endpoint) = endpoint(key) {
                        endpoint.forgive();
                        let forgiven = reading(&endpoint);
                        if self.starts_fresh {
                            self.outliers.rebase(key, &forgiven);
                        } else {
                            // The run that it was ejected for has ended.
                            self.outliers.heed(now, key, &forgiven);
                        }
                    }
                    if let Some(ward) = self.wards.get_mut(key) {
                        ward.is_cold = !self.slow_start.window.is_zero();
                    }
                    self.affected.push_back(key.clone());
                }
                OutlierEvent::Ejected { key, .. } => self.affected.push_back(key.clone()),
                OutlierEvent::Spared { .. } => {}
            }
            self.outcomes.push_back(event);
        }
    }

    /// The next instance that may have to be shown otherwise. To be asked until there is none.
    pub(super) fn poll_affected(&mut self) -> Option<InstanceKey> {
        self.affected.pop_front().or_else(|| self.undamp())
    }

    /// Lets in whoever would return first of those that are out for nothing else than that they flapped, where nobody
    /// serves or too many others have left: they are held out in favour of better ones.
    fn undamp(&mut self) -> Option<InstanceKey> {
        if self.damped.len() <= self.wards.len() / 2 && self.ledger.aggregate().up() > 0 {
            return None;
        }
        let is_well = |key: &&InstanceKey| {
            self.ledger.of(key).is_some_and(|history| matches!(history.reason(), Reason::Damped { .. }))
        };
        let until = |key: &&InstanceKey| self.timers.get(&Due::Undamped((*key).clone()));
        let key = self.damped.iter().filter(is_well).min_by_key(until)?.clone();
        self.damped.remove(&key);
        self.timers.clear(&Due::Undamped(key.clone()));
        Some(key)
    }

    /// What the outlier detector had to say.
    pub(super) fn poll_outcome(&mut self) -> Option<OutlierEvent> {
        self.outcomes.pop_front()
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.outliers.next(), self.timers.next()].into_iter().flatten().min()
    }

    pub(super) fn history(&self, key: &InstanceKey) -> Option<&History> {
        self.ledger.of(key)
    }

    pub(super) const fn aggregate(&self) -> Aggregate {
        self.ledger.aggregate()
    }

    pub(super) fn standing(&self, key: &InstanceKey) -> Standing {
        self.outliers.standing(key)
    }

    /// Decides what is thought of the instance `key`, of which checks, the registry and its owner say what is in
    /// `sources`.
    pub(super) fn judge(&mut self, now: Instant, key: &InstanceKey, mut sources: Sources) -> Judgement {
        self.damp(now, key, &sources);
        let damped = self.damped.contains(key);
        sources.damped_until = self.wards.get(key).filter(|_| damped).and_then(|ward| ward.damper.damped_until(now));
        sources.outlier = match self.outliers.standing(key) {
            Standing::In => OutlierStanding::Admitting,
            Standing::Ejected { cause, .. } => OutlierStanding::Ejected(cause.name()),
            Standing::Probing { .. } => OutlierStanding::Probing("probe"),
        };
        let (status, reason) = Status::of(&sources);
        let mut otherwise = status;
        if sources.outlier != OutlierStanding::Admitting {
            sources.outlier = OutlierStanding::Admitting;
            (otherwise, _) = Status::of(&sources);
        }
        self.outliers.set_aside(key, !otherwise.is_up());
        let since = self.ledger.of(key).map_or(now, History::since);
        let change = self.ledger.record(now, key, status, reason).map(|change| (change, now.since(since)));
        if status.is_up() {
            self.begin_to_warm(now, key);
        }
        let factor_milli = self.wards.get_mut(key).map_or(WHOLE, |ward| {
            ward.status = status;
            if change.is_some() {
                ward.weight.update(&self.scores, &Signals::new(status));
            }
            let warmth = ward.warms_since.map_or(WHOLE, |since| self.slow_start.factor_milli(now.since(since)));
            (ward.weight.factor_milli() * warmth / WHOLE).max(1)
        });
        Judgement { status, factor_milli, change }
    }

    /// Counts a fall that the mesh's own checks saw, and holds the instance out where it fell too often; but never where more
    /// than half of a service would be out, the ejected among them. The registry's word is no fall: an agent that restarts
    /// calls all of its instances critical, again and again, and none of them is to blame.
    fn damp(&mut self, now: Instant, key: &InstanceKey, sources: &Sources) {
        let (most, out) = (self.wards.len() / 2, self.outliers.ejected_count() + self.outliers.probing_count());
        let Some(ward) = self.wards.get_mut(key) else { return };
        // What a plan hides is neither a rise nor, when the plan ends, a fall.
        if Status::of(sources).0.is_planned() {
            return;
        }
        let fails = |check: &CheckEvidence| check.health == Health::Unhealthy;
        let is_down = sources.check.as_ref().is_some_and(fails);
        let was_down = core::mem::replace(&mut ward.is_down, is_down);
        let had_risen = |it: &History| it.status() != Status::Unknown && !it.status().is_planned();
        if !is_down || was_down || sources.check_doubted || !self.ledger.of(key).is_some_and(had_risen) {
            return;
        }
        ward.damper.flap(now, &self.damping);
        if let Some(until) = ward.damper.damped_until(now)
            && (self.damped.contains(key) || self.damped.len() + out < most)
        {
            self.damped.insert(key.clone());
            self.timers.set(Due::Undamped(key.clone()), until);
        }
    }
}

/// What the detector reads of an endpoint. The run is read first, and counted last, so that it is never ahead.
fn reading(endpoint: &Endpoint) -> Reading {
    let Runs { failures, gateway, local } = endpoint.runs();
    let tally = endpoint.tally();
    Reading {
        successes: tally.successes,
        failures: tally.failures,
        overloaded: tally.overloaded,
        timed_out: tally.timed_out,
        unreachable: tally.unreachable,
        latency_log2_sum: tally.latency_log2_sum,
        latency_count: tally.successes,
        failures_in_row: failures,
        local_in_row: local,
        gateway_in_row: gateway,
    }
}

pub(super) const WHOLE: u32 = 1000;
