//! What holds of a service's health in any world: who may be picked and who may not, how many are out at most, that one on
//! probation has one request at a time, and that all is as it was when all has been well for long enough.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod health_script;
mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use health_script::*;
use mesh_core::balance::{Balancer, EndpointId, Handle, Lease, Outcome, PickContext, Strategy as Policy, Wake};
use mesh_core::health::outlier::{Cause, Comeback, OutlierEvent, Standing, UnejectOnCheck};
use mesh_core::health::{Reason, ScoreConfig, Status};
use mesh_core::machine::{ServiceEvent, ServiceInput, ServiceMachineConfig};
use mesh_core::rng::Rng;
use mesh_core::service::InstanceKey;
use mesh_core::snapshot::{Entry, RegistryStatus};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use support::rig::*;
use support::*;

#[test]
fn nobody_is_picked_who_is_out_and_all_are_back_when_all_is_well() {
    let seen = RefCell::new(BTreeSet::<String>::new());
    let config = ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    };
    let worlds = (any::<u64>(), prop::collection::vec(step(), 1..60));
    let holds = |(seed, script): (u64, Vec<Step>)| {
        let mut world = World::new(seed);
        world.take(&Step::List((0..6).map(|number| (number, Kind::Checked)).collect()));
        script.iter().for_each(|step| world.take(step));
        world.come_to_rest();
        seen.borrow_mut().append(&mut world.seen);
        Ok(())
    };
    TestRunner::new(config).run(&worlds, holds).unwrap();
    let seen = seen.into_inner();
    let missing: Vec<_> = KINDS.iter().filter(|kind| !seen.contains(**kind)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?} of {seen:?}");
}

/// What is to have happened in one world at least.
const KINDS: [&str; 18] = [
    "trial",
    "old trial",
    "spared",
    "unknown",
    "healthy",
    "degraded",
    "unhealthy",
    "ejected",
    "probing",
    "draining",
    "maintenance",
    "damped",
    "by time",
    "by probe",
    "by unprobed",
    "by check",
    "by room",
    "dimmed",
];

/// A machine, its world, and requests that are under way.
struct World {
    rig: Rig,
    balancer: Balancer,
    handle: Handle,
    rng: Rng,
    ill: BTreeMap<u16, Outcome>,
    open: Vec<(Lease, bool)>,
    /// The trials under way of each endpoint, of its last probation.
    trials: BTreeMap<EndpointId, Instant>,
    /// Those whose last trial passed or was given up.
    excused: BTreeSet<EndpointId>,
    /// Whether a lease asked for a sweep that has not come.
    owes_sweep: bool,
    listed: Vec<(u16, Kind)>,
    seen: BTreeSet<String>,
}

type Instant = mesh_core::time::Instant;

