//! A registry that was written down: a list in code, or a TOML file that is read again when told to.
//!
//! Decides whether a new list takes the place of the old one: only a whole and valid one does. Watches no file,
//! runs no checks and takes no registrations.

mod document;
mod error;

use std::collections::BTreeMap;
use std::fs::File;
use std::future::pending;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mesh_core::port::{BoxFuture, Registry, RegistryError, Resolution, Watch, WatchEvent};
use mesh_core::registration::{Part, Standing};
use mesh_core::service::{InstanceId, ServiceConfig, ServiceName};
use mesh_core::snapshot::{Entry, Snapshot};
use tokio::sync::watch;

use super::{entry, misplaced_check, standing};
pub use error::{ListOrigin, ListPlace, StaticListError};

/// A registry of instances that somebody listed. Clones share the list.
///
/// A file has one table `[[instance]]` for each, with the keys of [`ServiceConfig`]'s table:
///
/// ```
/// use mesh::registry::StaticRegistry;
///
/// let registry = StaticRegistry::from_toml(
///     r#"
///     [[instance]]
///     service = "api"
///     host = "10.0.0.7"
///     port = 8080
///     check = { path = "/ready", interval = "5s" }
///
///     [[instance]]
///     service = "api"
///     host = "10.0.0.8"
///     port = 8080
///     "#,
/// )?;
/// # Ok::<(), mesh::registry::StaticListError>(())
/// ```
///
/// Its word is certain: what is not listed does not exist. Nothing can be registered here or taken away.
#[derive(Clone, Debug)]
pub struct StaticRegistry {
    shared: Arc<Shared>,
}

impl StaticRegistry {
    /// The registry of `instances`.
    ///
    /// # Errors
    /// When one id of one service is listed twice.
    pub fn from_instances(instances: Vec<ServiceConfig>) -> Result<Self, StaticListError> {
        let place = |index| ListPlace::Item(index + 1);
        Ok(Self::new(None, List::of(&ListOrigin::Program, instances.into_iter().enumerate(), place)?))
    }

    /// The registry that `text` lists as TOML.
    ///
    /// # Errors
    /// With line, column and rule when `text` is not such a list, and when it lists nothing or an id twice.
    pub fn from_toml(text: &str) -> Result<Self, StaticListError> {
        Ok(Self::new(None, List::parse(&ListOrigin::Program, text)?))
    }

    /// The registry that the TOML file at `path` lists.
    ///
    /// Blocks while it reads: for the start of a program.
    ///
    /// # Errors
    /// Like [`StaticRegistry::from_toml`], and when the file cannot be read or has more than 64 MiB.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StaticListError> {
        let path = path.as_ref();
        Ok(Self::new(Some(path.to_path_buf()), List::read(path)?))
    }

    /// Reads the file again and, when it is valid, puts its list in place of the old one and tells those who
    /// follow a service.
    ///
    /// Blocks while it reads; of several calls each reads after the one before it is done. Replace the file by
    /// renaming a whole one over it, so that no half of one is ever read.
    ///
    /// # Errors
    /// Like [`StaticRegistry::open`], and when this registry has no file. The old list stays in force then.
    pub fn reload(&self) -> Result<(), StaticListError> {
        let path = self.shared.path.as_deref().ok_or(StaticListError::NoFile)?;
        let _one_at_a_time = self.shared.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let new = List::read(path)?;
        self.shared.list.send_modify(|list| *list = Arc::new(new.reusing(list)));
        Ok(())
    }

    fn new(path: Option<PathBuf>, list: List) -> Self {
        let list = watch::Sender::new(Arc::new(list));
        Self { shared: Arc::new(Shared { list, path, reloading: Mutex::new(()) }) }
    }
}

