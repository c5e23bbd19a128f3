//! What writers know of the entries: their order, their weight, what they are marked with. Behind one lock, which no
//! reader takes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use hashbrown::HashTable;
use mesh_core::time::Instant;

use super::table::{Place, Table};
use super::{Caps, Evictions};
use crate::entry::Record;
use crate::fence::Fence;
use crate::history::History;
use crate::key::{Key, Mark, Marks, Scope};
use crate::sieve::{Fate, Sieve};

/// The books of the first tier.
pub(super) struct Ledger<V> {
    order: Sieve,
    /// By the mark that an entry has for itself.
    by_own: HashTable<Place>,
    /// By the marks that some entries share.
    by_mark: BTreeSet<(Mark, Place)>,
    /// The mark that every entry has.
    everything: Mark,
    bytes: u64,
    /// What went, to be dropped once the lock is open: values are their owners' code then.
    gone: Vec<Arc<Record<V>>>,
    /// Counts what was stored, for [`Record::generation`].
    pub(super) stored: u64,
    pub(super) fence: Fence,
    pub(super) history: History,
    pub(super) evictions: Evictions,
}

/// An entry was not kept: it weighs more than all may together, or nothing may go for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl<V> Ledger<V> {
    pub(super) fn new(journal_max: usize) -> Self {
        Self {
            order: Sieve::default(),
            by_own: HashTable::new(),
            by_mark: BTreeSet::new(),
            everything: Scope::All.mark(),
            bytes: 0,
            gone: Vec::new(),
            stored: 0,
            fence: Fence::new(journal_max),
            history: History::new(journal_max),
            evictions: Evictions::default(),
        }
    }

    pub(super) const fn entries(&self) -> usize {
        self.order.len()
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps `record` under `key`, in the place of what is there, and takes away what it needs the room of first: the
    /// caps hold at every moment. Where there is no room, what is there stays.
    pub(super) fn store(
        &mut self,
        table: &Table<V>,
        caps: &Caps,
        key: &Key,
        record: Arc<Record<V>>,
        now: Instant,
    ) -> Result<(), NoRoom> {
        if record.weight > caps.bytes_max {
            return Err(NoRoom);
        }
        let present = table.find(key.as_str()).map(|(place, record)| (place, Arc::clone(&record)));
        let (before, places) = present.as_ref().map_or((0, 1), |(_, record)| (record.weight, 0));
        let weight = record.weight;
        self.make_room(table, caps, Need { key, places, before, weight }, now)?;
        match present {
            Some((place, earlier)) => {
                if earlier.marks != record.marks {
                    self.forget_marks(&earlier.marks, place);
                    self.note_marks(&record.marks, place);
                }
                record.succeed(&earlier);
                table.replace(place, record);
                self.gone.push(earlier);
            }
            None => {
                let place = table.add(Arc::clone(&record)).ok_or(NoRoom)?;
                self.by_own.insert_unique(record.marks.own().bits(), place, |place| own_of(table, *place).bits());
                self.note_marks(&record.marks, place);
                self.order.push(place);
            }
        }
        self.bytes = self.bytes - before + weight;
        Ok(())
    }

    /// Takes away every entry that has `mark`, and returns how many there were.
    pub(super) fn remove_marked(&mut self, table: &Table<V>, mark: Mark) -> u64 {
        let places: Vec<Place> = if mark == self.everything {
            self.order.iter().collect()
        } else {
            let own = self.by_own.iter_hash(mark.bits()).filter(|place| own_of(table, **place) == mark);
            own.chain(self.by_mark.range((mark, 0)..=(mark, Place::MAX)).map(|(_, place)| place)).copied().collect()
        };
        places.iter().for_each(|place| self.remove(table, *place));
        places.len() as u64
    }

    /// Takes away what is there under `key`.
    pub(super) fn remove_key(&mut self, table: &Table<V>, key: &Key) {
        let place = table.find(key.as_str()).map(|(place, _)| place);
        if let Some(place) = place {
            self.remove(table, place);
        }
    }

    /// What went since it was asked last, to be dropped without the lock.
    pub(super) fn take_gone(&mut self) -> Vec<Arc<Record<V>>> {
        std::mem::take(&mut self.gone)
    }

    fn make_room(&mut self, table: &Table<V>, caps: &Caps, need: Need<'_>, now: Instant) -> Result<(), NoRoom> {
        while self.entries() + need.places > caps.entries_max {
            let victim = self.victim(table, need.key, now, false).ok_or(NoRoom)?;
            self.evict(table, victim, now);
            self.evictions.for_entries += 1;
        }
        while self.bytes - need.before + need.weight > caps.bytes_max {
            let victim = self.victim(table, need.key, now, false).or_else(|| self.victim(table, need.key, now, true));
            self.evict(table, victim.ok_or(NoRoom)?, now);
            self.evictions.for_bytes += 1;
        }
        Ok(())
    }

    /// Who goes. What cannot be had again, because its origin fails, goes only `at_any_price`.
    fn victim(&mut self, table: &Table<V>, but: &Key, now: Instant, at_any_price: bool) -> Option<Place> {
        self.order.choose(|place| match table.record(place) {
            Some(record) if record.key() == but => Fate::Spare,
            Some(record) if !at_any_price && record.is_irreplaceable(now) => Fate::Spare,
            Some(record) if record.dead_at > now && record.take_read() => Fate::Spare,
            Some(_) | None => Fate::Take,
        })
    }

    fn evict(&mut self, table: &Table<V>, place: Place, now: Instant) {
        if table.record(place).is_some_and(|record| record.dead_at <= now) {
            self.evictions.of_dead += 1;
        }
        self.remove(table, place);
    }

    fn remove(&mut self, table: &Table<V>, place: Place) {
        let Some(record) = table.remove(place) else { return };
        self.order.remove(place);
        if let Ok(found) = self.by_own.find_entry(record.marks.own().bits(), |other| *other == place) {
            found.remove();
        }
        self.bytes -= record.weight;
        self.forget_marks(&record.marks, place);
        self.gone.push(record);
    }

    fn note_marks(&mut self, marks: &Marks, place: Place) {
        let everything = self.everything;
        self.by_mark.extend(marks.others().filter(|mark| *mark != everything).map(|mark| (mark, place)));
    }

    fn forget_marks(&mut self, marks: &Marks, place: Place) {
        for mark in marks.others() {
            self.by_mark.remove(&(mark, place));
        }
    }
}

fn own_of<V>(table: &Table<V>, place: Place) -> Mark {
    table.record(place).map_or(Mark::from_bits(0), |record| record.marks.own())
}

impl<V> fmt::Debug for Ledger<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (entries, bytes) = (self.entries(), self.bytes);
        f.debug_struct("Ledger").field("entries", &entries).field("bytes", &bytes).finish_non_exhaustive()
    }
}

/// The room that an entry needs.
#[derive(Clone, Copy)]
struct Need<'a> {
    key: &'a Key,
    /// One more place, or none.
    places: usize,
    /// What the entry weighed before, and weighs now.
    before: u64,
    weight: u64,
}
