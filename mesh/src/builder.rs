//! How a mesh is put together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_cache::coordinator_store::CoordinatorStore;
use mesh_cache::seal::Sealer;
use mesh_cache::second::SecondTier;
use mesh_core::balance::Strategy;
use mesh_core::machine::ServiceMachineConfig;
use mesh_core::port::Registry;
use mesh_core::recorder::{NoRecorder, Recorder};
use mesh_core::service::{CheckKind, ConfigError, HealthCheck, HealthCheckBuilder, ServiceName};

use crate::config::MeshConfig;
use crate::coordinator::{Coordination, Home};
use crate::error::BuildError;
use crate::memory::Memory;
use crate::probe::{CustomCheck, OwnCheck, ProbeTls};
use crate::registry::MemoryRegistry;
use crate::service_mesh::{Fleet, Inner, ServiceMesh};
use mesh_cache::Environment;

/// Puts a [`ServiceMesh`] together. What is left out is the embedded default: a registry in this process, the
/// system's clock, entropy and network, and no metrics.
#[derive(Debug)]
#[must_use = "nothing is built until build() is called"]
pub struct ServiceMeshBuilder {
    config: MeshConfig,
    services: BTreeMap<ServiceName, ServiceMachineConfig>,
    own_checks: BTreeMap<ServiceName, (HealthCheckBuilder, OwnCheck)>,
    registry: Option<Arc<dyn Registry>>,
    environment: Environment,
    recorder: Arc<dyn Recorder>,
    sealer: Sealer,
    shared: Shared,
    coordinator: Option<Arc<dyn CoordinatorStore>>,
}

/// What the fleet shares.
#[derive(Debug)]
enum Shared {
    Nothing,
    Tier(Arc<dyn SecondTier>),
    #[cfg(feature = "redis")]
    Redis(Result<Box<mesh_cache::redis::RedisConfig>, ConfigError>),
}

impl Default for ServiceMeshBuilder {
    fn default() -> Self {
        Self {
            config: MeshConfig::default(),
            services: BTreeMap::new(),
            own_checks: BTreeMap::new(),
            registry: None,
            environment: Environment::default(),
            recorder: Arc::new(NoRecorder),
            sealer: Sealer::open_hints(),
            shared: Shared::Nothing,
            coordinator: None,
        }
    }
}

impl ServiceMeshBuilder {
    /// Sets where instances are registered and found.
    pub fn registry(mut self, registry: impl Registry + 'static) -> Self {
        self.registry = Some(Arc::new(registry));
        self
    }

