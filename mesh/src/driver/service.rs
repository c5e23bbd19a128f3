//! Drives the machine of one service: watches the registry, runs probes, publishes views.

use std::sync::{Arc, Weak};
use std::time::Duration;

use mesh_core::balance::View;
use mesh_core::discovery::Freshness;
use mesh_core::health::outlier::Standing;
use mesh_core::health::{Health, Probe, ProbeReport, ProbeVerdict};
use mesh_core::machine::{
    DeregisterId, Deregistration, Machine as _, ServiceEffect, ServiceInput, ServiceMachine, ServiceMachineConfig,
};
use mesh_core::port::{Registry, RegistryError, Watch, WatchEvent};
use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::registration::Part;
use mesh_core::service::{CheckKind, HealthCheck, Instance, InstanceKey};
use mesh_core::snapshot::Snapshot;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::remembering::Remembering;
use super::settling::Settling;
use super::sleep_until;
use crate::memory::{Memory, Recalled};
use crate::probe::{self, Means};
use crate::service::{Command, Followed, ServiceState};
use crate::service_health::ServiceHealth;
use crate::service_mesh::Inner;
use mesh_cache::Environment;

/// The task of one service.
#[derive(Debug)]
pub(crate) struct ServiceDriver {
    followed: Arc<Followed>,
    machine: ServiceMachine,
    watch: Box<dyn Watch>,
    inbox: mpsc::Receiver<Command>,
    jobs: JoinSet<Done>,
    registry: Arc<dyn Registry>,
    environment: Environment,
    recorder: Arc<dyn Recorder>,
    settling: Settling,
    memory: Option<Remembering>,
    means: Means,
    permits: Arc<Semaphore>,
    /// The check of all instances, where there is one, in place of what the registry has.
    check: Option<Arc<HealthCheck>>,
    /// The list whose instances are checked.
    checked: Arc<Snapshot>,
    /// Whose driver it is: asked which instances are kept by the mesh itself.
    mesh: Weak<Inner>,
}

/// What a job of the driver came to.
#[derive(Debug)]
enum Done {
    Probed(Probe, ProbeReport),
    Deregistered(DeregisterId, Result<(), RegistryError>),
    Recalled(Option<Recalled>),
    Kept,
}

impl ServiceDriver {
    pub(crate) fn new(
        followed: Arc<Followed>,
        inbox: mpsc::Receiver<Command>,
        config: ServiceMachineConfig,
        registry: Arc<dyn Registry>,
        environment: Environment,
        recorder: Arc<dyn Recorder>,
    ) -> Self {
        let settling = Settling::every(config.count_window);
        let check = config.check.clone().map(Arc::new);
        let machine = ServiceMachine::new(config, environment.entropy.next_u64());
        let checked = Arc::clone(machine.snapshot());
        let watch = registry.watch(&followed.name);
        Self {
            followed,
            machine,
            watch,
            inbox,
            jobs: JoinSet::new(),
            registry,
            environment,
            recorder,
            settling,
            memory: None,
            means: Means::default(),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            check,
            checked,
            mesh: Weak::new(),
        }
    }

    /// The driver of a service followed by `mesh`.
    pub(crate) fn of(mut self, mesh: Weak<Inner>) -> Self {
        self.mesh = mesh;
        self
    }

    /// Runs checks by `means`, and none without one of `permits`, which all services share.
    pub(crate) fn checking_by(mut self, means: Means, permits: Arc<Semaphore>) -> Self {
        (self.means, self.permits) = (means, permits);
        self
    }

    /// Remembers in `memory`, and looks there if the registry is slow to answer.
    pub(crate) fn remembering(mut self, memory: Option<Arc<Memory>>) -> Self {
        self.memory = memory.map(|memory| {
            let missed = Arc::<Notify>::default();
            let (asked, name, wait) = (Arc::clone(&memory), self.followed.name.clone(), memory.config().recall_after);
            let (followed, hurry) = (Arc::clone(&self.followed), Arc::clone(&missed));
            self.jobs.spawn(async move {
                // A registry that answers makes it needless, one that cannot be reached urgent.
                let _ = tokio::time::timeout(wait, hurry.notified()).await;
                let is_needless = followed.state.borrow().confirmed_at.is_some();
                Done::Recalled(if is_needless { None } else { asked.recall(&name).await })
            });
            Remembering::new(memory, missed, self.environment.entropy.next_u64())
        });
        self
    }

