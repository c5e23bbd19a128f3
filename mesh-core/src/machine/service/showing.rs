//! What views show of each instance: whether it may be picked, and with which weight.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use super::config::ServiceMachineConfig;
use super::judge::{Judgement, WHOLE};
use super::{ServiceEffect, ServiceEvent, ServiceMachine};
use crate::balance::{Change, Eligibility, Knowledge, Member, Strategy};
use crate::health::{CheckEvidence, Health, Sources, Status};
use crate::service::{InstanceKey, Weight};
use crate::snapshot::{Entry, RegistryStatus};
use crate::time::Instant;

impl ServiceMachine {
    /// An instance is new, or no longer what it `was`.
    pub(super) fn follow(&mut self, now: Instant, was: Option<&Entry>, entry: &Entry) {
        if let Some(check) = self.check(entry)
            && self.checker.watch(now, entry.instance(), &check)
        {
            self.reaper.spare(entry.key());
        }
        let address = |entry: &Entry| (entry.instance().host().clone(), entry.instance().port());
        if was.is_some_and(|was| address(was) != address(entry)) {
            // Another process under the old name.
            self.judge.replace(now, entry.key());
        } else {
            self.judge.enrol(now, entry.key());
        }
        // The registry's agent checks in the mesh's place.
        let was_critical = was.is_some_and(|was| was.status() == RegistryStatus::Critical);
        if was_critical && matches!(entry.status(), RegistryStatus::Passing | RegistryStatus::Warning) {
            self.judge.recovered(now, entry.key());
        }
        self.show(entry);
    }

    /// An instance has left. A drain ends with it, or those of every deploy would pile up.
    pub(super) fn part_from(&mut self, key: &InstanceKey) {
        self.drained.remove(key);
        self.judge.forget(key);
        self.scale.forget(key);
        self.changes.push(Change::Remove(key.clone()));
    }

    /// Something else than the list may have changed what is to be shown of the instance `key`.
    pub(super) fn look_at(&mut self, key: &InstanceKey) {
        let shown = Arc::clone(&self.shown);
        if let Some(entry) = shown.get(key) {
            self.show(entry);
        }
    }

    /// Passes on what the judge has to say.
    pub(super) fn follow_judge(&mut self) {
        loop {
            let (now, views) = (self.clock.latest(), &self.views);
            self.judge.follow_outliers(now, |key| views.endpoint(key));
            while let Some(event) = self.judge.poll_outcome() {
                self.tell(ServiceEvent::Outlier(event));
            }
            // Who is out for another reason may let one in that was ejected, which is to be followed too.
            let Some(key) = self.judge.poll_affected() else { return };
            self.look_at(&key);
        }
    }

    /// Decides anew what is to be shown of every instance.
    pub(super) fn show_all(&mut self) {
        let shown = Arc::clone(&self.shown);
        shown.iter().for_each(|entry| self.show(entry));
    }

    /// Decides what is to be shown of the instance of `entry`.
    fn show(&mut self, entry: &Entry) {
        let (now, key) = (self.clock.latest(), entry.key());
        let weight = weight(entry);
        let sources = self.sources(entry, weight);
        let Judgement { status, factor_milli, change } = self.judge.judge(now, key, sources);
        if let Some((change, lasted)) = change {
            self.tell(ServiceEvent::Status { key: key.clone(), change, lasted });
        }
        let weight = self.scale.weigh(key, weight, factor_milli);
        let eligibility = match status {
            Status::Unknown | Status::Healthy | Status::Degraded => Eligibility::Usable,
            Status::Unhealthy => Eligibility::Unhealthy,
            Status::Ejected => Eligibility::Ejected,
            Status::Probing => Eligibility::Probing,
            Status::Draining | Status::Maintenance => Eligibility::Drained,
        };
        self.changes.push(Change::Set(Member { instance: Arc::clone(entry.instance()), weight, eligibility }));
    }

    /// What is known of the instance of `entry`.
    fn sources(&self, entry: &Entry, weight: Weight) -> Sources {
        let key = entry.key();
        let check = self.checker.verdict(key).map(|verdict| {
            // Checks go on for as long as their instance is listed, so the last one is never old.
            CheckEvidence { health: self.checker.health(key), verdict: verdict.clone(), is_fresh: true }
        });
        let passes = check.as_ref().is_some_and(|check| check.health != Health::Unhealthy);
        let serves = || self.views.endpoint(key).is_some_and(|endpoint| self.judge.serves(key, &endpoint.tally()));
        Sources {
            drained: self.drained.contains(key),
            weight,
            registry: entry.status(),
            // Who calls most of a service critical that our own checks find well has lost sight of it.
            registry_doubted: passes && self.is_mostly_critical,
            check,
            // Checks that fail nearly everywhere ask something that requests may not need.
            check_doubted: self.is_mostly_failing && serves(),
            ..Sources::default()
        }
    }

