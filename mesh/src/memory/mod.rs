//! What is remembered of services, for the time when their registry cannot be asked.
//!
//! Lists of instances are kept in a second tier that the fleet shares, on this machine's disk, or both. Decides where a
//! memory is looked for and what of it is still worth anything; never whether it counts: that is discovery's.

mod disk;
mod list;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mesh_cache::seal::Sealer;
use mesh_cache::second::{SecondTier, check_prefix};
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
    /// How large it may be, and how large one may be to be read; 16 MiB, about 70 lists of 1,000 instances. Of more, and
    /// of more than 10,000 lists, those that this process follows are written first, and of those the ones that changed
    /// last; how many are left out is logged when it begins.
    pub snapshot_bytes_max: NonZeroU32,
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
            snapshot_bytes_max: NonZeroU32::MIN.saturating_add(16 * 1024 * 1024 - 1),
        }
    }
}

impl MemoryConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first that breaks its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_prefix("memory.namespace", &self.namespace)?;
        for (field, lifetimes) in [("memory.lists", &self.lists), ("memory.health", &self.health)] {
            lifetimes.validate().map_err(|error| within(field, error))?;
        }
        for (field, value) in
            [("memory.keep_interval", self.keep_interval), ("memory.snapshot_interval", self.snapshot_interval)]
        {
            if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&value) {
                return Err(ConfigError::new(field, format!("{value:?}"), "must be 1 s to 1 day"));
            }
        }
        if self.recall_after > RECALL_AFTER_MAX {
            let value = format!("{:?}", self.recall_after);
            return Err(ConfigError::new("memory.recall_after", value, "must be at most 1 min"));
        }
        if !(SNAPSHOT_BYTES_MIN..=SNAPSHOT_BYTES_MAX).contains(&self.snapshot_bytes_max.get()) {
            let rule = "must be 4096 to 1073741824";
            return Err(ConfigError::new("memory.snapshot_bytes_max", self.snapshot_bytes_max, rule));
        }
        if let Some(path) = self.snapshot.as_ref().filter(|path| path.file_name().is_none()) {
            return Err(ConfigError::new("memory.snapshot", path.display(), "must be the path of a file"));
        }
        Ok(())
    }
}

/// The problem of `error` as one of a field of `parent`.
fn within(parent: &'static str, error: ConfigError) -> ConfigError {
    let Some(problem) = error.problems().first() else { return error };
    ConfigError::new(parent, format!("{} of {}", problem.field(), problem.value()), problem.rule().to_owned())
}

/// The memory of one mesh.
#[derive(Debug)]
pub(crate) struct Memory {
    config: MemoryConfig,
    lists: Option<Cache<List>>,
    disk: Option<Arc<Disk>>,
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
    /// The memory that `config`, which was validated, describes; `None` where there is nothing to remember in.
    pub(crate) async fn open(
        config: &MemoryConfig,
        tier: Option<Arc<dyn SecondTier>>,
        sealer: &Sealer,
        registry: &Arc<dyn Registry>,
        environment: &Environment,
    ) -> Result<Option<Arc<Self>>, ConfigError> {
        let lists = tier.map(|tier| {
            let builder = Cache::builder().environment(environment.clone()).lifetimes(config.lists.clone());
            let namespace = format!("{}/discovery", config.namespace);
            let builder = builder.weigh(|_, list: &List| list.weight());
            builder.second_tier(namespace, tier, ListCodec::new()).seal(sealer.clone()).limits(list::limits()).build()
        });
        let lists = lists.transpose()?;
        let disk = match &config.snapshot {
            Some(path) => Some(Disk::open(path, config, sealer, environment).await),
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
        let status_counts = age < self.config.health.total();
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

    /// Nobody follows `service` any more.
    pub(crate) fn unfollow(&self, service: &ServiceName) {
        if let (Some(disk), Some(key)) = (&self.disk, self.key(service)) {
            disk.unfollow(key.as_str());
        }
    }

    /// Writes the file a last time, for which it waits `grace` at most, and ends the tasks of the cache.
    pub(crate) async fn close(&self, grace: Duration) {
        if let Some(disk) = &self.disk
            && tokio::time::timeout(grace, disk.write()).await.is_err()
        {
            tracing::warn!(?grace, "the last snapshot was not written in time; it still may be");
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
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Well within the 3 days for which a list is worth anything.
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
const RECALL_AFTER_MAX: Duration = Duration::from_secs(60);
/// Enough for a list of a few instances.
const SNAPSHOT_BYTES_MIN: u32 = 4_096;
const SNAPSHOT_BYTES_MAX: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use mesh_cache::MemoryTier;
    use mesh_core::service::ServiceConfig;
    use mesh_core::snapshot::{Entry, RegistryStatus};

    use super::*;
    use crate::registry::MemoryRegistry;

    #[tokio::test]
    async fn a_list_weighs_what_its_instances_say() {
        let environment = Environment::system();
        let registry: Arc<dyn Registry> = Arc::new(MemoryRegistry::new());
        let tier: Arc<dyn SecondTier> = Arc::new(MemoryTier::new(Arc::clone(&environment.clock)));
        let (config, sealer) = (MemoryConfig::default(), Sealer::open_hints());
        let memory = Memory::open(&config, Some(tier), &sealer, &registry, &environment).await.unwrap().unwrap();
        let entry = |number: u16| {
            let builder = ServiceConfig::builder("api", "10.0.0.1", number).meta("text", "x".repeat(500));
            let config = builder.without_check().build().unwrap();
            Entry::new(Arc::clone(config.instance()), RegistryStatus::Passing, None)
        };
        let snapshot = Arc::new(Snapshot::new((1..=1_000).map(entry).collect()));
        memory.keep(&"api".parse().unwrap(), &snapshot, Duration::ZERO).await;
        let stats = memory.lists.as_ref().unwrap().stats();
        assert_eq!(stats.entries, 1);
        assert!((500_000..2_000_000).contains(&stats.bytes), "{stats:?}");
    }
}
