//! What becomes of those that the detectors find: out, spared, probed, back.

use super::OutlierDetector;
use super::config::{Comeback, Release, ShareRule};
use super::detectors::InRow;
use super::event::{Cause, OutlierEvent, Reprieve, Restoration, Run, Standing};
use super::fleet::{has_room, out_max};
use super::reading::{Origin, RUNS, Reading};
use crate::service::InstanceKey;
use crate::time::Instant;

impl OutlierDetector {
    /// Judges the interval that ends with `readings`: runs first, then each detector over those that are left.
    pub(super) fn judge<'a>(&mut self, now: Instant, readings: impl IntoIterator<Item = (&'a InstanceKey, Reading)>) {
        self.read(now, readings);
        let split: &[Origin] = &[Origin::Remote, Origin::Local];
        for &origin in if self.config.split_local_origin { split } else { &[Origin::Any] } {
            let is_failure = self.config.overloaded_is_failure;
            self.scratch.rate(origin, is_failure);
            if let Some(detector) = self.config.correlated {
                self.scratch.find_correlated(origin, &detector);
                self.rule_on_found(now, detector.enforcing_percent);
            }
            if let Some(detector) = self.config.success_rate {
                self.scratch.rate(origin, is_failure || self.config.overloaded_lowers_rate);
                self.scratch.find_low_rates(origin, &detector);
                self.rule_on_found(now, detector.enforcing_percent);
            }
            if let Some(detector) = self.config.failure_percentage {
                self.scratch.rate(origin, is_failure);
                self.scratch.find_failing(origin, &detector);
                self.rule_on_found(now, detector.enforcing_percent);
            }
        }
        if let Some(detector) = self.config.latency {
            self.scratch.find_slow(&detector);
            self.rule_on_found(now, detector.enforcing_percent);
        }
    }

    /// Takes the readings of a sweep, and the intervals of those that can be judged, in the order of keys.
    fn read<'a>(&mut self, now: Instant, readings: impl IntoIterator<Item = (&'a InstanceKey, Reading)>) {
        let (sweep, runs, gathers) = (self.sweeps, self.runs(), self.config.gathers_max);
        let mut failing = core::mem::take(&mut self.scratch.failing);
        self.fleet.for_each(readings, |slot, host, reading: Reading| {
            if host.swept == sweep {
                return;
            }
            host.swept = sweep;
            host.sweep(&reading, gathers);
            let is_long = |run: usize, by: &InRow| host.run_since_found(run) >= u64::from(by.threshold.get());
            if runs.iter().enumerate().any(|(run, by)| by.as_ref().is_some_and(|by| is_long(run, by))) {
                failing.push(slot);
            }
        });
        for slot in failing.drain(..) {
            self.judge_runs(now, slot);
        }
        self.scratch.failing = failing;
        self.scratch.intervals.clear();
        let judged = self.fleet.in_order().filter(|(_, host)| host.swept == sweep && host.is_in());
        self.scratch.intervals.extend(judged.map(|(slot, host)| (slot, host.interval)));
    }

    /// Finds the instance in `slot` for every run that reached its threshold since it was last found for it.
    ///
    /// As Envoy, which sets its count back when it has found an instance; of one without room, insisting keeps the run.
    pub(super) fn judge_runs(&mut self, now: Instant, slot: usize) {
        for (run, by) in self.runs().into_iter().enumerate() {
            let Some(by) = by else { continue };
            let host = self.fleet.at(slot);
            let length = host.run_since_found(run);
            if !host.is_in() || length < u64::from(by.threshold.get()) {
                continue;
            }
            let cause = Cause::InRow { run: RUN_KINDS[run], length, threshold: by.threshold.get() };
            let reprieve = self.rule_on(now, slot, cause, by.enforcing_percent);
            if !(self.config.ejection.insists && reprieve == Some(Reprieve::NoRoom)) {
                self.fleet.at(slot).restart_run(run);
            }
        }
    }

    /// What is too long, in the order of [`Reading::runs`].
    fn runs(&self) -> [Option<InRow>; RUNS] {
        [self.config.gateway_in_row, self.config.local_in_row, self.config.failures_in_row]
    }

    /// Rules on those that a detector found, the worst first and of equally bad ones in the order of keys.
    fn rule_on_found(&mut self, now: Instant, enforcing_percent: u32) {
        let mut found = core::mem::take(&mut self.scratch.found);
        found.sort_by(|one, other| other.severity.total_cmp(&one.severity));
        for one in found.drain(..) {
            if self.fleet.at(one.slot).is_in()
                && self.rule_on(now, one.slot, one.cause, enforcing_percent) == Some(Reprieve::NotEnforced)
            {
                // One lot for the same attempts.
                self.fleet.at(one.slot).let_go(self.config.gathers_max);
            }
        }
        self.scratch.found = found;
    }

    /// Ejects the outlier in `slot`, unless there is no room or the lot falls in its favour: says why not.
    fn rule_on(&mut self, now: Instant, slot: usize, cause: Cause, enforcing_percent: u32) -> Option<Reprieve> {
        let (ejected, probing) = (self.ejected.len(), self.probing.len());
        let because = if !has_room(&self.config.ejection, &self.fleet, ejected, ejected + probing) {
            Reprieve::NoRoom
        } else if self.rng.below(100) >= u64::from(enforcing_percent) {
            Reprieve::NotEnforced
        } else {
            self.eject(now, slot, cause);
            return None;
        };
        let insists = self.config.ejection.insists && because == Reprieve::NoRoom;
        let host = self.fleet.at(slot);
        // One that waits for room is found again and again, which is news once.
        let is_known = insists && host.refused;
        host.refused |= insists;
        host.found |= insists;
        if !is_known {
            let key = host.key.clone();
            self.tell(OutlierEvent::Spared { key, cause, because });
        }
        Some(because)
    }

    /// The instance in `slot` is out from now on.
    pub(super) fn eject(&mut self, now: Instant, slot: usize, cause: Cause) {
        let jitter = self.rng.up_to(self.config.ejection.jitter_max);
        let Self { fleet, config, .. } = self;
        let (until, key) = fleet.change(slot, |host| {
            let until = now + host.next_ejection(now, &config.ejection) + jitter;
            host.standing = Standing::Ejected { until, cause };
            host.refused = false;
            host.let_go(config.gathers_max);
            (until, host.key.clone())
        });
        self.ejected.set(key.clone(), until);
        self.tell(OutlierEvent::Ejected { key, cause, until });
    }

    /// Ends the probes that are due, and the ejections if they end on time.
    pub(super) fn end_what_is_due(&mut self, now: Instant) {
        while let Some(key) = self.probing.pop_due(now) {
            match self.fleet.slot(&key).filter(|slot| self.fleet.at(*slot).is_tried) {
                Some(slot) => self.eject(now, slot, Cause::Probe),
                None => self.restore(now, key, Restoration::Unprobed),
            }
        }
        if self.config.ejection.release == Release::OnTime {
            self.release_until(now, now);
        }
    }

    /// Ends the ejections whose time is at or before `until`.
    pub(super) fn release_until(&mut self, now: Instant, until: Instant) {
        while let Some(key) = self.ejected.pop_due(until) {
            self.come_back(now, key, Restoration::Time);
        }
    }

    /// The ejection of the instance `key` is over: it is probed, or in.
    pub(super) fn come_back(&mut self, now: Instant, key: InstanceKey, by: Restoration) {
        match self.config.ejection.comeback {
            Comeback::Full => self.restore(now, key, by),
            Comeback::Probing => {
                let Some(slot) = self.fleet.slot(&key) else { return };
                self.fleet.at(slot).standing = Standing::Probing { since: now };
                self.fleet.at(slot).is_tried = false;
                self.probing.set(key.clone(), now + self.config.ejection.probing_max);
                self.tell(OutlierEvent::Released { key });
            }
        }
    }

    pub(super) fn restore(&mut self, now: Instant, key: InstanceKey, by: Restoration) {
        if let Some(slot) = self.fleet.slot(&key) {
            let fresh_start = self.config.ejection.fresh_start;
            self.fleet.change(slot, |host| host.restore(now, fresh_start));
            self.tell(OutlierEvent::Restored { key, by });
        }
    }

    /// Brings back those that are due first, while more are out than may be: others have left, or were set aside.
    pub(super) fn give_way(&mut self) {
        if self.config.ejection.share_rule != ShareRule::RoundedDown {
            return;
        }
        while self.ejected.len() + self.probing.len() > out_max(&self.config.ejection, self.fleet.serving()) {
            let first = self.probing.pop_due(Instant::MAX).or_else(|| self.ejected.pop_due(Instant::MAX));
            let Some(key) = first else { return };
            self.restore(self.clock.latest(), key, Restoration::Room);
        }
    }
}

/// The runs in the order of [`Reading::runs`].
const RUN_KINDS: [Run; RUNS] = [Run::Gateway, Run::Local, Run::Any];