    /// Publishes a view of what changed, if a pick could tell the difference.
    pub(super) fn publish(&mut self) {
        if !self.discovery.has_list() {
            return;
        }
        let shown = Arc::clone(&self.shown);
        if self.scale.turn(|| shown.iter().map(|entry| weight(entry).get()).max().unwrap_or(1)) {
            self.show_all();
        }
        let knowledge = if self.discovery.is_known() { Knowledge::Known } else { Knowledge::Unknown };
        let forced = core::mem::take(&mut self.rerouted) || knowledge != self.view.knowledge();
        if !forced && self.changes.is_empty() {
            return;
        }
        self.views.set_knowledge(knowledge);
        let Some(view) = self.views.update_if(core::mem::take(&mut self.changes), forced) else { return };
        self.view = view;
        self.effects.retain(|effect| !matches!(effect, ServiceEffect::Publish(_)));
        self.effects.push_back(ServiceEffect::Publish(Arc::clone(&self.view)));
    }
}

/// The weight of an instance by its registry's word.
fn weight(entry: &Entry) -> Weight {
    let weights = entry.instance().weights();
    if entry.status() == RegistryStatus::Warning { weights.warning } else { weights.passing }
}

/// How the weights in force are written in views: as they are, or, while anybody keeps less than its whole weight, in
/// hundredths (in larger parts where weights are above 655), so that a weight of 1 can be divided.
#[derive(Debug)]
pub(super) struct Scale {
    /// Whether weights may be scaled at all.
    scales: bool,
    /// Those that keep less than their whole weight.
    dimmed: BTreeSet<InstanceKey>,
    /// Whether weights are divided.
    is_fine: bool,
    /// Into how many parts each is.
    parts: u32,
    /// Whether a weight came that cannot be divided so finely.
    overflowed: bool,
}

impl Scale {
    pub(super) const fn new(config: &ServiceMachineConfig) -> Self {
        let scales = match config.strategy {
            Strategy::RingHash(_) | Strategy::Maglev(_) | Strategy::Rendezvous | Strategy::BoundedLoad(_) => false,
            Strategy::RoundRobin
            | Strategy::WeightedRoundRobin(_)
            | Strategy::Random
            | Strategy::WeightedRandom
            | Strategy::LeastLoaded(_)
            | Strategy::P2cLeastLoaded(_)
            | Strategy::PeakEwma(_)
            | Strategy::Adaptive(_)
            | Strategy::Custom(_) => true,
        };
        Self { scales, dimmed: BTreeSet::new(), is_fine: false, parts: 1, overflowed: false }
    }

    fn forget(&mut self, key: &InstanceKey) {
        self.dimmed.remove(key);
    }

    /// What to write for an instance that keeps so many thousandths of `weight`.
    fn weigh(&mut self, key: &InstanceKey, weight: Weight, factor_milli: u32) -> Weight {
        if !self.scales {
            return weight;
        }
        if factor_milli < WHOLE {
            self.dimmed.insert(key.clone());
        } else {
            self.dimmed.remove(key);
        }
        if !self.is_fine || weight.is_drained() {
            return weight;
        }
        let whole = u32::from(weight.get()) * self.parts;
        // Also of one that keeps a part only: it is to have room for the rest.
        self.overflowed |= whole > u32::from(u16::MAX);
        let parts = (u64::from(whole) * u64::from(factor_milli) / u64::from(WHOLE)).max(1);
        Weight::new(u16::try_from(parts).unwrap_or(u16::MAX))
    }

    /// Turns from one way of writing to the other where that is due, or to larger parts; returns whether it did. The
    /// `heaviest` of the weights says how finely they can be divided.
    fn turn(&mut self, heaviest: impl Fn() -> u16) -> bool {
        let turns = self.is_fine == self.dimmed.is_empty();
        let due = turns || self.overflowed;
        if due {
            self.is_fine ^= turns;
            self.overflowed = false;
            let parts = u32::from(u16::MAX) / u32::from(heaviest().max(1));
            self.parts = if self.is_fine { parts.clamp(1, PARTS_MAX) } else { 1 };
        }
        due
    }
}

const PARTS_MAX: u32 = 100;
