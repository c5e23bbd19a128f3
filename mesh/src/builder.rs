//! How a mesh is put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_core::balance::Strategy;
use mesh_core::machine::ServiceMachineConfig;
use mesh_core::port::Registry;
use mesh_core::recorder::{NoRecorder, Recorder};
use mesh_core::service::ServiceName;

use crate::config::MeshConfig;
use crate::error::BuildError;
use crate::registry::MemoryRegistry;
use crate::service_mesh::{Inner, ServiceMesh};
use mesh_cache::Environment;

/// Puts a [`ServiceMesh`] together. What is left out is the embedded default: a registry in this process, the
/// system's clock, entropy and network, and no metrics.
#[derive(Debug)]
#[must_use = "nothing is built until build() is called"]
pub struct ServiceMeshBuilder {
    config: MeshConfig,
    services: BTreeMap<ServiceName, ServiceMachineConfig>,
    registry: Option<Arc<dyn Registry>>,
    environment: Environment,
    recorder: Arc<dyn Recorder>,
}

impl Default for ServiceMeshBuilder {
    fn default() -> Self {
        Self {
            config: MeshConfig::default(),
            services: BTreeMap::new(),
            registry: None,
            environment: Environment::default(),
            recorder: Arc::new(NoRecorder),
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

    /// Builds the mesh. Its tasks run on the runtime that its calls are made on.
    ///
    /// # Errors
    /// Names the number that breaks its rule.
    pub async fn build(self) -> Result<ServiceMesh, BuildError> {
        self.config.validate()?;
        for config in self.services.values() {
            config.validate()?;
        }
        let registry = self.registry.unwrap_or_else(|| Arc::new(MemoryRegistry::new()));
        let inner = Inner::new(self.config, self.services, registry, self.environment, self.recorder);
        Ok(ServiceMesh::from_inner(inner))
    }
}
