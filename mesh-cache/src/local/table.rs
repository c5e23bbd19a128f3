//! The entries as readers find them: without a lock, without an allocation, and without a write that readers share.
//!
//! A reader comes by three cache lines that are not in its own core anyway: the [chunk](Chunk) of its key, the record,
//! and the text of the key. The record is borrowed under `arc-swap`'s guard, which costs two locked instructions on a
//! line of the reader's own thread; readers of one hot key do not slow one another down, as they do where each hit takes
//! a lock, clones or counts. An entry stays in its place as long as it is kept, so a reader cannot miss it.
//!
//! Own code rather than `quick_cache` with our times in its values: quick_cache knows no prefix, no tag, no journal
//! of what came and went, and no cap that holds at every moment; a hit of its takes a lock of a shard and clones.
//! Measured by the bench `cache` in two runs, quick_cache 0.7 takes 1.07 and 1.09 times our hit at 10,000 keys and one
//! thread, 3.1 and 1.3 times at two, and five times where two threads read one key; ours pays for it with changes that
//! cost 6 to 17 times quick_cache's, and hits of long keys that cost up to twice.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;

use arc_swap::Guard;
use foldhash::fast::FixedState;

use super::chunk::{Chunk, LANES, Tag};
use crate::entry::Record;

/// Every entry by its key. Changed by one writer at a time.
pub(super) struct Table<V> {
    chunks: Box<[Chunk<V>]>,
    /// What is in the places where nothing is.
    vacant: Arc<Record<V>>,
    hasher: FixedState,
}

/// Where an entry is, as long as it is kept.
pub(super) type Place = u32;

impl<V> Table<V> {
    /// A table for up to `entries` entries. `seed` keeps those who choose keys from choosing collisions.
    pub(super) fn new(entries: usize, seed: u64) -> Self {
        let vacant = Arc::new(Record::vacant());
        let chunks = entries.div_ceil(CHUNK_ENTRIES).clamp(1, CHUNKS_MAX);
        let chunks = (0..chunks).map(|_| Chunk::new(&vacant)).collect();
        Self { chunks, vacant, hasher: FixedState::with_seed(seed) }
    }

    /// The record of `key`, which counts as read.
    #[inline]
    pub(super) fn read(&self, key: &str) -> Option<Guard<Arc<Record<V>>>> {
        self.find_with(key, |_, _, record| {
            record.note_read();
            record
        })
    }

    /// The record of `key`, which does not count as read, and its place.
    pub(super) fn find(&self, key: &str) -> Option<(Place, Guard<Arc<Record<V>>>)> {
        self.find_with(key, |at, lane, record| (place_of(at, lane), record))
    }

    /// What `make` makes of the chunk, the lane and the record of `key`. Every hit comes by here.
    #[inline]
    fn find_with<T>(&self, key: &str, make: impl FnOnce(usize, usize, Guard<Arc<Record<V>>>) -> T) -> Option<T> {
        let hash = self.hash(key);
        let mut at = self.home(hash);
        for _ in 0..self.chunks.len() {
            let chunk = &self.chunks[at];
            let tags = chunk.tags();
            for lane in tags.lanes_of(Tag::of(hash)) {
                let record = chunk.record(lane)?;
                if record.key().as_str() == key {
                    return Some(make(at, lane, record));
                }
            }
            if !tags.go_on() {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// The record at `place`.
    pub(super) fn record(&self, place: Place) -> Option<Guard<Arc<Record<V>>>> {
        self.chunks.get(place as usize / LANES)?.record(place as usize % LANES)
    }

    /// Adds `record`, whose key has none, and returns its place; `None` is that there are no more places.
    pub(super) fn add(&self, record: Arc<Record<V>>) -> Option<Place> {
        let hash = self.hash(record.key().as_str());
        let home = self.home(hash);
        let mut at = home;
        let mut tried = 0;
        let lane = loop {
            match self.chunks[at].vacancy() {
                Some(lane) => break lane,
                None if tried + 1 < self.chunks.len() => at = self.next(at),
                None => return None,
            }
            tried += 1;
        };
        // Readers must know that they have to go on before there is something to find.
        self.each_between(home, at, Chunk::pass);
        self.chunks[at].fill(lane, Tag::of(hash), record);
        Some(place_of(at, lane))
    }

    /// Puts `record` in the place of the record of the same key.
    pub(super) fn replace(&self, place: Place, record: Arc<Record<V>>) {
        if let Some(chunk) = self.chunks.get(place as usize / LANES) {
            chunk.swap(place as usize % LANES, record);
        }
    }

    /// Takes away what is at `place`, which is returned.
    pub(super) fn remove(&self, place: Place) -> Option<Arc<Record<V>>> {
        let at = place as usize / LANES;
        let record = self.chunks.get(at)?.vacate(place as usize % LANES, &self.vacant)?;
        let home = self.home(self.hash(record.key().as_str()));
        self.each_between(home, at, Chunk::unpass);
        Some(record)
    }

    fn each_between(&self, home: usize, end: usize, change: impl Fn(&Chunk<V>)) {
        let mut at = home;
        while at != end {
            change(&self.chunks[at]);
            at = self.next(at);
        }
    }

    fn hash(&self, key: &str) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key.as_bytes());
        hasher.finish()
    }

    /// By the upper half; tags are of the lower.
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.chunks.len() as u64) >> 32) as usize
    }

    const fn next(&self, at: usize) -> usize {
        if at + 1 < self.chunks.len() { at + 1 } else { 0 }
    }
}

