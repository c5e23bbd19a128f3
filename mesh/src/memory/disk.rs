//! The lists on this machine's disk, for a start while everything is down.
//!
//! Written every so often whether anything changed or not: a file that is only written on changes is missing where
//! nothing ever changes. Decides what is left out where not everything fits, which is no reason to write nothing.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_cache::codec::{Codec as _, decode_guarded};
use mesh_cache::disk::{DiskConfig, DiskWriteError, Entry, SnapshotFile};
use mesh_cache::seal::{Nonce, Nonces, Sealer};
use mesh_cache::{Environment, Version};
use mesh_core::time::Instant;

use super::MemoryConfig;
use super::list::{List, ListCodec, SCHEMA};

/// The file and what is to be written to it.
#[derive(Debug)]
pub(crate) struct Disk {
    file: Arc<SnapshotFile>,
    nonces: Arc<Nonces>,
    environment: Environment,
    codec: ListCodec,
    lists: Mutex<BTreeMap<String, Kept>>,
    /// Held by whoever writes the file.
    writing: Mutex<()>,
    /// Whether some lists found no room when it was written last.
    is_full: AtomicBool,
}

/// A list, encoded, and when it was true.
#[derive(Clone, Debug)]
struct Kept {
    payload: Arc<[u8]>,
    as_of: Instant,
    /// When it was last seen to be another than before.
    changed_at: Instant,
    /// Whether this process follows the service.
    is_followed: bool,
}

impl Kept {
    /// Of two lists the lesser one is written rather than the other: one that is followed, and of those the one that
    /// changed last, since the others are what anybody remembers of them; else the one that was followed last.
    const fn rank(&self) -> (bool, Reverse<Instant>) {
        let newest = if self.is_followed { self.changed_at } else { self.as_of };
        (!self.is_followed, Reverse(newest))
    }
}

/// How many lists were written, and how many found no room.
#[derive(Clone, Copy, Debug)]
struct Written {
    lists: usize,
    left_out: usize,
}

