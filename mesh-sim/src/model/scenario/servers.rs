//! Who is called.

use alloc::collections::BTreeMap;
use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::service::{ConfigError, Instance};
use serde::{Deserialize, Serialize};

use super::Distribution;

/// A group of identical servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerGroup {
    /// What it is called; faults aim at it by this name.
    pub group: String,
    /// How many servers it has.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100_000)))]
    pub count: u32,
    /// The zone that its servers are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The registered weight.
    #[serde(default = "one_weight")]
    pub weight: u16,
    /// Service times are divided by it.
    #[serde(default = "full_speed")]
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub speed: f64,
    /// The registered version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The registered tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The registered metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    /// How requests share a server.
    #[serde(default)]
    pub discipline: Discipline,
    /// How many requests are worked on at once (fifo).
    #[serde(default = "one_worker")]
    pub workers: NonZeroU32,
    /// How many requests may wait (fifo) or be in service (processor-sharing); more are rejected at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_limit: Option<u32>,
    /// How long a request takes.
    pub service_time: Distribution,
    /// What each other request in the server adds to a service time when it starts.
    #[serde(default, with = "mesh_core::text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
    pub service_time_per_concurrent: Duration,
}

/// How requests share a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Discipline {
    /// They wait for a worker, first come first served.
    #[default]
    Fifo,
    /// All are worked on at once, and share the server's speed.
    ProcessorSharing,
    /// Each takes its time, however many there are.
    Delay,
}

impl Discipline {
    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::ProcessorSharing => "processor-sharing",
            Self::Delay => "delay",
        }
    }
}

impl ServerGroup {
    /// A group of `count` servers with one worker each.
    #[must_use]
    pub fn new(group: impl Into<String>, count: u32, service_time: Distribution) -> Self {
        Self {
            group: group.into(),
            count,
            zone: None,
            weight: one_weight(),
            speed: full_speed(),
            version: None,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            discipline: Discipline::default(),
            workers: one_worker(),
            queue_limit: None,
            service_time,
            service_time_per_concurrent: Duration::ZERO,
        }
    }

    /// Sets how requests share a server.
    #[must_use]
    pub const fn discipline(mut self, discipline: Discipline) -> Self {
        self.discipline = discipline;
        self
    }

    /// Sets how many requests are worked on at once.
    #[must_use]
    pub const fn workers(mut self, workers: NonZeroU32) -> Self {
        self.workers = workers;
        self
    }

    /// Bounds the queue.
    #[must_use]
    pub const fn queue_limit(mut self, limit: u32) -> Self {
        self.queue_limit = Some(limit);
        self
    }

    /// Sets the registered weight.
    #[must_use]
    pub const fn weight(mut self, weight: u16) -> Self {
        self.weight = weight;
        self
    }
}

impl ServerGroup {
    /// The instance that its server `index`, numbered `number` over all groups, is registered as.
    ///
    /// # Errors
    /// Every name, tag or number that breaks the rules of a registry.
    pub(crate) fn instance(&self, number: u32, index: u32) -> Result<Instance, ConfigError> {
        let [_, high, middle, low] = number.to_be_bytes();
        let mut builder = Instance::builder(SERVICE, format!("10.{high}.{middle}.{low}").as_str(), 80_u16)
            .id(format!("{}-{index}", self.group).as_str())
            .weight(self.weight);
        for (key, value) in &self.meta {
            builder = builder.meta(key, value);
        }
        for tag in &self.tags {
            builder = builder.tag(tag.as_str());
        }
        if let Some(zone) = &self.zone {
            builder = builder.zone(zone.as_str());
        }
        if let Some(version) = &self.version {
            builder = builder.version(version.as_str());
        }
        builder.build()
    }
}

impl ServerGroup {
    /// How many requests its servers can serve in a second, for as long as there are enough; without bound where
    /// requests do not wait for each other.
    pub(super) fn capacity(&self) -> f64 {
        let workers = match self.discipline {
            Discipline::Fifo => f64::from(self.workers.get()),
            Discipline::ProcessorSharing => 1.0,
            Discipline::Delay => return f64::INFINITY,
        };
        f64::from(self.count) * workers * self.speed * 1e9 / self.service_time.mean_nanos()
    }
}

const fn one_weight() -> u16 {
    1
}

const fn full_speed() -> f64 {
    1.0
}

const fn one_worker() -> NonZeroU32 {
    NonZeroU32::MIN
}

/// What the simulated service is called.
const SERVICE: &str = "simulated";
