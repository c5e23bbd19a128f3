//! The registry of one process: what it is told, it knows at once and for as long as it lives.
//!
//! Decides when a name is forgotten and how much it holds at most. Runs no health checks, and never removes an
//! instance by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mesh_core::health::own::OwnStatus;
use mesh_core::port::{BoxFuture, Registry, RegistryError, Resolution, Watch, WatchEvent};
use mesh_core::registration::{Part, Standing};
use mesh_core::service::{CheckRunner, InstanceId, ServiceConfig, ServiceName};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::{misplaced_check, standing};

/// A registry in memory, for one process or one machine's tests. Clones share what they hold.
///
/// An instance is one id of one service; registering it again replaces it. A service stays known after its last
/// instance left, until the room is needed for another name.
///
/// A snapshot is built when it is first read after a change, so a thousand registrations in a row cost one. Of a
/// service with 1,000 instances or more, a watch lets changes gather for 1 µs an instance after each event,
/// by tokio's timer.
#[derive(Clone, Default)]
pub struct MemoryRegistry {
    shared: Arc<Shared>,
}

/// The bounds of a [`MemoryRegistry`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// The most services it knows at once. Default 10,000. A further name takes the place of one that has no
    /// instances and is not followed; where there is none, registering it is refused.
    pub services_max: NonZeroUsize,
    /// The most instances of one service. Default 100,000. A further one is refused.
    pub instances_max: NonZeroUsize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { services_max: SERVICES_MAX, instances_max: INSTANCES_MAX }
    }
}

impl MemoryRegistry {
    /// An empty registry with the default bounds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty registry with the bounds of `config`.
    #[must_use]
    pub fn with_config(config: MemoryConfig) -> Self {
        Self { shared: Arc::new(Shared { config, services: Mutex::default() }) }
    }
}

impl fmt::Debug for MemoryRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (known, names) = {
            let services = self.shared.services();
            (services.known, services.feeds.len())
        };
        let followed_only = names.saturating_sub(known);
        f.debug_struct("MemoryRegistry")
            .field("known", &known)
            .field("followed_only", &followed_only)
            .finish_non_exhaustive()
    }
}