impl Disk {
    /// The file at `path` and what it has. One that cannot be read is as good as none: it is logged and will be
    /// replaced.
    pub(crate) async fn open(
        path: &Path,
        memory: &MemoryConfig,
        sealer: &Sealer,
        environment: &Environment,
    ) -> Arc<Self> {
        let mut config = DiskConfig::new(format!("{}/discovery", memory.namespace), SCHEMA);
        config.bytes_max = memory.snapshot_bytes_max.get() as usize;
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
            let as_of = now - lying - entry.age;
            let kept = Kept { payload: entry.payload.into(), as_of, changed_at: as_of, is_followed: false };
            lists.insert(entry.key, kept);
        }
        Arc::new(Self {
            file,
            nonces,
            environment: environment.clone(),
            codec: ListCodec::new(),
            lists: Mutex::new(lists),
            writing: Mutex::default(),
            is_full: AtomicBool::new(false),
        })
    }

    /// The list under `key` and its age, for one who follows it from now on.
    pub(crate) fn recall(&self, key: &str) -> Option<(Arc<List>, Duration)> {
        let kept = {
            let mut lists = self.lists();
            let kept = lists.get_mut(key)?;
            kept.is_followed = true;
            kept.clone()
        };
        let age = self.environment.clock.now().since(kept.as_of);
        match decode_guarded(&self.codec, &kept.payload) {
            Ok(list) => Some((Arc::new(list), age)),
            Err(error) => {
                tracing::warn!(key, %error, "a list of the snapshot is not used");
                None
            }
        }
    }

    /// Keeps `list`, which was true `age` ago and is followed, for the next writing.
    pub(crate) fn keep(&self, key: &str, list: &List, age: Duration) {
        let payload: Arc<[u8]> = match self.codec.encode(list) {
            Ok(payload) => payload.into(),
            Err(error) => return tracing::warn!(key, %error, "a list cannot be kept on disk"),
        };
        let now = self.environment.clock.now();
        let mut lists = self.lists();
        let same = lists.get(key).filter(|kept| kept.payload == payload);
        let changed_at = same.map_or(now, |kept| kept.changed_at);
        lists.insert(key.to_owned(), Kept { payload, as_of: now - age, changed_at, is_followed: true });
    }

    /// Nobody follows the list under `key` any more: it makes room for those that somebody does.
    pub(crate) fn unfollow(&self, key: &str) {
        if let Some(kept) = self.lists().get_mut(key) {
            kept.is_followed = false;
        }
    }

    /// Writes the file. What fails is logged; the next time may be better.
    ///
    /// It is written as a whole even if nobody waits for that any more.
    pub(crate) async fn write(self: &Arc<Self>) {
        let (disk, nonce) = (Arc::clone(self), self.nonces.draw());
        let path = self.file.path().display();
        match tokio::task::spawn_blocking(move || disk.write_now(nonce)).await {
            Ok(Ok(Written { lists, left_out })) => {
                if left_out > 0 && !self.is_full.load(Ordering::Relaxed) {
                    tracing::warn!(%path, lists, left_out, "the snapshot is full: not all lists are in it");
                }
                self.is_full.store(left_out > 0, Ordering::Relaxed);
            }
            Ok(Err(error)) => tracing::warn!(%path, %error, "the snapshot is not written"),
            Err(error) => tracing::error!(%error, "writing the snapshot panicked"),
        }
    }

    /// Writes what there is at the moment at which nobody else writes: so the file that is written last has what was
    /// kept last, however long an earlier one took.
    fn write_now(&self, nonce: Nonce) -> Result<Written, DiskWriteError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.environment.clock.now();
        let mut lists: Vec<(String, Kept)> = {
            let mut lists = self.lists();
            lists.retain(|_, kept| now.since(kept.as_of) < KEPT);
            lists.iter().map(|(key, kept)| (key.clone(), kept.clone())).collect()
        };
        if lists.is_empty() {
            return Ok(Written { lists: 0, left_out: 0 });
        }
        // Those of one rank stay in the order of their keys: it is always the same that are left out.
        lists.sort_by_key(|(_, kept)| kept.rank());
        let (count, mut room) = (lists.len(), self.file.room());
        let fits = |(key, kept): &(String, Kept)| {
            let fits = room.take(key, &kept.payload);
            if !fits && !kept.is_followed {
                self.forget_unfollowed(key);
            }
            fits
        };
        let entry = |(key, kept): (String, Kept)| {
            let (age, payload) = (now.since(kept.as_of), kept.payload.to_vec());
            Entry { key, version: Version::NONE, age, payload }
        };
        let entries: Vec<Entry> = lists.into_iter().filter(fits).map(entry).collect();
        self.file.write(&entries, self.environment.wall.unix_millis(), nonce)?;
        Ok(Written { lists: entries.len(), left_out: count - entries.len() })
    }

    /// What finds no room on disk and is followed by nobody is of no use: kept in memory it would grow with the names
    /// that callers make up.
    fn forget_unfollowed(&self, key: &str) {
        let mut lists = self.lists();
        if lists.get(key).is_some_and(|kept| !kept.is_followed) {
            lists.remove(key);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_followed_goes_first_and_of_that_what_changed_last_and_then_what_was_followed_last() {
        let kept = |is_followed, changed_at, as_of| {
            let (changed_at, as_of) = (Instant::from_millis(changed_at), Instant::from_millis(as_of));
            Kept { payload: Arc::default(), as_of, changed_at, is_followed }
        };
        let ranked = [kept(true, 7, 1), kept(true, 5, 9), kept(false, 3, 8), kept(false, 6, 6)];
        assert!(ranked.is_sorted_by(|before, after| before.rank() < after.rank()));
    }
    #[tokio::test]
    async fn names_that_find_no_room_and_are_followed_by_nobody_are_not_kept_in_memory_either() {
        let directory = tempfile::tempdir().unwrap();
        let config = MemoryConfig { snapshot_bytes_max: 4_096.try_into().unwrap(), ..MemoryConfig::default() };
        let (sealer, environment) = (Sealer::open_hints(), Environment::system());
        let disk = Disk::open(&directory.path().join("file"), &config, &sealer, &environment).await;
        let nobody = List::of(&mesh_core::snapshot::Snapshot::new(Vec::new()));
        for number in 0..1_000 {
            let key = format!("made-up-{number}");
            disk.keep(&key, &nobody, Duration::ZERO);
            if number >= 10 {
                disk.unfollow(&key);
            }
        }
        assert_eq!(disk.lists().len(), 1_000);
        disk.write().await;
        let left = disk.lists().len();
        assert!((10..200).contains(&left), "{left}");
        assert!((0..10).all(|number| disk.lists().contains_key(&format!("made-up-{number}"))));
    }
}
