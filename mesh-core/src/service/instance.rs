//! One instance of a service: what calls are sent to.

use core::fmt;

use super::error::{ConfigError, Problems, escape};
use super::host::Host;
use super::meta::Meta;
use super::name::{InstanceId, InstanceKey, Scope, ServiceName, Zone};
use super::tag::{Tag, Tags};
use super::version::Version;
use super::weight::{Port, Weight, Weights};

/// An instance of a service, valid by construction and never changed.
///
/// Its zone and version live in its metadata, under `zone` and `version`, so that any registry that keeps
/// metadata keeps them. Metadata is free: a `version` there that is no semantic version leaves
/// [`Instance::version`] `None`, and so with the zone.
#[derive(Clone, PartialEq, Eq)]
pub struct Instance {
    key: InstanceKey,
    service: ServiceName,
    host: Host,
    pub(super) port: Port,
    weights: Weights,
    tags: Tags,
    meta: Meta,
    zone: Option<Zone>,
    version: Option<Version>,
}

impl Instance {
    /// Begins the instance of `service` that listens on `host` and `port`.
    ///
    /// Takes text and numbers, or values that were parsed before; problems are reported by
    /// [`InstanceBuilder::build`].
    pub fn builder(
        service: impl TryInto<ServiceName, Error: Into<ConfigError>>,
        host: impl TryInto<Host, Error: Into<ConfigError>>,
        port: impl TryInto<Port, Error: Into<ConfigError>>,
    ) -> InstanceBuilder {
        let mut problems = Problems::default();
        InstanceBuilder {
            service: problems.parse(service),
            host: problems.parse(host),
            port: problems.parse(port),
            id: None,
            scope: Scope::local(),
            weights: Weights::default(),
            tags: Tags::default(),
            meta: Meta::default(),
            problems,
        }
    }

    /// Its identity in its registry.
    #[must_use]
    pub const fn key(&self) -> &InstanceKey {
        &self.key
    }

    /// What it is called within its scope.
    #[must_use]
    pub const fn id(&self) -> &InstanceId {
        self.key.id()
    }

    /// The service that it is an instance of.
    #[must_use]
    pub const fn service(&self) -> &ServiceName {
        &self.service
    }

    /// The host that it listens on.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port that it listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.get()
    }

    /// `host:port` as URLs have it.
    #[must_use]
    pub fn authority(&self) -> String {
        self.host.authority(self.port())
    }

    /// Its weights.
    #[must_use]
    pub const fn weights(&self) -> Weights {
        self.weights
    }

    /// Its tags.
    #[must_use]
    pub const fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Its metadata, zone and version included.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The zone that it runs in.
    #[must_use]
    pub const fn zone(&self) -> Option<&Zone> {
        self.zone.as_ref()
    }

    /// The version that it runs.
    #[must_use]
    pub const fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }
}

/// Tags and metadata may come from anywhere, so they are escaped and cut.
impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags = self.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(",");
        let meta = self.meta.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
        write!(f, "Instance({} {} at {}, ", self.service, escape(&self.key.to_string()), self.authority())?;
        write!(f, "weights {}/{}, ", self.weights.passing, self.weights.warning)?;
        write!(f, "tags [{}], meta {{{}}})", escape(&tags), escape(&meta))
    }
}

/// An [`Instance`] in the making; of values that are set twice the last one counts.
#[derive(Clone, Debug)]
#[must_use = "nothing is made until build() is called"]
pub struct InstanceBuilder {
    service: Option<ServiceName>,
    host: Option<Host>,
    port: Option<Port>,
    id: Option<InstanceId>,
    scope: Scope,
    weights: Weights,
    tags: Tags,
    meta: Meta,
    problems: Problems,
}

impl InstanceBuilder {
    /// Calls it `id` instead of `name-host-port`.
    pub fn id(mut self, id: impl TryInto<InstanceId, Error: Into<ConfigError>>) -> Self {
        self.id = self.problems.parse(id);
        self
    }

    /// Says within what its id is unique; a registry's adapter does.
    pub fn scope(mut self, scope: impl TryInto<Scope, Error: Into<ConfigError>>) -> Self {
        self.scope = self.problems.parse(scope).unwrap_or_default();
        self
    }

    /// Gives it [`Weights::of`] this weight: 0 to 65535, 0 drains.
    pub fn weight(mut self, weight: impl TryInto<Weight, Error: Into<ConfigError>>) -> Self {
        self.weights = Weights::of(self.problems.parse(weight).unwrap_or_default());
        self
    }

    /// Gives it both weights.
    pub const fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// Adds a tag.
    pub fn tag(mut self, tag: impl TryInto<Tag, Error: Into<ConfigError>>) -> Self {
        if let Some(tag) = self.problems.parse(tag) {
            let inserted = self.tags.insert(tag);
            self.problems.take(inserted);
        }
        self
    }

    /// Sets a pair of its metadata.
    pub fn meta(mut self, key: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let inserted = self.meta.insert(key.as_ref(), value.as_ref());
        self.problems.take(inserted);
        self
    }

    /// Sets all of its tags, in place of those it had.
    pub fn tags(mut self, tags: Tags) -> Self {
        self.tags = tags;
        self
    }

    /// Sets all of its metadata, in place of what it had.
    pub fn metadata(mut self, meta: Meta) -> Self {
        self.meta = meta;
        self
    }

    /// Says in which zone it runs.
    pub fn zone(mut self, zone: impl TryInto<Zone, Error: Into<ConfigError>>) -> Self {
        match self.problems.parse(zone) {
            Some(zone) => self.meta(META_ZONE, zone),
            None => self,
        }
    }

    /// Says which version it runs; unlike in free metadata, text that is no version is refused.
    pub fn version(mut self, version: impl TryInto<Version, Error: Into<ConfigError>>) -> Self {
        match self.problems.parse(version) {
            Some(version) => self.meta(META_VERSION, version.to_string()),
            None => self,
        }
    }

    /// The instance.
    ///
    /// # Errors
    /// With every value that was refused.
    pub fn build(self) -> Result<Instance, ConfigError> {
        let (Some(service), Some(host), Some(port), true) =
            (self.service, self.host, self.port, self.problems.is_empty())
        else {
            return Err(self.problems.into_error());
        };
        let id = self.id.unwrap_or_else(|| InstanceId::derived(&service, &host, port));
        Ok(Instance {
            key: InstanceKey::new(self.scope, id),
            zone: self.meta.get(META_ZONE).and_then(|zone| zone.parse().ok()),
            version: self.meta.get(META_VERSION).and_then(|version| version.parse().ok()),
            service,
            host,
            port,
            weights: self.weights,
            tags: self.tags,
            meta: self.meta,
        })
    }
}

/// The key of the zone in an instance's metadata.
pub const META_ZONE: &str = "zone";
/// The key of the version in an instance's metadata.
pub const META_VERSION: &str = "version";
