//! The entries as readers find them: without a lock, without an allocation, and without a write that readers share.
//!
//! A few hundred small tables, each replaced as a whole when something in it changes. A reader loads the table of its
//! key and the record in it under `arc-swap`'s guards, which cost about as much as the clone of an `Arc` that nobody else
//! touches; readers of one hot key do not slow one another down, as they do where each hit clones or counts. A change
//! copies the pointers of one small table. `quick_cache` underneath was weighed and left: a hit there takes a lock and
//! clones (see bench `cache`), its caps are not exact, and the hit would still have to look at our timestamps.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::entry::Record;
use crate::key::Key;

/// Every entry by its key.
pub(super) struct Table<V> {
    shards: Box<[Shard<V>]>,
    hasher: FixedState,
}

/// Alone on its cache lines: what a writer replaces must not slow down readers of another shard.
#[repr(align(128))]
struct Shard<V>(ArcSwap<HashTable<Arc<Slot<V>>>>);

/// The place of an entry, which outlives its records.
pub(super) struct Slot<V> {
    key: Key,
    hash: u64,
    number: u32,
    read: AtomicBool,
    record: ArcSwap<Record<V>>,
}

impl<V> Table<V> {
    /// A table for about `entries` entries. `seed` keeps those who choose keys from choosing collisions.
    pub(super) fn new(entries: usize, seed: u64) -> Self {
        let shards = (entries / SHARD_ENTRIES).next_power_of_two().clamp(1, SHARDS_MAX);
        let shards = (0..shards).map(|_| Shard(ArcSwap::default())).collect();
        Self { shards, hasher: FixedState::with_seed(seed) }
    }

    /// The record of `key`, which counts as read.
    pub(super) fn read(&self, key: &str) -> Option<Guard<Arc<Record<V>>>> {
        let hash = self.hash(key);
        let shard = self.shard(hash).0.load();
        let slot = shard.find(hash, |slot| slot.key.as_str() == key)?;
        // A flag that is set already is not written again: the line stays in every reader's cache.
        if !slot.read.load(Ordering::Relaxed) {
            slot.read.store(true, Ordering::Relaxed);
        }
        Some(slot.record.load())
    }

    /// The place of `key`, which does not count as read.
    pub(super) fn slot(&self, key: &str) -> Option<Arc<Slot<V>>> {
        let hash = self.hash(key);
        self.shard(hash).0.load().find(hash, |slot| slot.key.as_str() == key).cloned()
    }

    /// Adds a place for `key`, which has none. One writer at a time.
    pub(super) fn add(&self, key: Key, number: u32, record: Record<V>) -> Arc<Slot<V>> {
        let hash = self.hash(key.as_str());
        let record = ArcSwap::from_pointee(record);
        let slot = Arc::new(Slot { key, hash, number, read: AtomicBool::new(false), record });
        self.change(hash, |table| {
            table.insert_unique(hash, Arc::clone(&slot), |slot| slot.hash);
        });
        slot
    }

    /// Takes the place away. One writer at a time.
    pub(super) fn remove(&self, slot: &Slot<V>) {
        self.change(slot.hash, |table| {
            if let Ok(found) = table.find_entry(slot.hash, |other| other.number == slot.number) {
                found.remove();
            }
        });
    }

    fn change(&self, hash: u64, change: impl FnOnce(&mut HashTable<Arc<Slot<V>>>)) {
        let shard = &self.shard(hash).0;
        let mut table = HashTable::clone(&shard.load());
        change(&mut table);
        shard.store(Arc::new(table));
    }

    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key)
    }

    /// By the middle bits: the tables use the lowest and the highest.
    fn shard(&self, hash: u64) -> &Shard<V> {
        let index = (hash >> 32) as usize & (self.shards.len() - 1);
        // The index is below the length, a power of two; `get` would only repeat the check that indexing makes.
        &self.shards[index]
    }
}

impl<V> Slot<V> {
    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn record(&self) -> Guard<Arc<Record<V>>> {
        self.record.load()
    }

    /// Puts `record` in the place of the one that is returned.
    pub(super) fn replace(&self, record: Record<V>) -> Arc<Record<V>> {
        self.record.swap(Arc::new(record))
    }

    /// Whether it was read since it was asked last.
    pub(super) fn take_read(&self) -> bool {
        self.read.swap(false, Ordering::Relaxed)
    }
}

impl<V> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// How many entries a shard is meant to have: few, because a change copies their pointers.
const SHARD_ENTRIES: usize = 16;
const SHARDS_MAX: usize = 1 << 16;
