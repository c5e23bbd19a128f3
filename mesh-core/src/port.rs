//! What the decisions need of the world outside: a clock, entropy, and a registry of services.
//!
//! These are the seams at which production and simulation differ. The control plane alone goes through
//! them, so their futures are boxed; nothing on a request's path does. An adapter translates and reports:
//! it keeps no last-known-good, retries nothing and verifies nothing, because discovery and the registration
//! keeper decide that, for every registry alike.

mod error;

use alloc::sync::Arc;
use core::fmt::Debug;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;

pub use error::{ErrorSource, RegistryError, StateChange};

use crate::health::own::OwnStatus;
use crate::registration::{Part, Standing};
use crate::service::{InstanceId, ServiceConfig, ServiceName};
use crate::snapshot::Snapshot;
use crate::time::Instant;

/// A future that a port returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Tells the time since an epoch of its own.
pub trait Clock: Debug + Send + Sync {
    /// The time now; it may stand still, and should not go back.
    fn now(&self) -> Instant;
}

/// A source of random words, each independent of the others and unfit for secrets.
pub trait Entropy: Debug + Send + Sync {
    /// The next 64 random bits.
    fn next_u64(&self) -> u64;
}

/// A registry of services: who offers what, and where.
///
/// Every operation may be dropped half-way; it may then have been carried out or not.
pub trait Registry: Debug + Send + Sync {
    /// Creates the entry of an instance, or replaces the one with the same id.
    ///
    /// `Ok` means that the registry took the order, not that the entry is visible: Consul's agent answers
    /// before the catalogue knows (its documentation of `/v1/agent/service/register`, and PR #723 there).
    ///
    /// # Errors
    /// What went wrong, and whether something may have changed none the less.
    fn register<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<(), RegistryError>>;

    /// Takes one part of an instance's entry away. That nothing stood is success.
    ///
    /// Where the registry ties the parts together, taking the service away takes its check too.
    ///
    /// # Errors
    /// What went wrong, and whether something may have changed none the less.
    fn deregister<'a>(
        &'a self,
        service: &'a ServiceName,
        instance: &'a InstanceId,
        part: Part,
    ) -> BoxFuture<'a, Result<(), RegistryError>>;

    /// Reads what the registry holds of the instance that `config` describes, compared with it.
    ///
    /// # Errors
    /// Why it could not be read. An absent entry is no error.
    fn inspect<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<Standing, RegistryError>>;

    /// Reads the instances of a service once.
    ///
    /// # Errors
    /// Why they could not be read. An unknown service is no error: see [`Resolution::known`].
    fn resolve<'a>(&'a self, service: &'a ServiceName) -> BoxFuture<'a, Result<Resolution, RegistryError>>;

    /// Follows the instances of a service, beginning with what they are now.
    fn watch(&self, service: &ServiceName) -> Box<dyn Watch>;

    /// Completes when there is reason to believe that the registry has lost the entry of `instance`, which this process
    /// registered: whoever keeps it looks then, and not only at the next verification. May complete without reason.
    ///
    /// Cancel-safe. Never completes unless an adapter says otherwise.
    fn doubts<'a>(&'a self, _instance: &'a InstanceId) -> BoxFuture<'a, ()> {
        Box::pin(core::future::pending())
    }

    /// Says how an instance that this process registers is, by its own word: up, degraded or down, and why in a `note` of
    /// at most 256 bytes. It holds until something else is said or the instance is deregistered. It may be said before the
    /// registration, so that the entry begins with it where the registry can do that.
    ///
    /// Returns whether anybody hears of it: a registry that shows no such word says no, as one without agent does by
    /// default, or one that has no such entry.
    ///
    /// # Errors
    /// Why it could not be told. The next word replaces this one.
    fn report_health<'a>(
        &'a self,
        _service: &'a ServiceName,
        _instance: &'a InstanceId,
        _status: OwnStatus,
        _note: &'a str,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        Box::pin(core::future::ready(Ok(false)))
    }

    /// What tells its answers about `service` apart from those that another registry, or another's token, is given:
    /// caches that several processes share keep them apart by it. It holds no secret; a hash of one will do.
    fn identity(&self, _service: &ServiceName) -> String {
        String::new()
    }

    /// Whether the registry runs health checks itself. Where it does not, those who discover an instance run
    /// the check that its entry carries.
    fn runs_checks(&self) -> bool;
}