impl Registry for MemoryRegistry {
    fn register<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async move { self.shared.register(config) })
    }

    fn deregister<'a>(
        &'a self,
        service: &'a ServiceName,
        instance: &'a InstanceId,
        part: Part,
    ) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async move {
            self.shared.deregister(service, instance, part);
            Ok(())
        })
    }

    fn inspect<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<Standing, RegistryError>> {
        Box::pin(async move { Ok(self.shared.inspect(config)) })
    }

    fn resolve<'a>(&'a self, service: &'a ServiceName) -> BoxFuture<'a, Result<Resolution, RegistryError>> {
        Box::pin(async move { Ok(self.shared.resolve(service)) })
    }

    fn watch(&self, service: &ServiceName) -> Box<dyn Watch> {
        let changes = self.shared.follow(service);
        Box::new(MemoryWatch { shared: Arc::clone(&self.shared), service: service.clone(), changes, rest: None })
    }

    /// Shown as the status of the entry; the note is not kept.
    fn report_health<'a>(
        &'a self,
        service: &'a ServiceName,
        instance: &'a InstanceId,
        status: OwnStatus,
        _note: &'a str,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(async move { Ok(self.shared.report(service, instance, status)) })
    }

    fn runs_checks(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct Shared {
    config: MemoryConfig,
    services: Mutex<Services>,
}

/// Every service that is known or followed. A feed is changed only by who holds the lock around this.
#[derive(Default)]
struct Services {
    feeds: BTreeMap<ServiceName, Arc<Feed>>,
    known: usize,
}

/// One service, and who waits for it to change.
type Feed = watch::Sender<Service>;

#[derive(Default)]
struct Service {
    known: bool,
    entries: BTreeMap<InstanceId, Entry>,
    snapshot: OnceLock<Arc<Snapshot>>,
}

impl Shared {
    fn register(&self, config: &ServiceConfig) -> Result<(), RegistryError> {
        if let Some(reason) = misplaced_check(config) {
            return Err(RegistryError::Invalid { reason: reason.into() });
        }
        let mut services = self.services();
        let feed = services.admit(config.service(), self.config.services_max)?;
        feed.borrow().verify_room(config, self.config.instances_max)?;
        feed.send_if_modified(|service| service.put(config));
        Ok(())
    }

    fn deregister(&self, service: &ServiceName, instance: &InstanceId, part: Part) {
        if let Some(feed) = self.services().feeds.get(service) {
            feed.send_if_modified(|service| match part {
                Part::Service => service.remove(instance),
                Part::Check => service.remove_check(instance),
            });
        }
    }

    fn report(&self, service: &ServiceName, instance: &InstanceId, status: OwnStatus) -> bool {
        let Some(feed) = self.feed(service) else { return false };
        feed.send_if_modified(|service| service.show(instance, shown_as(status)));
        feed.borrow().entries.contains_key(instance)
    }

    fn inspect(&self, config: &ServiceConfig) -> Standing {
        let feed = self.feed(config.service());
        feed.map_or(Standing::ABSENT, |feed| standing(feed.borrow().entries.get(config.id()), config))
    }

    fn resolve(&self, service: &ServiceName) -> Resolution {
        match self.feed(service) {
            Some(feed) => feed.borrow().resolution(),
            None => Service::default().resolution(),
        }
    }

    /// What tells of the changes of `service`; it says at once that there is something to read.
    fn follow(&self, service: &ServiceName) -> watch::Receiver<Service> {
        let mut changes = self.services().feeds.entry(service.clone()).or_default().subscribe();
        changes.mark_changed();
        changes
    }

    /// Forgets a name that nobody registered when the last one who follows it leaves.
    fn unfollow(&self, service: &ServiceName) {
        let mut services = self.services();
        let leaves_nothing = |feed: &Arc<Feed>| feed.receiver_count() <= 1 && !feed.borrow().known;
        if services.feeds.get(service).is_some_and(leaves_nothing) {
            services.feeds.remove(service);
        }
    }

    /// Reads happen outside the lock, so that building a long list holds nobody up but its own service.
    fn feed(&self, service: &ServiceName) -> Option<Arc<Feed>> {
        self.services().feeds.get(service).cloned()
    }

    fn services(&self) -> MutexGuard<'_, Services> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services {
    /// The feed of `service`, which counts as known from now on.
    fn admit(&mut self, service: &ServiceName, services_max: NonZeroUsize) -> Result<Arc<Feed>, RegistryError> {
        if self.feeds.get(service).is_none_or(|feed| !feed.borrow().known) {
            if self.known >= services_max.get() && !self.forget_one() {
                let reason = format!("service: {service} is one more than services_max = {services_max}");
                return Err(RegistryError::Invalid { reason: reason.into() });
            }
            self.known = self.known.saturating_add(1);
        }
        Ok(Arc::clone(self.feeds.entry(service.clone()).or_default()))
    }

    /// Makes room for a name, at the cost of one without instances that nobody follows.
    fn forget_one(&mut self) -> bool {
        let is_idle = |feed: &Feed| feed.receiver_count() == 0 && feed.borrow().entries.is_empty();
        let idle = self.feeds.iter().find(|(_, feed)| is_idle(feed)).map(|(service, _)| service.clone());
        let Some(idle) = idle else { return false };
        self.feeds.remove(&idle);
        self.known = self.known.saturating_sub(1);
        true
    }
}

impl Service {
    fn verify_room(&self, config: &ServiceConfig, instances_max: NonZeroUsize) -> Result<(), RegistryError> {
        if self.entries.len() < instances_max.get() || self.entries.contains_key(config.id()) {
            return Ok(());
        }
        let (service, id) = (config.service(), config.id());
        let reason = format!("id: {id} of service {service} is one more than instances_max = {instances_max}");
        Err(RegistryError::Invalid { reason: reason.into() })
    }

    /// Holds what `config` says; false when it did already.
    fn put(&mut self, config: &ServiceConfig) -> bool {
        self.known = true;
        let held = self.entries.get(config.id());
        // What the instance said of itself holds for its new values too.
        let new = Entry::new(
            Arc::clone(config.instance()),
            held.map_or(RegistryStatus::Unknown, Entry::status),
            config.check().cloned(),
        );
        if held == Some(&new) {
            return false;
        }
        self.entries.insert(config.id().clone(), new);
        self.outdate()
    }

    fn remove(&mut self, instance: &InstanceId) -> bool {
        self.entries.remove(instance).is_some() && self.outdate()
    }

    /// Takes away a check that is a part of the registration; one that the mesh runs is none.
    fn remove_check(&mut self, instance: &InstanceId) -> bool {
        let Some(held) = self.entries.get_mut(instance) else { return false };
        if held.check().is_none_or(|check| check.run_by() != CheckRunner::Registry) {
            return false;
        }
        *held = Entry::new(Arc::clone(held.instance()), held.status(), None);
        self.outdate()
    }

    /// Holds what an instance says of itself; false when it did already.
    fn show(&mut self, instance: &InstanceId, status: RegistryStatus) -> bool {
        let Some(held) = self.entries.get_mut(instance).filter(|held| held.status() != status) else { return false };
        *held = Entry::new(Arc::clone(held.instance()), status, held.check().cloned());
        self.outdate()
    }

    fn outdate(&mut self) -> bool {
        self.snapshot = OnceLock::new();
        true
    }

    fn resolution(&self) -> Resolution {
        let snapshot = self.snapshot.get_or_init(|| Arc::new(Snapshot::new(self.entries.values().cloned().collect())));
        Resolution::certain(Arc::clone(snapshot), self.known)
    }
}

/// A service's word of itself in the words of a registry, as Consul has them.
const fn shown_as(status: OwnStatus) -> RegistryStatus {
    match status {
        OwnStatus::Up => RegistryStatus::Passing,
        OwnStatus::Degraded => RegistryStatus::Warning,
        OwnStatus::Down => RegistryStatus::Critical,
    }
}

struct MemoryWatch {
    shared: Arc<Shared>,
    service: ServiceName,
    changes: watch::Receiver<Service>,
    rest: Option<Pin<Box<Sleep>>>,
}

impl Watch for MemoryWatch {
    fn next(&mut self) -> BoxFuture<'_, WatchEvent> {
        Box::pin(async move {
            if let Some(rest) = &mut self.rest {
                rest.await;
                self.rest = None;
            }
            if self.changes.changed().await.is_err() {
                // A feed that is followed is never dropped; and if it were, there would be nothing to tell.
                pending::<()>().await;
            }
            let resolution = self.changes.borrow_and_update().resolution();
            self.rest = rest_after(&resolution).map(|rest| Box::pin(tokio::time::sleep(rest)));
            WatchEvent::Snapshot(resolution)
        })
    }
}

/// How long a watch lets changes gather after `resolution`: as long as a few such lists take to build, so that
/// n registrations with somebody following cost far less than n lists of n. None where that is below the
/// millisecond in which timers tick.
fn rest_after(resolution: &Resolution) -> Option<Duration> {
    let instances = u32::try_from(resolution.snapshot.len()).unwrap_or(u32::MAX);
    let rest = REST_PER_INSTANCE.saturating_mul(instances);
    (rest >= TICK).then_some(rest)
}

impl fmt::Debug for MemoryWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWatch").field("service", &self.service).finish_non_exhaustive()
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.shared.unfollow(&self.service);
    }
}

const SERVICES_MAX: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
const INSTANCES_MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
/// Three times what the snapshot of one instance was measured to take in a release build.
const REST_PER_INSTANCE: Duration = Duration::from_micros(1);
const TICK: Duration = Duration::from_millis(1);
