//! The lists on this machine's disk, for a start while everything is down.
//!
//! Written every so often whether anything changed or not: a file that is only written on changes is missing where
//! nothing ever changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_cache::codec::{Codec as _, decode_guarded};
use mesh_cache::disk::{DiskConfig, Entry, SnapshotFile};
use mesh_cache::seal::{Nonces, Sealer};
use mesh_cache::{Environment, Version};
use mesh_core::time::Instant;

use super::list::{List, ListCodec, SCHEMA};

/// The file and what is to be written to it.
#[derive(Debug)]
pub(crate) struct Disk {
    file: Arc<SnapshotFile>,
    nonces: Arc<Nonces>,
    environment: Environment,
    codec: ListCodec,
    lists: Mutex<BTreeMap<String, Kept>>,
}

/// A list, encoded, and when it was true.
#[derive(Clone, Debug)]
struct Kept {
    payload: Arc<[u8]>,
    as_of: Instant,
}

impl Disk {
    /// The file at `path` and what it has. One that cannot be read is as good as none: it is logged and will be
    /// replaced.
    pub(crate) async fn open(path: &Path, namespace: &str, sealer: &Sealer, environment: &Environment) -> Self {
        let config = DiskConfig::new(format!("{namespace}/discovery"), SCHEMA);
        let (path, sealer, nonces) = (path.to_owned(), sealer.clone(), sealer.nonces(&environment.entropy));
        let (now, wall) = (environment.clock.now(), environment.wall.unix_millis());
        let opened = tokio::task::spawn_blocking(move || {
            let file = SnapshotFile::open(path, config, sealer);
            let read = file.read(wall);
            (Arc::new(file), read)
        });
        let (file, read) = match opened.await {
            Ok(opened) => opened,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let loaded = read.unwrap_or_else(|error| {
            tracing::warn!(path = %file.path().display(), %error, "the snapshot is not used");
            None
        });
        let mut lists = BTreeMap::new();
        // Of a clock that went back nobody knows the age; then it is as old as it may be.
        let lying = loaded.as_ref().map_or(Duration::ZERO, |loaded| loaded.age.unwrap_or(AGE_UNKNOWN));
        for entry in loaded.into_iter().flat_map(|loaded| loaded.entries) {
            lists.insert(entry.key, Kept { payload: entry.payload.into(), as_of: now - lying - entry.age });
        }
        let environment = environment.clone();
        Self { file, nonces, environment, codec: ListCodec::new(), lists: Mutex::new(lists) }
    }

    /// The list under `key` and its age.
    pub(crate) fn recall(&self, key: &str) -> Option<(Arc<List>, Duration)> {
        let kept = self.lists().get(key).cloned()?;
        let age = self.environment.clock.now().since(kept.as_of);
        match decode_guarded(&self.codec, &kept.payload) {
            Ok(list) => Some((Arc::new(list), age)),
            Err(error) => {
                tracing::warn!(key, %error, "a list of the snapshot is not used");
                None
            }
        }
    }

    /// Keeps `list`, which was true `age` ago, for the next writing.
    pub(crate) fn keep(&self, key: &str, list: &List, age: Duration) {
        let payload = match self.codec.encode(list) {
            Ok(payload) => payload.into(),
            Err(error) => return tracing::warn!(key, %error, "a list cannot be kept on disk"),
        };
        let as_of = self.environment.clock.now() - age;
        self.lists().insert(key.to_owned(), Kept { payload, as_of });
    }

    /// Writes the file. What fails is logged; the next time may be better.
    pub(crate) async fn write(&self) {
        let (now, wall) = (self.environment.clock.now(), self.environment.wall.unix_millis());
        let lists = self.lists().clone();
        if lists.is_empty() {
            return;
        }
        let (file, nonce) = (Arc::clone(&self.file), self.nonces.draw());
        let written = tokio::task::spawn_blocking(move || {
            let entry = |(key, kept): (String, Kept)| {
                let (age, payload) = (now.since(kept.as_of), kept.payload.to_vec());
                Entry { key, version: Version::NONE, age, payload }
            };
            let entries: Vec<Entry> =
                lists.into_iter().filter(|(_, kept)| now.since(kept.as_of) < KEPT).map(entry).collect();
            file.write(&entries, wall, nonce)
        });
        match written.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(path = %self.file.path().display(), %error, "the snapshot is not written"),
            Err(error) => tracing::error!(%error, "writing the snapshot panicked"),
        }
    }

    fn lists(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How old a list may be to be written again.
const KEPT: Duration = Duration::from_secs(3 * 86_400);
/// The age of what nobody knows the age of: the last hour in which it counts.
const AGE_UNKNOWN: Duration = Duration::from_secs(3 * 86_400 - 3_600);
