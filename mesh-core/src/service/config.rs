//! What a process registers.

use alloc::sync::Arc;

use super::check::HealthCheck;
use super::check_builder::HealthCheckBuilder;
use super::error::{ConfigError, Problems};
use super::host::Host;
use super::instance::{Instance, InstanceBuilder};
use super::name::{InstanceId, InstanceKey, ServiceName, Zone};
use super::tag::Tag;
use super::version::Version;
use super::weight::{Port, Weight, Weights};

/// One instance and how its health is checked: what a process registers for itself.
///
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    instance: Arc<Instance>,
    check: Option<Arc<HealthCheck>>,
}

impl ServiceConfig {
    /// Begins the configuration of the instance of `service` that listens on `host` and `port`.
    ///
    /// Without further calls it is called `name-host-port`, has weight 1 and is checked at `/health`; see
    /// [`HealthCheckBuilder`] for the rest.
    ///
    /// ```
    /// use core::time::Duration;
    /// use mesh_core::service::{HealthCheck, ServiceConfig};
    ///
    /// let config = ServiceConfig::builder("api", "10.0.0.7", 8080)
    ///     .tag("v1")
    ///     .version("1.2")
    ///     .weight(5)
    ///     .check(HealthCheck::http("/ready").interval(Duration::from_secs(5)))
    ///     .build()?;
    /// assert_eq!(config.id().as_str(), "api-10.0.0.7-8080");
    ///
    /// let refused = ServiceConfig::builder("api", "10.0.0.7", 8080).weight(70_000).build();
    /// assert_eq!(refused.unwrap_err().to_string(), "weight: 70000 is not allowed: must be 0 to 65535");
    /// # Ok::<(), mesh_core::service::ConfigError>(())
    /// ```
    pub fn builder(
        service: impl TryInto<ServiceName, Error: Into<ConfigError>>,
        host: impl TryInto<Host, Error: Into<ConfigError>>,
        port: impl TryInto<Port, Error: Into<ConfigError>>,
    ) -> ServiceConfigBuilder {
        ServiceConfigBuilder::new(Instance::builder(service, host, port), Some(HealthCheckBuilder::default()))
    }

    /// The instance.
    #[must_use]
    pub const fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// How its health is checked; `None` when it is not.
    #[must_use]
    pub const fn check(&self) -> Option<&Arc<HealthCheck>> {
        self.check.as_ref()
    }

    /// The instance's identity.
    #[must_use]
    pub fn key(&self) -> &InstanceKey {
        self.instance.key()
    }

    /// The instance's id.
    #[must_use]
    pub fn id(&self) -> &InstanceId {
        self.instance.id()
    }

    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        self.instance.service()
    }
}

/// A [`ServiceConfig`] in the making; of values that are set twice the last one counts.
#[derive(Clone, Debug)]
#[must_use = "nothing is made until build() is called"]
pub struct ServiceConfigBuilder {
    instance: InstanceBuilder,
    check: Option<HealthCheckBuilder>,
}

impl ServiceConfigBuilder {
    pub(super) const fn new(instance: InstanceBuilder, check: Option<HealthCheckBuilder>) -> Self {
        Self { instance, check }
    }

    /// Has its health checked so.
    pub fn check(mut self, check: HealthCheckBuilder) -> Self {
        self.check = Some(check);
        self
    }

    /// Has its health not checked.
    pub fn without_check(mut self) -> Self {
        self.check = None;
        self
    }

    /// Calls the instance `id` instead of `name-host-port`.
    pub fn id(self, id: impl TryInto<InstanceId, Error: Into<ConfigError>>) -> Self {
        self.with(|instance| instance.id(id))
    }

    /// Gives it [`Weights::of`] this weight: 0 to 65535, 0 drains.
    pub fn weight(self, weight: impl TryInto<Weight, Error: Into<ConfigError>>) -> Self {
        self.with(|instance| instance.weight(weight))
    }

    /// Gives it both weights.
    pub fn weights(self, weights: Weights) -> Self {
        self.with(|instance| instance.weights(weights))
    }

    /// Adds a tag.
    pub fn tag(self, tag: impl TryInto<Tag, Error: Into<ConfigError>>) -> Self {
        self.with(|instance| instance.tag(tag))
    }

    /// Sets a pair of its metadata.
    pub fn meta(self, key: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.with(|instance| instance.meta(key, value))
    }

    /// Says in which zone it runs.
    pub fn zone(self, zone: impl TryInto<Zone, Error: Into<ConfigError>>) -> Self {
        self.with(|instance| instance.zone(zone))
    }

    /// Says which version it runs.
    pub fn version(self, version: impl TryInto<Version, Error: Into<ConfigError>>) -> Self {
        self.with(|instance| instance.version(version))
    }

    /// The configuration.
    ///
    /// # Errors
    /// With every value that was refused, of the instance and of its check.
    pub fn build(self) -> Result<ServiceConfig, ConfigError> {
        let mut problems = Problems::default();
        let instance = problems.take(self.instance.build());
        let check = self.check.map(|check| match &instance {
            Some(instance) => check.build(instance),
            None => check.seen_from_nowhere().build_for_any(),
        });
        let check = check.and_then(|check| problems.take(check));
        match instance {
            Some(instance) if problems.is_empty() => {
                Ok(ServiceConfig { instance: Arc::new(instance), check: check.map(Arc::new) })
            }
            _ => Err(problems.into_error()),
        }
    }

    fn with(self, change: impl FnOnce(InstanceBuilder) -> InstanceBuilder) -> Self {
        Self { instance: change(self.instance), ..self }
    }
}
