//! The numbers of a mesh.

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_core::machine::ServiceMachineConfig;
use mesh_core::registration::KeeperConfig;
use mesh_core::service::{ConfigError, Zone};

use crate::call::CallsConfig;
use crate::memory::MemoryConfig;
use crate::own_health::HealthConfig;
use crate::probe::ProbeTlsConfig;

/// How a mesh discovers, balances, checks and registers.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MeshConfig {
    /// How every service is discovered, checked and balanced, but for those that were given a configuration of
    /// their own.
    pub service: ServiceMachineConfig,
    /// The zone that this process runs in. Of what the fleet shares, [votes](CallsConfig::votes) are shared within a zone, for
    /// what one sees from it. Default none: all processes see alike.
    pub zone: Option<Zone>,
    /// What bounds the calls to every service, whatever the policy of each.
    pub calls: CallsConfig,
    /// How registrations are kept.
    pub registration: KeeperConfig,
    /// What is remembered of services for the time when the registry cannot be asked.
    pub memory: MemoryConfig,
    /// How the service's own health is kept and told.
    pub health: HealthConfig,
    /// What checks over TLS that the mesh runs trust and show.
    pub probe_tls: ProbeTlsConfig,
    /// How long the registry's first word about a service is waited for. Default 5 s.
    #[serde(with = "mesh_core::text::duration")]
    pub discovery_timeout: Duration,
    /// How many health checks may be in flight at once, those of all services together; `checks.in_flight_max` of a
    /// service bounds its own. What is beyond is put off by a tenth of its interval. Default 1,024.
    pub checks_in_flight_max: NonZeroU32,
    /// How many services may be followed at once. Default 1,024.
    pub services_max: NonZeroU32,
}

impl MeshConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The fields of the first block that breaks a rule, with their values.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.registration.validate()?;
        self.service.validate()?;
        self.calls.validate()?;
        self.memory.validate()?;
        self.health.validate()?;
        self.probe_tls.validate()?;
        if self.discovery_timeout.is_zero() {
            return Err(ConfigError::new("discovery_timeout", "0s", "must be longer than zero"));
        }
        Ok(())
    }
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            service: ServiceMachineConfig::default(),
            zone: None,
            calls: CallsConfig::default(),
            registration: KeeperConfig::default(),
            memory: MemoryConfig::default(),
            health: HealthConfig::default(),
            probe_tls: ProbeTlsConfig::default(),
            discovery_timeout: Duration::from_secs(5),
            checks_in_flight_max: CHECKS_IN_FLIGHT_MAX,
            services_max: SERVICES_MAX,
        }
    }
}

const CHECKS_IN_FLIGHT_MAX: NonZeroU32 = NonZeroU32::new(1024).unwrap();
const SERVICES_MAX: NonZeroU32 = NonZeroU32::new(1024).unwrap();