impl World {
    fn new(seed: u64) -> Self {
        let mut config = ServiceMachineConfig::default();
        config.discovery.outage_hold = Duration::ZERO;
        let policies = ["round-robin", "p2c-least-loaded", "weighted-round-robin", "ring-hash"];
        config.strategy = Policy::from_name(policies[(seed % 4) as usize]).unwrap();
        config.count_window = ms([0, 20][(seed / 4 % 2) as usize]);
        if seed / 8 % 2 == 1 {
            config.weighting = ScoreConfig::default();
        }
        if seed / 16 % 4 == 3 {
            config.outlier.ejection.comeback = Comeback::Full;
        }
        if seed / 64 % 2 == 1 {
            config.outlier.ejection.uneject_on_check = UnejectOnCheck::Always;
        }
        config.damping.enabled = !(seed / 128).is_multiple_of(4);
        config.validate().unwrap();
        let balancer = Balancer::with_window(config.count_window);
        Self {
            handle: balancer.handle(),
            rig: Rig::seeded(config, seed),
            balancer,
            rng: Rng::from_seed(seed ^ 1),
            ill: BTreeMap::new(),
            open: Vec::new(),
            trials: BTreeMap::new(),
            excused: BTreeSet::new(),
            owes_sweep: false,
            listed: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::List(members) => {
                self.listed.clone_from(members);
                let mut entries: BTreeMap<u16, Entry> = BTreeMap::new();
                entries.extend(members.iter().map(|&(number, kind)| (number, listed(number, kind))));
                self.rig.observe(certain(entries.into_values().collect()));
            }
            Step::Fate(number, verdict) => self.rig.fate(*number, fate(*verdict)),
            Step::Everybodys(verdict) => (0..6).for_each(|number| self.rig.fate(number, fate(*verdict))),
            Step::Ill(number, None) => drop(self.ill.remove(number)),
            Step::Ill(number, Some(outcome)) => drop(self.ill.insert(*number, *outcome)),
            Step::Requests(count) => (0..*count).for_each(|_| self.request()),
            Step::Hold(count) => {
                for _ in 0..*count {
                    let lease = self.pick();
                    self.open.extend(lease);
                }
            }
            Step::End(at, outcome) => {
                if let Some(at) = usize::from(*at).checked_rem(self.open.len()) {
                    let lease = self.open.swap_remove(at);
                    self.end(lease, Some(*outcome));
                }
            }
            Step::Abandon(at) => {
                if let Some(at) = usize::from(*at).checked_rem(self.open.len()) {
                    let lease = self.open.swap_remove(at);
                    self.end(lease, None);
                }
            }
            Step::Drain(number) => self.rig.machine.drain(key(*number)),
            Step::Undrain(number) => self.rig.machine.undrain(&key(*number)),
            Step::Pass(millis) => self.pass(ms(*millis)),
            Step::Flap(number) => {
                for verdict in [Verdict::Fails, Verdict::Passes].into_iter().cycle().take(6) {
                    self.take(&Step::Fate(*number, verdict));
                    self.pass(ms(13_000));
                }
            }
            Step::Linger(number) => {
                self.take(&Step::Ill(*number, Some(Outcome::Failure)));
                for (millis, requests) in [(0, 80), (34_000, 0), (31_000, 80), (64_000, 0)] {
                    self.pass(ms(millis));
                    self.take(&Step::Requests(requests));
                    self.take(&Step::Hold(1));
                }
                if let Some(old) = self.trial_of(*number) {
                    let outcome = [Outcome::Success, Outcome::Failure, Outcome::Cancelled][self.rng.below(3) as usize];
                    self.end(old, Some(outcome));
                    self.take(&Step::Requests(3));
                }
            }
            Step::Excuse(number, outcome) => {
                self.take(&Step::Ill(*number, Some(Outcome::Failure)));
                self.take(&Step::Requests(80));
                self.pass(ms(34_000));
                self.take(&Step::Hold(1));
                self.pass(ms(6_000));
                if let Some(trial) = self.trial_of(*number) {
                    self.end(trial, *outcome);
                }
                self.pass(ms(64_000));
            }
        }
        self.look();
    }

    /// The first of the trials of an instance that have not ended.
    fn trial_of(&mut self, number: u16) -> Option<(Lease, bool)> {
        let trial = |(lease, is_trial): &(Lease, bool)| *is_trial && lease.instance().key() == &key(number);
        self.open.iter().position(trial).map(|first| self.open.remove(first))
    }

    fn pass(&mut self, time: Duration) {
        let until = self.rig.now + time;
        while self.rig.step(until) {
            self.look();
        }
        self.rig.pass(until.since(self.rig.now));
        if std::mem::take(&mut self.owes_sweep) {
            self.rig.tell(ServiceInput::Sweep);
        }
    }

    fn request(&mut self) {
        let Some((lease, is_trial)) = self.pick() else { return };
        let outcome = self.ill.get(&number(lease.instance())).copied().unwrap_or(Outcome::Success);
        // The ill do answer now and then.
        let outcome = if self.rng.below(20) == 0 { Outcome::Success } else { outcome };
        self.end((lease, is_trial), Some(outcome));
    }

    fn pick(&mut self) -> Option<(Lease, bool)> {
        self.balancer.publish(Arc::clone(self.rig.machine.view()));
        let entropy = self.rng.next_u64();
        let context = PickContext { hash_key: Some(entropy), ..PickContext::default() };
        let lease = self.handle.pick_owned(self.rig.now, &context, entropy).ok()?;
        let status = self.rig.machine.history(lease.instance().key()).unwrap().status();
        let is_trial = status == Status::Probing;
        assert!(is_trial || status.is_up(), "{status:?} was picked");
        if is_trial {
            self.seen.insert("trial".to_owned());
            self.excused.remove(&lease.endpoint().id());
            let other = self.trials.insert(lease.endpoint().id(), lease.started());
            assert_eq!(other, None, "two trials of {} at a time", lease.instance().key());
        }
        Some((lease, is_trial))
    }

