//! Everything that is decided about one service, as one machine: who is known, who is alive, who may be picked.
//!
//! It composes discovery, active checks and the building of views, and publishes a view whenever one of them
//! changed something a pick could see. The tokio driver and the simulator drive this value and nothing below
//! it, so neither can wire the parts differently.
//!
//! - **Inputs**: lists from the registry or from a memory of it, its loss, answers to probes and deregistrations, load reports, sweeps.
//! - **Effects**: run a probe, deregister an instance, publish a view.
//! - **Events**: changes of freshness, health and status, what outlier detection did, deregistrations.
//! - **Timers**: checks due and late, a doubted list believed, an instance critical for too long; sweeps, the ends of
//!   ejections, probation and damping, the steps of a warm-up.
//! - **Bounds**: checks in flight (`checks.in_flight_max`), routes, events ([`ServiceMachine::EVENTS_MAX`]); one
//!   entry for each instance that the owner drained and that has not left; one entry an instance for all else.

mod config;
mod judge;
mod message;
mod reaper;
mod showing;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use core::time::Duration;

use crate::balance::{Change, Runs, View, ViewBuilder};
use crate::discovery::{self, Discovery, Freshness};
use crate::health::outlier::Standing;
use crate::health::{Aggregate, Checker, Health, History, ProbeId, ProbeReport, ProbeVerdict, Transition};
use crate::machine::Machine;
use crate::port::Resolution;
use crate::rng::Rng;
use crate::route::{RouteId, RoutesFull, Selector};
use crate::service::{HealthCheck, InstanceKey};
use crate::snapshot::{Entry, RegistryStatus, Snapshot};
use crate::time::{Instant, Monotonic};

pub use config::ServiceMachineConfig;
use judge::Judge;
pub use message::{ServiceEffect, ServiceEvent, ServiceInput};
use reaper::Reaper;
pub use reaper::{DeregisterId, Deregistration};
use showing::Scale;

/// The machine of one service.
#[derive(Debug)]
pub struct ServiceMachine {
    config: ServiceMachineConfig,
    check: Option<Arc<HealthCheck>>,
    clock: Monotonic,
    discovery: Discovery,
    checker: Checker,
    judge: Judge,
    reaper: Reaper,
    views: ViewBuilder,
    drained: BTreeSet<InstanceKey>,
    view: Arc<View>,
    /// The list that was looked through last.
    shown: Arc<Snapshot>,
    /// How weights in force are written in views.
    scale: Scale,
    /// What happened to instances since the view was published, in the order in which it did.
    changes: Vec<Change>,
    newest_route: RouteId,
    freshness: Freshness,
    rerouted: bool,
    /// Whether the registry says of most instances that they are critical.
    is_mostly_critical: bool,
    /// Whether the mesh's own checks fail on most instances.
    is_mostly_failing: bool,
    effects: VecDeque<ServiceEffect>,
    events: VecDeque<ServiceEvent>,
}

impl ServiceMachine {
    /// How many events wait to be fetched; of more, the oldest are forgotten.
    pub const EVENTS_MAX: usize = 4096;

    /// A machine that knows nothing yet. `seed` spreads its checks and sets its policy apart from other processes'.
    #[must_use]
    pub fn new(config: ServiceMachineConfig, seed: u64) -> Self {
        let mut views = ViewBuilder::new(config.strategy.clone());
        views.set_wake_rules(Judge::rules(&config));
        views.set_seed(seed);
        Self {
            clock: Monotonic::default(),
            discovery: Discovery::new(config.discovery.clone()),
            checker: Checker::new(config.checks.clone(), Rng::from_seed(seed)),
            judge: Judge::new(&config, seed),
            reaper: Reaper::new(config.deregister_keeps.get()),
            views,
            drained: BTreeSet::new(),
            view: View::pending(),
            shown: Arc::default(),
            scale: Scale::new(&config),
            changes: Vec::new(),
            newest_route: RouteId::ALL,
            freshness: Freshness::Pending,
            check: config.check.clone().map(Arc::new),
            rerouted: false,
            is_mostly_critical: false,
            is_mostly_failing: false,
            effects: VecDeque::new(),
            events: VecDeque::new(),
            config,
        }
    }

    /// Registers a selector: the view published for it resolves picks by its id without a search.
    ///
    /// # Errors
    /// Refuses more selectors than [`Routes`](crate::route::Routes) holds; nothing is changed then.
    pub fn route(&mut self, selector: Selector) -> Result<RouteId, RoutesFull> {
        let id = self.views.route(selector)?;
        if id > self.newest_route {
            self.newest_route = id;
            self.rerouted = true;
            self.settle();
        }
        Ok(id)
    }

