//! The facade: everything that a process does with the mesh.

mod fleet;
mod inner;
mod operating;
mod owned;
mod shutdown;

use std::future::Future;
use std::sync::Arc;

use mesh_cache::CacheBuilder;
use mesh_cache::codec::Codec;
use mesh_core::balance::{BalancerStats, Outcome, PickContext};
use mesh_core::route::{RouteId, Selector};
use mesh_core::service::{Instance, InstanceId, InstanceKey, ServiceConfig};
use mesh_retry::classify::Classify;
use mesh_retry::deadline::Told;
use tokio::sync::oneshot;

use crate::builder::ServiceMeshBuilder;
use crate::call::{self, Attempt, Call, CallPolicy, IncomingCall};
use crate::driver::Kept;
use crate::error::{CallError, DeregisterError, RegisterError, ServiceError};
use crate::lease::Lease;
use crate::own_health::{HealthRegistry, OwnStatus};
use crate::registration::Registration;
use crate::service::{CachedService, Command, Source};
use crate::service_health::ServiceHealth;

pub(crate) use fleet::Fleet;
pub(crate) use inner::Inner;
use owned::Admission;
pub use shutdown::ShutdownReport;

/// A client-side service mesh: registers this process, finds the instances of others, picks one for each
/// request, watches their health, and retries what fails.
///
/// Cloning it shares it. Its tasks end with [`ServiceMesh::shutdown`], or when the last clone is dropped;
/// dropped without a shutdown, what it registered stays in the registry.
#[derive(Clone, Debug)]
pub struct ServiceMesh {
    inner: Arc<Inner>,
}

impl ServiceMesh {
    /// Begins to put a mesh together.
    pub fn builder() -> ServiceMeshBuilder {
        ServiceMeshBuilder::default()
    }

    pub(crate) const fn from_inner(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Registers an instance and keeps it registered. Returns when the registry shows it.
    ///
    /// While an instance of the same id is being deregistered, it waits for that to end. Dropping the future
    /// takes back what was begun.
    ///
    /// # Errors
    /// Says why the registry does not show it, which part stands and which was rolled back. What stands can be
    /// taken away with [`ServiceMesh::deregister_service`], or be registered anew.
    pub async fn register_service(&self, config: ServiceConfig) -> Result<Registration, RegisterError> {
        let config = Arc::new(config);
        let kept = loop {
            match self.inner.keep(&config)? {
                Admission::Begun(kept) => break kept,
                Admission::Later(earlier) => earlier.gave_way().await,
            }
        };
        let mut abandon = Abandon(Some(&kept));
        let registered = kept.registered().await;
        abandon.0 = None;
        drop(abandon);
        registered.map(|()| Registration::new(kept))
    }

    /// Takes an instance that this mesh registered out of the registry.
    ///
    /// # Errors
    /// Says that this mesh keeps no such instance, or that its entry may still stand; another call tries again
    /// then.
    pub async fn deregister_service(&self, id: &InstanceId) -> Result<(), DeregisterError> {
        let kept = self.inner.kept(id).ok_or_else(|| DeregisterError::NotRegistered { instance: id.clone() })?;
        kept.deregister().await
    }

    /// Asks the registry for a service, and picks one healthy instance at random, without counting a request.
    ///
    /// For a look at the registry's truth. Requests are better placed with [`ServiceMesh::call`].
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn get_service(&self, name: &str) -> Result<Arc<Instance>, ServiceError> {
        self.inner.look_up(name).await
    }

    /// The healthy instances of a service, in the order of their keys; never empty.
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn get_healthy_services(&self, name: &str) -> Result<Vec<Arc<Instance>>, ServiceError> {
        self.get_service_with_cache(name).await.map(|service| service.instances)
    }

    /// What the balancer of a service counts: of every registered instance its picks, its requests in flight, its
    /// latency where the policy measures it, its weight, and why it is out if it is. O(n).
    ///
    /// # Errors
    /// Says why the service cannot be followed.
    pub async fn balancer_stats(&self, name: &str) -> Result<BalancerStats, ServiceError> {
        let followed = self.inner.follow(name).await?;
        Ok(followed.balancer.stats(self.inner.now()))
    }

    /// What the mesh thinks of a service: of every registered instance its status, since when and why, and what went
    /// before; and how the service as a whole is doing. O(n).
    ///
    /// # Errors
    /// Says why the service cannot be followed.
    pub async fn service_health(&self, name: &str) -> Result<ServiceHealth, ServiceError> {
        self.command(name, Command::Health).await
    }

    /// The healthy instances of a service from what discovery keeps, with the age of that knowledge.
    ///
    /// Reads through: the first call for a service asks the registry, and follows it from then on.
    ///
    /// # Errors
    /// Says why there is none.
    pub async fn get_service_with_cache(&self, name: &str) -> Result<CachedService, ServiceError> {
        let followed = self.inner.follow(name).await?;
        let view = followed.balancer.view();
        let mut instances: Vec<_> = view.usable(RouteId::ALL).map(|(_, instance)| Arc::clone(instance)).collect();
        if instances.is_empty() {
            // A pick says best why nobody can be picked, or finds who has become usable meanwhile.
            let lease = self.inner.place(&followed, &PickContext::default())?;
            instances.push(Arc::clone(lease.instance()));
        }
        let state = followed.state.borrow().clone();
        let age = state.confirmed_at.map_or_else(Default::default, |at| self.inner.now().since(at));
        let (freshness, source, name) = (state.freshness, Source::of(&state), followed.name.clone());
        Ok(CachedService { name, instances, age, freshness, source })
    }

    /// Begins a cache of one's own values, which shares this mesh's clock, its second tier and its keys.
    ///
    /// `namespace` tells it from other caches of the fleet. Without a second tier it is a cache of this process.
    pub fn cache<V: Send + Sync + 'static>(&self, namespace: &str, codec: impl Codec<V> + 'static) -> CacheBuilder<V> {
        self.inner.cache(namespace, codec)
    }