impl Registry for StaticRegistry {
    fn register<'a>(&'a self, _: &'a ServiceConfig) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async { Err(RegistryError::Unsupported { operation: "registration" }) })
    }

    fn deregister<'a>(
        &'a self,
        _: &'a ServiceName,
        _: &'a InstanceId,
        _: Part,
    ) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(async { Err(RegistryError::Unsupported { operation: "deregistration" }) })
    }

    fn inspect<'a>(&'a self, config: &'a ServiceConfig) -> BoxFuture<'a, Result<Standing, RegistryError>> {
        Box::pin(async move { Ok(standing(self.shared.list.borrow().entry(config), config)) })
    }

    fn resolve<'a>(&'a self, service: &'a ServiceName) -> BoxFuture<'a, Result<Resolution, RegistryError>> {
        Box::pin(async move { Ok(self.shared.list.borrow().resolution(service)) })
    }

    fn watch(&self, service: &ServiceName) -> Box<dyn Watch> {
        let mut changes = self.shared.list.subscribe();
        changes.mark_changed();
        Box::new(StaticWatch { service: service.clone(), changes, last: None })
    }

    fn runs_checks(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct Shared {
    list: watch::Sender<Arc<List>>,
    path: Option<PathBuf>,
    reloading: Mutex<()>,
}

/// A list that was found valid.
#[derive(Debug)]
struct List(BTreeMap<ServiceName, Arc<Snapshot>>);

impl List {
    fn read(path: &Path) -> Result<Self, StaticListError> {
        let unreadable = |source| StaticListError::Unreadable { path: path.to_path_buf(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        let bytes = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        if bytes as u64 > FILE_BYTES_MAX {
            return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 64 MiB")));
        }
        Self::parse(&ListOrigin::File(path.to_path_buf()), &text)
    }

    fn parse(origin: &ListOrigin, text: &str) -> Result<Self, StaticListError> {
        let instances = document::instances(text).map_err(|fault| StaticListError::invalid(origin, text, &fault))?;
        if instances.is_empty() {
            return Err(StaticListError::Empty { origin: origin.clone() });
        }
        Self::of(origin, instances.into_iter(), |offset| ListPlace::at(text, offset))
    }

    /// The list of `instances`, each with a number from which `place` tells where it was listed.
    fn of(
        origin: &ListOrigin,
        instances: impl Iterator<Item = (usize, ServiceConfig)>,
        place: impl Fn(usize) -> ListPlace,
    ) -> Result<Self, StaticListError> {
        let mut services = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (number, config) in instances {
            if let Some(problem) = misplaced_check(&config) {
                return Err(StaticListError::Check { origin: origin.clone(), place: place(number), problem });
            }
            let listed = services.entry(config.service().clone()).or_default();
            if let Some((first, _)) = listed.insert(config.id().clone(), (number, entry(&config))) {
                return Err(StaticListError::duplicate(origin, &config, place(first), place(number)));
            }
        }
        let snapshot = |entries: BTreeMap<InstanceId, (usize, Entry)>| {
            Arc::new(Snapshot::new(entries.into_values().map(|(_, entry)| entry).collect()))
        };
        Ok(Self(services.into_iter().map(|(service, entries)| (service, snapshot(entries))).collect()))
    }

    /// This list, with the snapshots of `old` for the services that did not change.
    fn reusing(mut self, old: &Self) -> Self {
        for (service, snapshot) in &mut self.0 {
            if let Some(same) = old.0.get(service).filter(|before| *before == snapshot) {
                *snapshot = Arc::clone(same);
            }
        }
        self
    }

    fn entry(&self, config: &ServiceConfig) -> Option<&Entry> {
        self.0.get(config.service()).and_then(|snapshot| snapshot.get(config.key()))
    }

    fn resolution(&self, service: &ServiceName) -> Resolution {
        let listed = self.0.get(service);
        Resolution::certain(listed.cloned().unwrap_or_default(), listed.is_some())
    }
}

#[derive(Debug)]
struct StaticWatch {
    service: ServiceName,
    changes: watch::Receiver<Arc<List>>,
    last: Option<Resolution>,
}

impl Watch for StaticWatch {
    fn next(&mut self) -> BoxFuture<'_, WatchEvent> {
        Box::pin(async move {
            if self.changes.changed().await.is_err() {
                // The registry is gone, so nobody can have the file read again: nothing changes any more.
                pending::<()>().await;
            }
            let resolution = self.changes.borrow_and_update().resolution(&self.service);
            if self.last.as_ref() == Some(&resolution) {
                return WatchEvent::Confirmed;
            }
            self.last = Some(resolution.clone());
            WatchEvent::Snapshot(resolution)
        })
    }
}

/// A file beyond this is no list that somebody wrote: it would hold half a million instances.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