    /// Drives the machine until the task is aborted or the service is not followed any more.
    pub(crate) async fn run(mut self) {
        loop {
            // Only what is live is kept; what is not would be due for ever.
            let is_live = self.machine.freshness() == Freshness::Live;
            let keep_due = self.memory.as_ref().filter(|_| is_live).and_then(Remembering::due);
            let due = [self.machine.poll_timeout(), keep_due].into_iter().flatten().min();
            tokio::select! {
                event = self.watch.next() => self.heard(event),
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => self.done(done),
                () = self.followed.sweep.notified() => self.tell(ServiceInput::Sweep),
                command = self.inbox.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                () = self.settling.due() => self.followed.balancer.settle(),
                () = sleep_until(&*self.environment.clock, due) => {
                    self.machine.handle_timeout(self.environment.clock.now());
                }
            }
            if self.followed.has_ended() {
                if let Some(Remembering { memory, .. }) = &self.memory {
                    memory.unfollow(&self.followed.name);
                }
                return;
            }
            self.carry_out();
            self.remember();
        }
    }

    /// Keeps the list where it changed, or was kept long ago.
    fn remember(&mut self) {
        let Some(memory) = self.memory.as_mut().filter(|_| self.machine.freshness() == Freshness::Live) else { return };
        let now = self.environment.clock.now();
        if let Some(memory) = memory.begin(now, self.machine.snapshot()) {
            let (name, snapshot) = (self.followed.name.clone(), Arc::clone(self.machine.snapshot()));
            let age = self.machine.confirmed_at().map_or(Duration::ZERO, |at| now.since(at));
            self.jobs.spawn(async move {
                memory.keep(&name, &snapshot, age).await;
                Done::Kept
            });
        }
    }

    fn tell(&mut self, input: ServiceInput) {
        self.machine.handle_input(self.environment.clock.now(), input);
    }

    fn heard(&mut self, event: WatchEvent) {
        let (input, result) = match event {
            WatchEvent::Snapshot(resolution) => (ServiceInput::Observed(resolution), "snapshot"),
            WatchEvent::Lost(error) => {
                self.lost(error);
                (ServiceInput::Lost, "lost")
            }
            // What a later version of the port adds is at least a sign of life.
            WatchEvent::Confirmed | _ => (ServiceInput::Confirmed, "confirmed"),
        };
        if !matches!(input, ServiceInput::Lost) {
            self.followed.state.send_if_modified(|state| state.lost.take().is_some());
        }
        self.recorder.record(&Measurement::DiscoveryUpdated { service: &self.followed.name, result });
        self.tell(input);
    }

    /// Keeps why the registry cannot be heard, and logs it when it begins.
    fn lost(&self, error: RegistryError) {
        let service = &self.followed.name;
        if self.followed.state.borrow().lost.is_none() {
            tracing::warn!(%service, ?error, "registry lost, serving what it said last");
        }
        if let Some(memory) = &self.memory {
            memory.missed.notify_one();
        }
        self.followed.state.send_modify(|state| state.lost = Some(error));
    }

    fn done(&mut self, done: Result<Done, tokio::task::JoinError>) {
        match done {
            Ok(Done::Probed(Probe { id, instance, .. }, report)) => {
                // It may have left a connection after its instance had gone.
                if !self.is_asked_over_http(instance.key()) {
                    self.means.close(instance.key());
                }
                self.recorder.record(&Measurement::HealthChecked {
                    service: &self.followed.name,
                    passed: !matches!(report.verdict, ProbeVerdict::Failed(_)),
                    latency: report.latency,
                });
                self.tell(ServiceInput::Probed(id, report));
            }
            Ok(Done::Deregistered(id, result)) => {
                let answer = match &result {
                    Ok(()) => Deregistration::Done,
                    Err(error) if error.is_transient() => Deregistration::Again,
                    Err(_) => Deregistration::Never,
                };
                if let Err(error) = &result {
                    tracing::warn!(service = %self.followed.name, ?error, ?answer, "automatic deregistration failed");
                }
                self.tell(ServiceInput::Deregistered(id, answer));
            }
            Ok(Done::Recalled(recalled)) => self.recalled(recalled),
            Ok(Done::Kept) => {
                if let Some(memory) = &mut self.memory {
                    memory.is_keeping = false;
                }
            }
            // What panicked has no answer; the machine takes it for late in time.
            Err(error) => {
                tracing::error!(service = %self.followed.name, %error, "a job of the driver panicked");
                if let Some(memory) = &mut self.memory {
                    memory.is_keeping = false;
                }
            }
        }
    }

    fn recalled(&mut self, recalled: Option<Recalled>) {
        let Some(Recalled { snapshot, age, source }) = recalled else { return };
        let (service, instances) = (&self.followed.name, snapshot.len());
        tracing::warn!(%service, instances, ?age, ?source, "the registry has not answered, serving what is remembered");
        self.followed.state.send_modify(|state| state.recalled = Some(source));
        self.tell(ServiceInput::Recalled { snapshot, age });
    }

