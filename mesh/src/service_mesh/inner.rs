//! What all clones of a mesh share: the services it follows and the registrations it keeps.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use mesh_cache::CacheBuilder;
use mesh_cache::codec::Codec;
use mesh_core::balance::{Knowledge, PickContext, PickError};
use mesh_core::machine::ServiceMachineConfig;
use mesh_core::port::{Clock, Registry};
use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::registration::RegistrationKeeper;
use mesh_core::service::{Instance, InstanceId, ServiceConfig, ServiceName};
use mesh_core::snapshot::{Entry, RegistryStatus};
use mesh_core::time::Instant;
use mesh_retry::call::GiveUpReason;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fleet::Fleet;
use super::owned::{Admission, Owned};
use crate::call::SharedByCalls;
use crate::config::MeshConfig;
use crate::driver::{self, Kept, RegistrationDriver, ServiceDriver};
use crate::error::{RegisterError, ServiceError};
use crate::lease::Lease;
use crate::local;
use crate::memory::Memory;
use crate::own_health::HealthRegistry;
use crate::probe::{Means, OwnCheck, ProbeTls};
use crate::service::Followed;
use mesh_cache::Environment;

type Services = BTreeMap<ServiceName, Arc<Followed>>;

/// What all clones of a mesh share. Its tasks are aborted when it is dropped.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Itself, for tasks that must not keep it alive.
    pub(super) me: Weak<Self>,
    pub(super) config: MeshConfig,
    configs: BTreeMap<ServiceName, ServiceMachineConfig>,
    own_checks: BTreeMap<ServiceName, OwnCheck>,
    probe_tls: ProbeTls,
    registry: Arc<dyn Registry>,
    pub(super) environment: Environment,
    pub(super) recorder: Arc<dyn Recorder>,
    pub(super) fleet: Fleet,
    /// One for each health check that may be in flight.
    checks: Arc<Semaphore>,
    /// Read by every call, copied when a service is added.
    services: ArcSwap<Services>,
    owned: Mutex<Owned>,
    health: HealthRegistry,
    ready: AtomicBool,
    pub(super) stopped: AtomicBool,
}

