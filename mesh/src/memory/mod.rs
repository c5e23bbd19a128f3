//! What is remembered of services, for the time when their registry cannot be asked.
//!
//! Lists of instances are kept in a second tier that the fleet shares, on this machine's disk, or both. Decides where a
//! memory is looked for and what of it is still worth anything; never whether it counts: that is discovery's.

mod disk;
mod list;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_cache::seal::Sealer;
use mesh_cache::second::SecondTier;
use mesh_cache::{Cache, Environment, Found, Key, Lifetimes, LoadError};
use mesh_core::port::Registry;
use mesh_core::service::{ConfigError, ServiceName};
use mesh_core::snapshot::Snapshot;

use crate::service::Source;
pub(crate) use disk::Disk;
pub(crate) use list::{List, ListCodec};

/// What is remembered of services, and where.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// What all keys of a shared tier begin with, and what keeps this fleet's memories from another's: `mesh`. Meshes of
    /// different datacenters that share one Redis need names of their own.
    pub namespace: String,
    /// How long lists are worth anything; as [`Lifetimes::discovery`].
    pub lists: Lifetimes,
    /// How long it is worth anything that an instance was well or not; as [`Lifetimes::health`]. Of an older list it
    /// counts as unknown.
    pub health: Lifetimes,
    /// How often a list is kept that did not change; 30 s, and up to a tenth less.
    #[serde(with = "mesh_core::text::duration")]
    pub keep_interval: Duration,
    /// How long the registry is waited for before a memory is asked; 300 ms. At once, where it cannot be reached.
    #[serde(with = "mesh_core::text::duration")]
    pub recall_after: Duration,
    /// The file that lists are kept in for a start with everything down; none.
    pub snapshot: Option<PathBuf>,
    /// How often it is written, changed or not; 30 s.
    #[serde(with = "mesh_core::text::duration")]
    pub snapshot_interval: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            namespace: "mesh".to_owned(),
            lists: Lifetimes::discovery(),
            health: Lifetimes::health(),
            keep_interval: Duration::from_secs(30),
            recall_after: Duration::from_millis(300),
            snapshot: None,
            snapshot_interval: Duration::from_secs(30),
        }
    }
}

impl MemoryConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first that breaks its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.lists.validate()?;
        self.health.validate()?;
        for (field, value) in
            [("memory.keep_interval", self.keep_interval), ("memory.snapshot_interval", self.snapshot_interval)]
        {
            if value < Duration::from_secs(1) {
                return Err(ConfigError::new(field, format!("{value:?}"), "must be at least 1s"));
            }
        }
        Ok(())
    }

    /// For how long it counts that an instance was well or not.
    fn health_for(&self) -> Duration {
        self.health.fresh + self.health.stale + self.health.stale_on_error
    }
}

/// The memory of one mesh.
#[derive(Debug)]
pub(crate) struct Memory {
    config: MemoryConfig,
    lists: Option<Cache<List>>,
    disk: Option<Disk>,
    registry: Arc<dyn Registry>,
}

/// A list that was remembered.
#[derive(Debug)]
pub(crate) struct Recalled {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) age: Duration,
    pub(crate) source: Source,
}

impl Memory {
    /// The memory that `config` describes; `None` where there is nothing to remember in.
    pub(crate) async fn open(
        config: &MemoryConfig,
        tier: Option<Arc<dyn SecondTier>>,
        sealer: &Sealer,
        registry: &Arc<dyn Registry>,
        environment: &Environment,
    ) -> Result<Option<Arc<Self>>, ConfigError> {
        config.validate()?;
        let lists = tier.map(|tier| {
            let builder = Cache::builder().environment(environment.clone()).lifetimes(config.lists.clone());
            let namespace = format!("{}/discovery", config.namespace);
            builder.second_tier(namespace, tier, ListCodec::new()).seal(sealer.clone()).limits(list::limits()).build()
        });
        let lists = lists.transpose()?;
        let disk = match &config.snapshot {
            Some(path) => Some(Disk::open(path, &config.namespace, sealer, environment).await),
            None => None,
        };
        if lists.is_none() && disk.is_none() {
            return Ok(None);
        }
        let (config, registry) = (config.clone(), Arc::clone(registry));
        Ok(Some(Arc::new(Self { config, lists, disk, registry })))
    }