    fn obey(&mut self, command: Command) {
        // Who asked may have gone meanwhile; what was asked holds all the same.
        match command {
            Command::Route(selector, reply) => {
                let route = self.machine.route(selector);
                self.carry_out();
                let _ = reply.send(route);
            }
            Command::Drain(key, reply) => {
                self.machine.drain(key);
                self.carry_out();
                let _ = reply.send(());
            }
            Command::Health(reply) => {
                let _ = reply.send(ServiceHealth::of(&self.machine));
            }
            Command::Undrain(key, reply) => {
                self.machine.undrain(&key);
                self.carry_out();
                let _ = reply.send(());
            }
        }
    }

    /// Closes the connections of checks to whom none over HTTP asks any more.
    fn close_connections(&mut self) {
        if !Arc::ptr_eq(&self.checked, self.machine.snapshot()) {
            self.checked = Arc::clone(self.machine.snapshot());
            self.means.retain(|key| self.is_asked_over_http(key));
        }
    }

    fn is_asked_over_http(&self, key: &InstanceKey) -> bool {
        let entry = self.machine.snapshot().get(key);
        let check = entry.and_then(|entry| self.check.as_ref().or(entry.check()));
        check.is_some_and(|check| matches!(check.kind(), CheckKind::Http(_)))
    }

    /// Does what the machine asks for and passes on what it reports.
    fn carry_out(&mut self) {
        self.close_connections();
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                ServiceEffect::Probe(probe) => self.probe(probe),
                ServiceEffect::Deregister(id, instance) => self.deregister(id, instance),
                ServiceEffect::Publish(view) => self.publish(view),
            }
        }
        while let Some(event) = self.machine.poll_event() {
            super::telling::log(&self.followed.name, &event);
            super::telling::measure(&*self.recorder, &self.followed.name, &event);
        }
        let (freshness, confirmed_at) = (self.machine.freshness(), self.machine.confirmed_at());
        self.followed.state.send_if_modified(|state| {
            let news = (state.freshness, state.confirmed_at) != (freshness, confirmed_at);
            (state.freshness, state.confirmed_at) = (freshness, confirmed_at);
            news
        });
    }

    /// Runs a probe, or puts it off where too many are under way. Who calls goes on with what the machine asks for then.
    fn probe(&mut self, probe: Probe) {
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            self.machine.handle_input(self.environment.clock.now(), ServiceInput::Postponed(probe.id));
            return;
        };
        // Of one that gets no requests it is to be seen whether one can connect.
        let key = probe.instance.key();
        let is_well = matches!(self.machine.health(key), Health::Healthy | Health::Degraded);
        if !is_well || self.machine.standing(key) != Standing::In {
            self.means.close(key);
        }
        let (Environment { clock, dial, .. }, means) = (self.environment.clone(), self.means.clone());
        self.jobs.spawn(async move {
            let report = probe::run_with(&*dial, &probe, &*clock, &means).await;
            drop(permit);
            Done::Probed(probe, report)
        });
    }

    fn deregister(&mut self, id: DeregisterId, instance: Arc<Instance>) {
        // What this mesh keeps registered would be registered again, and again be deregistered, for ever.
        if self.mesh.upgrade().is_some_and(|mesh| mesh.kept(instance.id()).is_some()) {
            self.tell(ServiceInput::Deregistered(id, Deregistration::Never));
            return;
        }
        let registry = Arc::clone(&self.registry);
        self.jobs.spawn(async move {
            let order = registry.deregister(instance.service(), instance.id(), Part::Service);
            let result = tokio::time::timeout(DEREGISTER_TIMEOUT, order).await;
            Done::Deregistered(id, result.unwrap_or(Err(RegistryError::Timeout { after: DEREGISTER_TIMEOUT })))
        });
    }

    fn publish(&mut self, view: Arc<View>) {
        let census = view.census();
        self.recorder.record(&Measurement::Endpoints {
            service: &self.followed.name,
            eligible: census.usable,
            unhealthy: census.unhealthy,
            ejected: census.ejected,
            probing: census.probing,
            drained: census.drained,
            registered: census.registered,
        });
        let before = self.followed.balancer.view();
        let left: Vec<_> = before.left_by(&view).collect();
        left.iter().for_each(|endpoint| self.followed.calls.forget(endpoint));
        // What handles hold back would be taken for nothing.
        self.followed.balancer.settle();
        // First, so that no request in flight is in neither place at any moment.
        self.followed.state.send_modify(|state: &mut ServiceState| {
            state.leaving.retain(|endpoint| endpoint.in_flight() > 0);
            state.leaving.extend(left);
        });
        self.followed.balancer.publish(view);
    }
}

impl Drop for ServiceDriver {
    fn drop(&mut self) {
        self.followed.end();
    }
}

/// Shorter than the machine waits before it asks again (30 s), so that orders that hang do not pile up.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(20);