    /// Gives the instance `key` no new requests until [`ServiceMachine::undrain`], or until it has left the
    /// registry. It need not be known yet.
    pub fn drain(&mut self, key: InstanceKey) {
        if self.drained.insert(key.clone()) {
            self.look_at(&key);
        }
        self.settle();
    }

    /// Gives the instance `key` requests again.
    pub fn undrain(&mut self, key: &InstanceKey) {
        if self.drained.remove(key) {
            self.look_at(key);
        }
        self.settle();
    }

    /// The list that is served: the last good one.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.discovery.served()
    }

    /// How sure that list is.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        self.discovery.freshness()
    }

    /// When the registry last said or confirmed that list.
    #[must_use]
    pub fn confirmed_at(&self) -> Option<Instant> {
        self.discovery.confirmed_at()
    }

    /// What active checks say of the instance `key`.
    #[must_use]
    pub fn health(&self, key: &InstanceKey) -> Health {
        self.checker.health(key)
    }

    /// What has been thought of the instance `key` since it joined, all that is known of it taken together.
    #[must_use]
    pub fn history(&self, key: &InstanceKey) -> Option<&History> {
        self.judge.history(key)
    }

    /// How the service as a whole is doing.
    #[must_use]
    pub const fn aggregate(&self) -> Aggregate {
        self.judge.aggregate()
    }

    /// Whether the instance `key` is out for how requests to it ended.
    #[must_use]
    pub fn standing(&self, key: &InstanceKey) -> Standing {
        self.judge.standing(key)
    }

    /// The view published last.
    #[must_use]
    pub const fn view(&self) -> &Arc<View> {
        &self.view
    }

    fn observe(&mut self, now: Instant, resolution: Resolution) {
        if self.discovery.observe(now, resolution) == discovery::Change::Served {
            self.take_over(now);
        }
    }

    fn recall(&mut self, now: Instant, age: Duration, snapshot: Arc<Snapshot>) {
        if self.discovery.recall(now - age, snapshot) == discovery::Change::Served {
            self.take_over(now);
        }
    }

    /// Follows the list that is served now where it differs from the one before: points the checker at its instances
    /// and takes note of what happened to them.
    fn take_over(&mut self, now: Instant) {
        let served = Arc::clone(self.discovery.served());
        let before = core::mem::replace(&mut self.shown, Arc::clone(&served));
        let critical = served.iter().filter(|entry| entry.status() == RegistryStatus::Critical).count();
        let was_mostly_critical =
            core::mem::replace(&mut self.is_mostly_critical, critical > 1 && critical * 2 > served.len());
        let mut differ = Vec::new();
        before.for_each_difference(&served, |was, is| differ.push((was, is)));
        // First those that need no check any more, so that others may be checked in their stead.
        for (was, is) in &differ {
            if let Some(entry) = is.or(*was).filter(|entry| is.is_none() || self.check(entry).is_none()) {
                self.checker.forget(now, entry.key());
                self.reaper.spare(entry.key());
            }
        }
        // Then those that came, so that nobody is let in for want of them while others leave.
        for (was, is) in &differ {
            if let Some(entry) = is {
                self.follow(now, *was, entry);
            }
        }
        for (was, _) in differ.iter().filter(|(_, is)| is.is_none()) {
            was.iter().for_each(|entry| self.part_from(entry.key()));
        }
        if was_mostly_critical != self.is_mostly_critical {
            self.show_all();
        }
        self.reaper.retain(&served);
    }

    /// The check that the mesh runs on an instance: its configured one, or the one that the registry leaves to it.
    fn check(&self, entry: &Entry) -> Option<Arc<HealthCheck>> {
        self.check.as_ref().or(entry.check()).cloned()
    }

    fn sweep(&mut self, now: Instant) {
        // Those that could not be reached are no part of the run of failures where the two are told apart.
        let failing = |runs: Runs| runs.failures.max(runs.local) >= self.config.wake_after.get();
        let failing = self.view.endpoints().filter(|endpoint| failing(endpoint.runs()));
        let failing: Vec<_> = failing.map(|endpoint| endpoint.key().clone()).collect();
        for key in &failing {
            self.checker.hurry(now, key);
        }
        self.judge.heed(now, &self.view);
    }

    /// A probe ended.
    fn probed(&mut self, now: Instant, id: ProbeId, report: ProbeReport) {
        let passed = !matches!(report.verdict, ProbeVerdict::Failed(_));
        if let Some(key) = self.checker.answer(now, id, report, &|key| picks(&self.views, key)) {
            self.judge.checked(now, &key, passed);
        }
    }

    /// Passes on what the parts have to say, and publishes a view where a pick could tell the difference.
    fn settle(&mut self) {
        while let Some(probe) = self.checker.poll_probe() {
            self.effects.push_back(ServiceEffect::Probe(probe));
        }
        let fails = self.checker.mostly_fails();
        // First, so that nobody falls for a check that makes the checks doubtful.
        let turned = core::mem::replace(&mut self.is_mostly_failing, fails) != fails;
        while let Some(transition) = self.checker.poll_transition() {
            let Transition { key, from, to, verdict } = transition;
            self.look_at(&key);
            if from == Health::Unhealthy {
                self.judge.recovered(self.clock.latest(), &key);
            }
            self.follow_health(&key, from, to);
            self.tell(ServiceEvent::Health { key, from, to, verdict });
        }
        if turned {
            self.show_all();
        }
        self.follow_judge();
        let freshness = self.discovery.freshness();
        if core::mem::discriminant(&freshness) != core::mem::discriminant(&self.freshness) {
            let from = core::mem::replace(&mut self.freshness, freshness);
            self.tell(ServiceEvent::Freshness { from, to: freshness });
        }
        self.publish();
    }

    /// Starts or stops the clock of automatic deregistration, and gives an instance that recovered a new start.
    ///
    /// Only for checks that the registry left to the mesh, where the mesh stands in for the registry's agent.
    fn follow_health(&mut self, key: &InstanceKey, from: Health, to: Health) {
        let entry = self.discovery.served().get(key);
        let after = entry.and_then(Entry::check).and_then(|check| check.deregister_after());
        match after {
            Some(after) if to == Health::Unhealthy && self.check.is_none() => {
                self.reaper.start(self.clock.latest(), key.clone(), after);
            }
            _ => self.reaper.spare(key),
        }
        if let Some(endpoint) = self.views.endpoint(key).filter(|_| from == Health::Unhealthy) {
            endpoint.forgive();
        }
    }

    fn reap(&mut self, now: Instant) {
        // Whose checks are not believed counts as well in views, and those who are ejected are not counted as ill there.
        let believed = self.discovery.freshness() == Freshness::Live && !self.is_mostly_failing;
        while let Some((key, since)) = self.reaper.pop_due(now, self.view.census(), believed) {
            let Some(entry) = self.discovery.served().get(&key) else { continue };
            let instance = Arc::clone(entry.instance());
            let id = self.reaper.ask(now, key.clone());
            self.tell(ServiceEvent::Deregistering { key, since });
            self.effects.push_back(ServiceEffect::Deregister(id, instance));
        }
    }

    fn deregistered(&mut self, now: Instant, id: DeregisterId, answer: Deregistration) {
        if let Some(key) = self.reaper.answer(now, id, answer) {
            self.tell(ServiceEvent::Deregistered { key, answer });
        }
    }

    /// Reports an event; of more than are fetched, the oldest are forgotten.
    fn tell(&mut self, event: ServiceEvent) {
        if self.events.len() == Self::EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

impl Machine for ServiceMachine {
    type Input = ServiceInput;
    type Effect = ServiceEffect;
    type Event = ServiceEvent;

    fn handle_input(&mut self, now: Instant, input: ServiceInput) {
        let now = self.clock.observe(now);
        match input {
            ServiceInput::Observed(resolution) => self.observe(now, resolution),
            ServiceInput::Recalled { snapshot, age } => self.recall(now, age, snapshot),
            ServiceInput::Confirmed => self.discovery.confirm(now),
            ServiceInput::Lost => self.discovery.lose(now),
            ServiceInput::Probed(id, report) => self.probed(now, id, report),
            ServiceInput::Postponed(id) => self.checker.postpone(now, id),
            ServiceInput::Load(key, report) => self.view.report(now, &key, &report),
            ServiceInput::Sweep => self.sweep(now),
            ServiceInput::Deregistered(id, answer) => self.deregistered(now, id, answer),
        }
        self.settle();
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        let now = self.clock.observe(now);
        if self.discovery.believe(now) == discovery::Change::Served {
            self.take_over(now);
        }
        self.checker.tick(now, &|key| picks(&self.views, key));
        if self.judge.tick(now, &self.view, self.checker.is_checking()) && self.is_mostly_failing {
            self.show_all();
        }
        self.settle();
        self.reap(now);
    }

    fn poll_effect(&mut self) -> Option<ServiceEffect> {
        self.effects.pop_front()
    }

    fn poll_event(&mut self) -> Option<ServiceEvent> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.discovery.due(), self.checker.next(), self.judge.next(), self.reaper.next()].into_iter().flatten().min()
    }
}

/// How many requests the instance `key` has been given since it joined.
fn picks(views: &ViewBuilder, key: &InstanceKey) -> u64 {
    views.endpoint(key).map_or(0, |endpoint| endpoint.picks())
}