impl<R: Registry + ?Sized> Registry for Arc<R> {
    fn register<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<(), RegistryError>> {
        (**self).register(config)
    }

    fn deregister<'a>(
        &'a self,
        service: &'a ServiceName,
        instance: &'a InstanceId,
        part: Part,
    ) -> BoxFuture<'a, Result<(), RegistryError>> {
        (**self).deregister(service, instance, part)
    }

    fn inspect<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<Standing, RegistryError>> {
        (**self).inspect(config)
    }

    fn resolve<'a>(&'a self, service: &'a ServiceName) -> BoxFuture<'a, Result<Resolution, RegistryError>> {
        (**self).resolve(service)
    }

    fn watch(&self, service: &ServiceName) -> Box<dyn Watch> {
        (**self).watch(service)
    }

    fn doubts<'a>(&'a self, instance: &'a InstanceId) -> BoxFuture<'a, ()> {
        (**self).doubts(instance)
    }

    fn report_health<'a>(
        &'a self,
        service: &'a ServiceName,
        instance: &'a InstanceId,
        status: OwnStatus,
        note: &'a str,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        (**self).report_health(service, instance, status, note)
    }

    fn identity(&self, service: &ServiceName) -> String {
        (**self).identity(service)
    }

    fn runs_checks(&self) -> bool {
        (**self).runs_checks()
    }
}

/// A service being followed. It never ends: what goes wrong is an event, and the next one tells how it went on.
pub trait Watch: Debug + Send {
    /// Waits for the next event.
    ///
    /// Cancel-safe: dropping the future loses no event, the next call returns it. After
    /// [`WatchEvent::Lost`] the watch itself waits as long as its registry needs between two tries.
    fn next(&mut self) -> BoxFuture<'_, WatchEvent>;
}

/// What a [`Watch`] reports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// The instances as the registry has them now; the first event of a watch that works is one of these.
    Snapshot(Resolution),
    /// The registry was heard and nothing changed since the last snapshot.
    Confirmed,
    /// The registry could not be heard; what it said last may be out of date from now on.
    Lost(RegistryError),
}

/// A registry's answer to "who offers this service?".
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Resolution {
    /// The instances, with what the registry says of their health.
    pub snapshot: Arc<Snapshot>,
    /// Whether the registry knows the service's name at all. A registry that forgets a service with its last
    /// instance says no for one that stopped as well as for one that never was.
    pub known: bool,
    /// Whether an empty list is certain. It is in the process's own registry; one behind a network may answer
    /// with too few instances (a restart, lost permissions), and discovery then distrusts a sudden void.
    pub authoritative: bool,
    /// How long ago this was true: zero but where the answer came out of somebody's cache, or from a server that has not
    /// heard from its leader since.
    pub age: Duration,
}

impl Resolution {
    /// The answer of a registry whose word is certain, such as one in the process.
    #[must_use]
    pub const fn certain(snapshot: Arc<Snapshot>, known: bool) -> Self {
        Self { snapshot, known, authoritative: true, age: Duration::ZERO }
    }

    /// The answer of a registry that may be mistaken, such as one behind a network.
    #[must_use]
    pub const fn heard(snapshot: Arc<Snapshot>, known: bool) -> Self {
        Self { snapshot, known, authoritative: false, age: Duration::ZERO }
    }

    /// The same, as it was `age` ago.
    #[must_use]
    pub fn aged(self, age: Duration) -> Self {
        Self { age, ..self }
    }
}