impl Inner {
    pub(crate) fn new(
        config: MeshConfig,
        (configs, own_checks): (BTreeMap<ServiceName, ServiceMachineConfig>, BTreeMap<ServiceName, OwnCheck>),
        probe_tls: ProbeTls,
        registry: Arc<dyn Registry>,
        environment: Environment,
        recorder: Arc<dyn Recorder>,
        fleet: Fleet,
    ) -> Arc<Self> {
        let memory = fleet.memory.clone();
        let checks = Arc::new(Semaphore::new(config.checks_in_flight_max.get() as usize));
        let health = HealthRegistry::new(config.health.clone(), Arc::clone(&environment.clock));
        let inner = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            config,
            configs,
            own_checks,
            probe_tls,
            registry,
            environment,
            recorder,
            fleet,
            checks,
            services: ArcSwap::default(),
            owned: Mutex::default(),
            health,
            ready: AtomicBool::new(true),
            stopped: AtomicBool::new(false),
        });
        if let Some(memory) = memory {
            inner.owned().spawn(async move { match memory.write_on().await {} });
        }
        inner
    }

    pub(super) fn cache<V: Send + Sync + 'static>(
        &self,
        namespace: &str,
        codec: impl Codec<V> + 'static,
    ) -> CacheBuilder<V> {
        self.fleet.cache((&self.config.memory.namespace, namespace), codec, &self.environment)
    }

    pub(super) const fn memory(&self) -> Option<&Arc<Memory>> {
        self.fleet.memory.as_ref()
    }

    pub(super) const fn health(&self) -> &HealthRegistry {
        &self.health
    }

    pub(crate) fn now(&self) -> Instant {
        self.environment.clock.now()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.environment.clock)
    }

    pub(crate) async fn sleep_until(&self, due: Instant) {
        driver::sleep_until(&*self.environment.clock, Some(due)).await;
    }

    pub(crate) fn record(&self, measurement: &Measurement<'_>) {
        self.recorder.record(measurement);
    }

    /// A random word for one call to `followed`.
    pub(crate) fn random(&self, followed: &Arc<Followed>) -> u64 {
        local::random(followed, &self.environment)
    }

    /// The service `name`, followed, once the registry has said anything of it.
    pub(crate) async fn follow(&self, name: &str) -> Result<Arc<Followed>, ServiceError> {
        self.follow_within(name, None).await
    }

    /// The service `name`, if it is followed and its registry has answered.
    pub(crate) fn known(&self, name: &str) -> Option<Arc<Followed>> {
        let services = self.services.load();
        let followed = services.get(name).filter(|followed| !followed.has_ended() && followed.balancer.version() > 0);
        followed.filter(|_| !self.stopped.load(Ordering::Relaxed)).cloned()
    }

    /// As `follow`, for a caller who waits no longer than `within`.
    pub(crate) async fn follow_within(
        &self,
        name: &str,
        within: Option<Duration>,
    ) -> Result<Arc<Followed>, ServiceError> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ServiceError::ShutDown);
        }
        let followed = self.services.load().get(name).filter(|followed| !followed.has_ended()).cloned();
        let followed = match followed {
            Some(followed) => followed,
            None => self.begin_to_follow(name)?,
        };
        if followed.balancer.version() > 0 {
            return Ok(followed);
        }
        let waited = within.map_or(self.config.discovery_timeout, |within| within.min(self.config.discovery_timeout));
        let mut state = followed.state.subscribe();
        let answered = state.wait_for(|state| state.confirmed_at.is_some() || followed.has_ended());
        let answered = tokio::time::timeout(waited, answered).await.is_ok();
        if answered && !followed.has_ended() {
            return Ok(followed);
        }
        Err(self.why_silent(&followed, waited))
    }

    /// Why nothing is known of a service after its registry was `waited` for.
    fn why_silent(&self, followed: &Followed, waited: Duration) -> ServiceError {
        let service = followed.name.clone();
        if self.stopped.load(Ordering::Relaxed) {
            return ServiceError::ShutDown;
        }
        match followed.state.borrow().lost.clone() {
            Some(source) => ServiceError::Registry { service, source },
            None => ServiceError::Silent { service, waited },
        }
    }

    fn begin_to_follow(&self, name: &str) -> Result<Arc<Followed>, ServiceError> {
        let name = ServiceName::try_from(name)?;
        let mut owned = self.owned();
        if self.stopped.load(Ordering::Relaxed) {
            return Err(ServiceError::ShutDown);
        }
        let services = self.services.load_full();
        let earlier = services.get(&name);
        if let Some(followed) = earlier.filter(|followed| !followed.has_ended()) {
            return Ok(Arc::clone(followed));
        }
        let services_max = self.config.services_max.get();
        let known = earlier.is_some();
        let mut services = Services::clone(&services);
        if !known && services.len() >= services_max as usize {
            make_room(&mut services);
        }
        // One whose task ended, because its runtime did or it panicked, is followed anew in its own place.
        if !known && services.len() >= services_max as usize {
            return Err(ServiceError::TooManyServices { service: name, services_max });
        }
        let config = self.configs.get(&name).unwrap_or(&self.config.service).clone();
        let entropy = self.environment.entropy.next_u64();
        let parts = self.fleet.join(&name, &self.environment, &self.recorder, &mut owned);
        let calls = SharedByCalls::new(&self.config.calls, entropy, &name, &self.recorder, parts);
        let (followed, inbox) = Followed::new(name.clone(), config.count_window, calls);
        let (registry, recorder) = (Arc::clone(&self.registry), Arc::clone(&self.recorder));
        let driver =
            ServiceDriver::new(Arc::clone(&followed), inbox, config, registry, self.environment.clone(), recorder);
        let own_check = self.own_checks.get(&name).cloned().unwrap_or_default();
        let means = Means::new(own_check, self.probe_tls.clone());
        let driver = driver.of(Weak::clone(&self.me)).checking_by(means, Arc::clone(&self.checks));
        owned.spawn(driver.remembering(self.fleet.memory.clone()).run());
        services.insert(name, Arc::clone(&followed));
        self.services.store(Arc::new(services));
        Ok(followed)
    }

    /// Picks an instance of a service for one request.
    pub(crate) fn place(&self, followed: &Arc<Followed>, context: &PickContext<'_>) -> Result<Lease, ServiceError> {
        let picked = self.pick(followed, self.now(), context);
        picked.map_err(|source| ServiceError::Pick { service: followed.name.clone(), source })
    }

    pub(crate) fn pick(
        &self,
        followed: &Arc<Followed>,
        now: Instant,
        context: &PickContext<'_>,
    ) -> Result<Lease, PickError> {
        let picked = local::pick(followed, &self.environment, now, context);
        if let Err(error) = &picked {
            self.record(&Measurement::PickRefused { service: &followed.name, reason: error.name() });
        }
        picked
    }

    /// One healthy instance by the registry's own word, and by what is known of it here.
    pub(crate) async fn look_up(&self, name: &str) -> Result<Arc<Instance>, ServiceError> {
        let followed = self.follow(name).await?;
        let service = &followed.name;
        let answer = tokio::time::timeout(self.config.discovery_timeout, self.registry.resolve(service)).await;
        let resolution = answer
            .map_err(|_| ServiceError::Silent { service: service.clone(), waited: self.config.discovery_timeout })?
            .map_err(|source| ServiceError::Registry { service: service.clone(), source })?;
        let view = followed.balancer.view();
        let healthy = |entry: &&Entry| {
            entry.status() != RegistryStatus::Critical && !is_drained(entry) && !view.is_out(entry.key())
        };
        let healthy: Vec<&Entry> = resolution.snapshot.iter().filter(healthy).collect();
        let chosen = mesh_core::rng::scale(self.random(&followed), healthy.len() as u64) as usize;
        if let Some(entry) = healthy.get(chosen) {
            return Ok(Arc::clone(entry.instance()));
        }
        let (registered, census) = (resolution.snapshot.len() as u32, view.census());
        let drained = resolution.snapshot.iter().filter(|entry| is_drained(entry)).count() as u32;
        // The view knows as well whom this process drained; where it is of another list, it would mislead.
        let drained = if census.registered == registered { census.drained.max(drained) } else { drained };
        let source = match (resolution.known, registered) {
            (false, 0) => PickError::UnknownService,
            (true, 0) => PickError::NoneRegistered,
            _ => PickError::NoneHealthy { registered, unhealthy: registered - drained, drained },
        };
        Err(ServiceError::Pick { service: service.clone(), source })
    }

    /// Begins to keep an instance registered, unless an earlier one of its id is still on its way out.
    pub(crate) fn keep(&self, config: &Arc<ServiceConfig>) -> Result<Admission, RegisterError> {
        let mut owned = self.owned();
        if !self.is_ready() {
            return Err(RegisterError::ShutDown);
        }
        owned.kept.retain(|_, kept| !kept.has_ended());
        let Owned { kept, keepers, .. } = &mut *owned;
        keepers.retain(|id, _| kept.contains_key(id));
        match owned.kept.get(config.id()) {
            Some(earlier) if earlier.is_leaving() => return Ok(Admission::Later(earlier.clone())),
            Some(earlier) if !earlier.is_resting() => {
                let (service, instance) = (config.service().clone(), config.id().clone());
                return Err(RegisterError::AlreadyRegistered { service, instance });
            }
            // One that failed, or may not be gone, is replaced.
            Some(_) | None => {}
        }
        let Environment { clock, entropy, .. } = &self.environment;
        let (numbers, config) = (self.config.registration.clone(), Arc::clone(config));
        let timeout = numbers.operation_timeout;
        let keeper = RegistrationKeeper::new(numbers, Arc::clone(&config), entropy.next_u64(), clock.now())?;
        let (registry, recorder) = (Arc::clone(&self.registry), Arc::clone(&self.recorder));
        let (environment, health) = (self.environment.clone(), self.health.watch());
        let (driver, kept) = RegistrationDriver::new(keeper, registry, environment, recorder, health, timeout);
        let task = owned.spawn(driver.run());
        // What the earlier one might still be told to do would be done to its successor.
        if let Some(superseded) = owned.keepers.insert(config.id().clone(), task) {
            superseded.abort();
        }
        owned.kept.insert(config.id().clone(), kept.clone());
        Ok(Admission::Begun(kept))
    }

    /// Records a call that found no service to make an attempt at.
    pub(crate) fn record_refused(&self, name: &str, started: Instant) {
        if let Ok(service) = ServiceName::try_from(name) {
            let elapsed = self.now().since(started);
            let result = GiveUpReason::NoInstance.name();
            self.record(&Measurement::CallEnded { service: &service, attempts: 0, elapsed, result });
        }
    }

    /// The registration of `id`, while there is anything to take away.
    pub(crate) fn kept(&self, id: &InstanceId) -> Option<Kept> {
        self.owned().kept.get(id).filter(|kept| !kept.is_over()).cloned()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// From now on this process wants no requests, and registers nothing.
    pub(super) fn become_unready(&self) -> Vec<Kept> {
        self.health.begin_drain();
        let owned = self.owned();
        self.ready.store(false, Ordering::Relaxed);
        owned.kept.values().filter(|kept| !kept.is_over()).cloned().collect()
    }

    /// Requests in flight to all services.
    pub(super) fn in_flight(&self) -> u64 {
        self.services.load().values().map(|followed| followed.in_flight()).sum()
    }

    /// Gives back what this process holds of what the fleet shares.
    pub(super) async fn leave_fleet(&self) {
        let services = self.services.load_full();
        services.values().for_each(|followed| followed.calls.fleet().leave());
        for followed in services.values() {
            followed.calls.fleet().left().await;
        }
    }

    /// From now on there are no calls; every task is aborted.
    pub(super) fn stop(&self) -> JoinSet<()> {
        let mut owned = self.owned();
        self.stopped.store(true, Ordering::Relaxed);
        owned.kept.clear();
        let mut tasks = std::mem::take(&mut owned.tasks);
        // First, so that nothing is said of an end that is none of an instance that may stay in the registry.
        tasks.abort_all();
        self.health.end();
        tasks
    }

    pub(super) fn owned(&self) -> MutexGuard<'_, Owned> {
        // Nothing that holds the lock can leave it half-changed.
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of a service that the registry does not know and nobody is calling: names made up by callers must not
/// keep those of real services out.
fn make_room(services: &mut Services) {
    let idle = |followed: &Arc<Followed>| {
        followed.balancer.view().knowledge() == Knowledge::Unknown && followed.in_flight() == 0
    };
    let unknown = services.iter().find(|(_, followed)| idle(followed)).map(|(name, _)| name.clone());
    if let Some(followed) = unknown.and_then(|name| services.remove(&name)) {
        followed.end();
        followed.sweep.notify_one();
    }
}

/// Whether an instance is out by its owner's wish.
fn is_drained(entry: &Entry) -> bool {
    entry.status() == RegistryStatus::Maintenance || entry.instance().weights().passing.is_drained()
}

impl Drop for Inner {
    fn drop(&mut self) {
        let kept = self.owned().kept.values().filter(|kept| !kept.is_over()).count();
        // First, so that no instance that stays in the registry is said to be draining.
        self.owned().tasks.abort_all();
        self.health.end();
        if kept > 0 {
            tracing::warn!(kept, "a mesh was dropped without a shutdown: what it registered stays in the registry");
        }
    }
}