const fn place_of(at: usize, lane: usize) -> Place {
    (at * LANES + lane) as Place
}

impl<V> fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("chunks", &self.chunks.len()).finish_non_exhaustive()
    }
}

/// How many entries a chunk has when the table is full; of these one in forty is not in its first chunk.
const CHUNK_ENTRIES: usize = 4;
/// So that places are numbers of 32 bits.
const CHUNKS_MAX: usize = 1 << 28;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use mesh_core::rng::Rng;
    use mesh_core::time::Instant;

    use super::*;
    use crate::entry::{Claim, Epoch, Fresh, Source, Stamp, Version};
    use crate::key::{Key, Marks};
    use crate::lifetimes::Lifetimes;

    fn name(number: u64) -> String {
        // Some are kept beside the entry, and some elsewhere.
        format!("{number}/{}", "long".repeat(number as usize % 9))
    }

    fn record(number: u64) -> Arc<Record<u64>> {
        let fresh = Fresh {
            value: Some(Arc::new(number)),
            version: Version::NONE,
            source: Source::Inserted,
            age: Duration::ZERO,
            transit: Duration::ZERO,
            marks: Marks::none(),
            lifetimes: None,
            weight: 1,
            load_time: None,
            claim: Claim::Full,
        };
        let stamp = Stamp { now: Instant::ZERO, epoch: Epoch::DEAF, generation: 1, entropy: 0 };
        let key = Key::new(name(number).trim_end_matches('/')).unwrap();
        Arc::new(Record::new(key, fresh, &Lifetimes::default(), stamp))
    }

    fn found(table: &Table<u64>, number: u64) -> Option<(Place, u64)> {
        let (place, record) = table.find(name(number).trim_end_matches('/'))?;
        Some((place, *record.value.as_deref().unwrap()))
    }

    #[test]
    fn a_table_filled_to_its_last_place_has_what_was_added_and_was_not_taken_away() {
        for seed in 0..8 {
            let (table, mut rng) = (Table::new(10, seed), Rng::from_seed(seed));
            let places = table.chunks.len() * LANES;
            let mut kept = BTreeMap::new();
            for _ in 0..2_000 {
                let number = rng.below(60);
                match kept.get(&number) {
                    Some(&place) if rng.below(2) == 0 => {
                        assert_eq!(table.remove(place).map(|record| *record.value.clone().unwrap()), Some(number));
                        kept.remove(&number);
                    }
                    Some(&place) => table.replace(place, record(number)),
                    None => match table.add(record(number)) {
                        Some(place) => assert!(kept.insert(number, place).is_none()),
                        None => assert_eq!(kept.len(), places, "there was a place"),
                    },
                }
                for number in 0..60 {
                    assert_eq!(found(&table, number), kept.get(&number).map(|place| (*place, number)), "seed {seed}");
                }
            }
            kept.values().for_each(|place| drop(table.remove(*place)));
            assert!(table.chunks.iter().all(Chunk::is_untouched), "seed {seed}: something is left");
        }
    }

    #[test]
    fn nothing_is_under_the_key_of_what_is_vacant() {
        let table = Table::new(1, 0);
        let place = table.add(record(1)).unwrap();
        table.remove(place);
        assert!(table.read("").is_none() && table.find("1/long").is_none());
    }
}