    /// Picks an instance for one request and counts it as in flight until the lease ends.
    ///
    /// # Errors
    /// Says why there is none; nothing is counted then.
    pub async fn get_service_instance(&self, name: &str) -> Result<Lease, ServiceError> {
        self.pick(name, &PickContext::default()).await
    }

    /// As [`ServiceMesh::get_service_instance`], for a request with a route, a key or exclusions.
    ///
    /// # Errors
    /// Says why there is none; nothing is counted then.
    pub async fn pick(&self, name: &str, context: &PickContext<'_>) -> Result<Lease, ServiceError> {
        let followed = self.inner.follow(name).await?;
        self.inner.place(&followed, context)
    }

    /// Ends a lease: the in-flight count falls, and the outcome is learnt. The same as [`Lease::finish`].
    pub fn release_service_instance(&self, lease: Lease, outcome: Outcome) {
        lease.finish(outcome);
    }

    /// Makes a call: picks an instance, runs `attempt` on it, and retries as `policy` says, on instances that
    /// were not tried before.
    ///
    /// `attempt` is run once for every attempt, and what it is given is the instance, and the time and the number that its
    /// request may tell ([`Attempt::headers`]). Dropping the future cancels the attempt and gives its count
    /// back. A reply that the policy classes as a failure is returned when no further attempt is made: it is
    /// the service's own word.
    ///
    /// # Errors
    /// Says why there is no reply, how many attempts were made and how the last of them failed.
    pub async fn call<T, E, C, F, Fut>(&self, name: &str, policy: &CallPolicy<C>, attempt: F) -> Result<T, CallError<E>>
    where
        C: Classify<T, E>,
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let started = self.inner.now();
        let deadline = policy.deadline(started);
        let (followed, mut now) = match self.inner.known(name) {
            Some(followed) => (Ok(followed), started),
            None => (self.inner.follow_within(name, deadline.remaining(started)).await, self.inner.now()),
        };
        match followed {
            Ok(followed) => {
                let place = call::enter(&self.inner, &followed, started, deadline).await?;
                if place.is_some() {
                    now = self.inner.now();
                }
                Call::new(&self.inner, &followed, policy, started, now, deadline).run(attempt).await
            }
            Err(reason) => {
                self.inner.record_refused(name, started);
                Err(CallError::NoInstance { reason, attempts: 0, last: None })
            }
        }
    }

    /// Takes note of a request that this process serves, by its headers: an `&http::HeaderMap`, or pairs of texts. Says how
    /// long its caller waits and which attempt it is, whether the mesh's headers tell it or gRPC's, and bounds the calls
    /// that are made for it ([`CallPolicy::within`]).
    ///
    /// To be asked as soon as the request is there: its time counts from now.
    pub fn incoming<N: AsRef<[u8]>, V: AsRef<[u8]>>(&self, headers: impl IntoIterator<Item = (N, V)>) -> IncomingCall {
        self.incoming_told(Told::read_pairs(headers))
    }

    /// As [`ServiceMesh::incoming`], for metadata that is no list of pairs: [`Told::read`] takes whatever looks a name up.
    #[must_use]
    pub fn incoming_told(&self, told: Told) -> IncomingCall {
        IncomingCall::new(told, self.inner.clock())
    }

    /// Registers a selector over tags, versions and metadata for a service, so that picks and calls by its id
    /// find its instances without a search. The same selector always has the same id.
    ///
    /// # Errors
    /// Refuses more selectors than a service can have.
    pub async fn route(&self, name: &str, selector: Selector) -> Result<RouteId, ServiceError> {
        let followed = self.inner.follow(name).await?;
        let (reply, answer) = oneshot::channel();
        followed.commands.send(Command::Route(selector, reply)).await.map_err(|_| ServiceError::ShutDown)?;
        let route = answer.await.map_err(|_| ServiceError::ShutDown)?;
        route.map_err(|source| ServiceError::Routes { service: followed.name.clone(), source })
    }

    /// Gives one instance no further requests from this process, until [`ServiceMesh::undrain`] or until it has
    /// left the registry. It need not be known yet.
    ///
    /// # Errors
    /// Says why the service cannot be followed.
    pub async fn drain(&self, name: &str, instance: &InstanceKey) -> Result<(), ServiceError> {
        self.command(name, |reply| Command::Drain(instance.clone(), reply)).await
    }

    /// Gives an instance requests again.
    ///
    /// # Errors
    /// Says why the service cannot be followed.
    pub async fn undrain(&self, name: &str, instance: &InstanceKey) -> Result<(), ServiceError> {
        self.command(name, |reply| Command::Undrain(instance.clone(), reply)).await
    }

    /// This process's own health: where its checks are registered, and what follows from them.
    #[must_use]
    pub fn health(&self) -> &HealthRegistry {
        self.inner.health()
    }

    /// Whether this process should be given requests: false from the beginning of a shutdown on, and while its own
    /// [health](ServiceMesh::health) says that it is not ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.inner.is_ready() && self.health().readiness().status != OwnStatus::Down
    }

    async fn command<R>(
        &self,
        name: &str,
        command: impl FnOnce(oneshot::Sender<R>) -> Command,
    ) -> Result<R, ServiceError> {
        let followed = self.inner.follow(name).await?;
        let (reply, answer) = oneshot::channel();
        followed.commands.send(command(reply)).await.map_err(|_| ServiceError::ShutDown)?;
        answer.await.map_err(|_| ServiceError::ShutDown)
    }
}

/// Takes a registration back whose caller stopped waiting for it.
struct Abandon<'a>(Option<&'a Kept>);

impl Drop for Abandon<'_> {
    fn drop(&mut self) {
        if let Some(kept) = self.0.take() {
            kept.begin_deregistration();
        }
    }
}