    /// Sets how instances are chosen, for services without a configuration of their own.
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.config.service.strategy = strategy;
        self
    }

    /// Sets every number at once. A strategy set before is part of what is replaced.
    pub fn config(mut self, config: MeshConfig) -> Self {
        self.config = config;
        self
    }

    /// Gives one service a configuration of its own.
    pub fn service(mut self, name: ServiceName, config: ServiceMachineConfig) -> Self {
        self.services.insert(name, config);
        self
    }

    /// Has this mesh ask the instances of one service with `run`, as often as `check` says, which
    /// [`HealthCheck::own`] begins. It takes the place of any other check that the mesh runs on them.
    ///
    /// For this service the mesh deregisters nobody automatically: that is what an instance's own check asks for, and nobody
    /// runs it any more. The `deregister_after` of `check` changes nothing.
    pub fn custom_check(
        mut self,
        name: ServiceName,
        check: HealthCheckBuilder,
        run: impl CustomCheck + 'static,
    ) -> Self {
        self.own_checks.insert(name, (check, OwnCheck::new(run)));
        self
    }

    /// Sets what checks over TLS trust and show, where it is this mesh that runs them: part of what
    /// [`ServiceMeshBuilder::config`] replaces.
    #[cfg(feature = "probe-tls")]
    pub fn probe_tls(mut self, config: crate::probe::ProbeTlsConfig) -> Self {
        self.config.probe_tls = config;
        self
    }

    /// Sets the clock, the entropy and the network.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Sets who is told what happens.
    pub fn recorder(mut self, recorder: impl Recorder + 'static) -> Self {
        self.recorder = Arc::new(recorder);
        self
    }

    /// Shares with the fleet what is known of services, in the Redis at `url`: `redis://`, `rediss://`, `unix://`,
    /// `redis-sentinel://` or `redis-cluster://`. Left out, each process remembers on its own. What else a fleet
    /// shares is there as well: budgets, slots for retries and votes ([`CallsConfig`](crate::CallsConfig)), and
    /// [operations](ServiceMesh::operations) that are carried out once. It must evict nothing then (`maxmemory-policy
    /// noeviction`), for an operation that is evicted is carried out again.
    ///
    /// While it is away no call waits for it and none fails for it. Operations do: they are not begun, unless
    /// `StoreLost::RunAnyway` is chosen.
    #[cfg(feature = "redis")]
    pub fn redis(mut self, url: &str) -> Self {
        self.shared = Shared::Redis(mesh_cache::redis::RedisConfig::at(url).map(Box::new));
        self
    }

    /// As [`ServiceMeshBuilder::redis`], with every number of the connection.
    #[cfg(feature = "redis")]
    pub fn redis_config(mut self, config: mesh_cache::redis::RedisConfig) -> Self {
        self.shared = Shared::Redis(Ok(Box::new(config)));
        self
    }

    /// Shares with the fleet what is known of services in a tier of one's own.
    pub fn second_tier(mut self, tier: impl SecondTier + 'static) -> Self {
        self.shared = Shared::Tier(Arc::new(tier));
        self
    }

    /// Keeps the budgets of the fleet ([`CallsConfig::fleet`](crate::CallsConfig::fleet)), its
    /// [slots](crate::CallsConfig::retry_slots), its [votes](crate::CallsConfig::votes) and its
    /// [operations](ServiceMesh::operations) in `store`, in place of the Redis that else is shared: a
    /// [`MemoryCoordinator`](mesh_cache::coordinator_store::MemoryCoordinator), which meshes of one
    /// process can share, a Redis of their own, or one's own. The first is for few operations: it has room for 4,096, and each
    /// takes it for as long as its result is kept, which is a day unless
    /// [`keep`](crate::operations::OperationConfig::keep) is less.
    pub fn coordinator(mut self, store: impl CoordinatorStore + 'static) -> Self {
        self.coordinator = Some(Arc::new(store));
        self
    }

    /// Sets the keys that what is shared, and kept on disk, is sealed with. Without them, whoever can write there can
    /// name the instances that are served while the registry is away, and read and make up the results of
    /// [operations](ServiceMesh::operations).
    pub fn seal(mut self, sealer: Sealer) -> Self {
        self.sealer = sealer;
        self
    }

    /// Keeps what is known of services in the file at `path`, for a start while everything is down.
    pub fn snapshot(mut self, path: impl Into<PathBuf>) -> Self {
        self.config.memory.snapshot = Some(path.into());
        self
    }

    /// Builds the mesh. Its tasks run on the runtime that its calls are made on.
    ///
    /// # Errors
    /// Names the number that breaks its rule; the file that cannot be read; the check over TLS that nobody could run
    /// without the feature `probe-tls`; what the fleet is to share and there is no store for.
    pub async fn build(mut self) -> Result<ServiceMesh, BuildError> {
        self.config.validate()?;
        let mut own_checks = BTreeMap::new();
        for (name, (check, run)) in std::mem::take(&mut self.own_checks) {
            let config = self.services.entry(name.clone()).or_insert_with(|| self.config.service.clone());
            config.check = Some(own(check.build_for_any()?)?);
            own_checks.insert(name, run);
        }
        let configs = self.services.iter().map(|(name, config)| (Some(name), config));
        for (name, config) in configs.chain([(None, &self.config.service)]) {
            has_code(config, name.is_some_and(|name| own_checks.contains_key(name)))?;
        }
        for config in self.services.values() {
            config.validate()?;
        }
        let checks = self.services.values().chain([&self.config.service]).filter_map(|config| config.check.as_ref());
        let is_over_tls = checks.into_iter().any(|check| check.kind().tls());
        let probe_tls = ProbeTls::open(&self.config.probe_tls, is_over_tls)?;
        let registry = self.registry.unwrap_or_else(|| Arc::new(MemoryRegistry::new()));
        let namespace = &self.config.memory.namespace;
        let (tier, home) = self.shared.start(self.coordinator, namespace, &self.environment)?;
        let place = (namespace.as_str(), self.config.zone.as_ref());
        let coordination = Coordination::new(&self.config.calls, &home, place, &*self.environment.entropy)?;
        let config = &self.config.memory;
        let memory = Memory::open(config, tier.clone(), &self.sealer, &registry, &self.environment).await?;
        let fleet = Fleet { tier, sealer: self.sealer, memory, home, coordination };
        let services = (self.services, own_checks);
        let inner = Inner::new(self.config, services, probe_tls, registry, self.environment, self.recorder, fleet);
        Ok(ServiceMesh::from_inner(inner))
    }
}

/// Where what is remembered goes, and where that is by which processes coordinate.
type Places = (Option<Arc<dyn SecondTier>>, Home);

impl Shared {
    /// Begins to connect where that is needed. Processes coordinate in `coordinator` where there is one.
    #[cfg_attr(not(feature = "redis"), expect(unused_variables, reason = "there is nothing to connect to"))]
    fn start(
        self,
        coordinator: Option<Arc<dyn CoordinatorStore>>,
        prefix: &str,
        environment: &Environment,
    ) -> Result<Places, ConfigError> {
        let home = coordinator.map_or(Home::Nowhere, Home::Store);
        match self {
            Self::Nothing => Ok((None, home)),
            Self::Tier(tier) => Ok((Some(tier), home)),
            #[cfg(feature = "redis")]
            Self::Redis(redis) => {
                let tier = mesh_cache::redis::RedisTier::start(prefix, *redis?, environment)?;
                let home = match home {
                    Home::Nowhere => Home::Redis(tier.client().clone(), prefix.to_owned(), environment.clone()),
                    Home::Store(_) | Home::Redis(..) => home,
                };
                Ok((Some(Arc::new(tier)), home))
            }
        }
    }
}

/// `check` if it is for code of one's own to answer.
fn own(check: HealthCheck) -> Result<HealthCheck, ConfigError> {
    let kind = check.kind();
    if *kind == CheckKind::Own {
        return Ok(check);
    }
    Err(ConfigError::new("check.kind", kind.as_str(), "must be own where the mesh is given code to run"))
}

/// Refuses a check for code of one's own of a service that none was given for.
fn has_code(config: &ServiceMachineConfig, is_given: bool) -> Result<(), ConfigError> {
    let is_own = config.check.as_ref().is_some_and(|check| *check.kind() == CheckKind::Own);
    if is_given || !is_own {
        return Ok(());
    }
    Err(ConfigError::new("check.kind", "own", "must come with the code to run: see ServiceMeshBuilder::custom_check"))
}