    pub(crate) const fn config(&self) -> &MemoryConfig {
        &self.config
    }

    /// What is remembered of `service`: by the fleet, unless this machine's disk knows of something clearly later.
    pub(crate) async fn recall(&self, service: &ServiceName) -> Option<Recalled> {
        let key = self.key(service)?;
        let shared = self.recall_shared(&key).await;
        let disk = self.disk.as_ref().and_then(|disk| disk.recall(key.as_str()));
        let disk = disk.map(|(list, age)| (list, age, Source::Disk));
        let (list, age, source) = match (shared, disk) {
            (Some(shared), Some(disk)) => Some(if disk.1 + CLEARLY < shared.1 { disk } else { shared }),
            (shared, disk) => shared.or(disk),
        }?;
        let status_counts = age < self.config.health_for();
        Some(Recalled { snapshot: Arc::new(list.snapshot(service, status_counts)), age, source })
    }

    async fn recall_shared(&self, key: &Key) -> Option<(Arc<List>, Duration, Source)> {
        // There is no origin but the registry, which is what does not answer.
        let nowhere = || async { Err::<Found<List>, _>("the registry does not answer") };
        let lists = self.lists.as_ref()?;
        // A process that has just started may still be connecting.
        let connected = async {
            while !lists.is_hearing() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        // Whoever is not connected by then answers at once that it is not.
        let _ = tokio::time::timeout(self.config.recall_after, connected).await;
        let cached = lists.get_or_load(key, nowhere).await;
        match cached {
            Ok(cached) => Some((cached.value?, cached.age, Source::SecondTier)),
            Err(LoadError::Failed(_)) => None,
            Err(error) => {
                tracing::debug!(%key, %error, "nothing is remembered");
                None
            }
        }
    }

    /// Keeps what the registry said `age` ago.
    pub(crate) async fn keep(&self, service: &ServiceName, snapshot: &Arc<Snapshot>, age: Duration) {
        let Some(key) = self.key(service) else { return };
        let list = Arc::new(List::of(snapshot));
        if let Some(disk) = &self.disk {
            disk.keep(key.as_str(), &list, age);
        }
        if let Some(lists) = &self.lists {
            lists.offer(&key, Found::new(list).age(age)).await;
        }
    }

    /// Writes the file every so often, for ever.
    pub(crate) async fn write_on(self: Arc<Self>) -> Infallible {
        let Some(disk) = &self.disk else { return std::future::pending().await };
        loop {
            tokio::time::sleep(self.config.snapshot_interval).await;
            disk.write().await;
        }
    }

    /// Writes the file a last time and ends the tasks of the cache.
    pub(crate) async fn close(&self) {
        if let Some(disk) = &self.disk {
            disk.write().await;
        }
        if let Some(lists) = &self.lists {
            lists.shut_down().await;
        }
    }

    /// What the list of `service` is kept under: apart from what others are told of it. A hash, where that is long.
    fn key(&self, service: &ServiceName) -> Option<Key> {
        let identity = self.registry.identity(service);
        let key = if identity.is_empty() { format!("{service}") } else { format!("{service}/{identity}") };
        let key = Key::new(key);
        // A registry's identity need not be a name; then nothing is remembered of it.
        key.inspect_err(|error| tracing::warn!(%service, %error, "the registry's identity is no key")).ok()
    }
}

/// How much younger a list on disk must be to be taken for a later one: both are kept a moment after one another.
const CLEARLY: Duration = Duration::from_secs(5);
/// How soon it is looked again whether the second tier is connected.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