    fn end(&mut self, (lease, is_trial): (Lease, bool), outcome: Option<Outcome>) {
        let (id, started) = (lease.endpoint().id(), lease.started());
        if is_trial && self.trials.get(&id) == Some(&started) {
            self.trials.remove(&id);
            if matches!(outcome, Some(Outcome::Success | Outcome::Cancelled) | None) {
                self.excused.insert(id);
            }
        } else if is_trial {
            self.seen.insert("old trial".to_owned());
        }
        let key = lease.instance().key().clone();
        let is_probing = |rig: &Rig| matches!(rig.machine.standing(&key), Standing::Probing { .. });
        let another_decides = is_trial && self.trials.contains_key(&id) && is_probing(&self.rig);
        let wakes = outcome.is_some_and(|outcome| lease.finish(self.rig.now, outcome) == Wake::Sweep);
        // Drivers may be late, and see that a time has come before they see that they were woken.
        self.owes_sweep |= wakes && self.rng.below(3) == 0;
        if wakes && !self.owes_sweep {
            self.rig.tell(ServiceInput::Sweep);
        }
        assert!(!another_decides || is_probing(&self.rig), "{key} was judged by a trial of old");
        self.look();
    }

    /// Checks what holds at any moment.
    fn look(&mut self) {
        self.rig.listen();
        self.hear();
        let Self { rig, seen, .. } = self;
        let machine = &rig.machine;
        let usable: BTreeSet<_> = rig.usable().into_iter().collect();
        let mut out = 0;
        for entry in machine.snapshot().iter() {
            let (history, number) = (machine.history(entry.key()).unwrap(), number(entry.instance()));
            let status = history.status();
            seen.insert(status.name().to_owned());
            assert_eq!(usable.contains(&number), status.is_up(), "{number} is {status:?}, {:?}", history.reason());
            let standing = machine.standing(entry.key());
            out += usize::from(standing != Standing::In);
            if status == Status::Ejected {
                assert!(matches!(standing, Standing::Ejected { .. }), "{standing:?}");
            }
            let is_held_out = matches!(history.reason(), Reason::Outlier(_) | Reason::Damped { .. });
            if matches!(history.reason(), Reason::Damped { .. }) {
                seen.insert("damped".to_owned());
            }
            assert!(
                !(usable.is_empty() && is_held_out),
                "{number} is held out of a service without anybody: {history:?}"
            );
        }
        let listed = machine.snapshot().len();
        let most = if listed == 2 || listed == 3 { 1 } else { listed / 2 };
        assert!(out <= most, "{out} of {listed} are out");
        assert_eq!(machine.aggregate().total(), listed);
    }

    fn id_of(&self, key: &InstanceKey) -> Option<EndpointId> {
        let endpoint = self.rig.machine.view().registered().find(|(it, _)| it.key() == key);
        endpoint.map(|(endpoint, _)| endpoint.id())
    }

    fn hear(&mut self) {
        for event in self.rig.take().events {
            let ServiceEvent::Outlier(event) = event else { continue };
            if let OutlierEvent::Released { key } = &event {
                self.id_of(key).map(|id| self.trials.remove(&id));
            }
            if let OutlierEvent::Ejected { key, cause: Cause::Probe, .. } = &event {
                assert!(self.id_of(key).is_none_or(|id| !self.excused.contains(&id)), "{key} failed no trial");
            }
            if let OutlierEvent::Restored { by, .. } = &event {
                self.seen.insert(format!("by {}", by.name()));
            }
            if let OutlierEvent::Spared { .. } = &event {
                self.seen.insert("spared".to_owned());
            }
        }
    }

    /// Everything is well from now on, and after a while everybody has what it had.
    fn come_to_rest(&mut self) {
        (0..6).for_each(|number| self.take(&Step::Undrain(number)));
        let (listed, fine) = (std::mem::take(&mut self.listed), Kind::Registered(RegistryStatus::Passing));
        let healed = |(number, kind): (u16, Kind)| (number, if let Kind::Registered(_) = kind { fine } else { kind });
        self.take(&Step::List(listed.into_iter().map(healed).collect()));
        self.take(&Step::Everybodys(Verdict::Passes));
        self.ill.clear();
        while let Some(lease) = self.open.pop() {
            self.end(lease, Some(Outcome::Success));
        }
        for _ in 0..140 {
            self.pass(ms(5_000));
            self.take(&Step::Requests(5));
            let weights = |stats: mesh_core::balance::BalancerStats| {
                stats.endpoints.iter().any(|it| u32::from(it.weight.get()) % 100 == 10)
            };
            if weights(self.balancer.stats(self.rig.now)) {
                self.seen.insert("dimmed".to_owned());
            }
        }
        self.balancer.publish(Arc::clone(self.rig.machine.view()));
        let machine = &self.rig.machine;
        assert_eq!(machine.aggregate().up(), machine.snapshot().len(), "{:?}", machine.aggregate());
        for endpoint in self.balancer.stats(self.rig.now).endpoints {
            assert_eq!(endpoint.weight, endpoint.instance.weights().passing, "of {}", endpoint.instance.key());
            assert_eq!(endpoint.in_flight, 0);
        }
    }
}
