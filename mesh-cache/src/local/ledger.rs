//! What writers know of the entries: their order, their weight, what they are marked with. Behind one lock, which no
//! reader takes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use mesh_core::time::Instant;

use super::table::{Slot, Table};
use super::{Caps, Evictions};
use crate::entry::Record;
use crate::fence::Fence;
use crate::key::{Key, Mark, Marks};
use crate::sieve::{Fate, Sieve};

/// The books of the first tier.
pub(super) struct Ledger<V> {
    slots: Vec<Option<Arc<Slot<V>>>>,
    free: Vec<u32>,
    order: Sieve,
    by_mark: BTreeSet<(Mark, u32)>,
    bytes: u64,
    /// What went, to be dropped once the lock is open: values are their owners' code then.
    gone: Vec<Gone<V>>,
    /// Counts what was stored, for [`Record::generation`].
    pub(super) stored: u64,
    pub(super) fence: Fence,
    pub(super) evictions: Evictions,
}

/// What is not kept any more.
pub(super) enum Gone<V> {
    Record(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Record<V>>),
    Slot(#[expect(dead_code, reason = "it is there to be dropped")] Arc<Slot<V>>),
}

/// An entry was not kept: it weighs more than all may together, or nothing may go for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl<V> Ledger<V> {
    pub(super) fn new(journal_max: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            order: Sieve::default(),
            by_mark: BTreeSet::new(),
            bytes: 0,
            gone: Vec::new(),
            stored: 0,
            fence: Fence::new(journal_max),
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
    /// caps hold at every moment.
    pub(super) fn store(
        &mut self,
        table: &Table<V>,
        caps: &Caps,
        key: &Key,
        record: Record<V>,
        now: Instant,
    ) -> Result<(), NoRoom> {
        if record.weight > caps.bytes_max {
            self.remove_key(table, key);
            return Err(NoRoom);
        }
        let present = table.slot(key.as_str());
        let (before, slots) = present.as_ref().map_or((0, 1), |slot| (slot.record().weight, 0));
        if let Err(refused) = self.make_room(table, caps, Need { key, slots, before, weight: record.weight }, now) {
            self.remove_key(table, key);
            return Err(refused);
        }
        self.bytes = self.bytes - before + record.weight;
        match present {
            Some(slot) => {
                let earlier = Arc::clone(&slot.record().marks);
                if earlier != record.marks {
                    self.forget_marks(&earlier, slot.number());
                    self.note_marks(&record.marks, slot.number());
                }
                self.gone.push(Gone::Record(slot.replace(record)));
            }
            None => {
                let number = self.free.pop().unwrap_or(self.slots.len() as u32);
                self.note_marks(&record.marks, number);
                let slot = table.add(key.clone(), number, record);
                match self.slots.get_mut(number as usize) {
                    Some(vacant) => *vacant = Some(slot),
                    None => self.slots.push(Some(slot)),
                }
                self.order.push(number);
            }
        }
        Ok(())
    }

    /// Takes away every entry that has `mark`, and returns how many there were.
    pub(super) fn remove_marked(&mut self, table: &Table<V>, mark: Mark) -> u64 {
        let range = (mark, 0)..=(mark, u32::MAX);
        let numbers: Vec<u32> = self.by_mark.range(range).map(|(_, number)| *number).collect();
        numbers.iter().for_each(|number| self.remove(table, *number));
        numbers.len() as u64
    }

    /// Takes away what is there under `key`.
    pub(super) fn remove_key(&mut self, table: &Table<V>, key: &Key) {
        if let Some(slot) = table.slot(key.as_str()) {
            self.remove(table, slot.number());
        }
    }

    /// What went since it was asked last, to be dropped without the lock.
    pub(super) fn take_gone(&mut self) -> Vec<Gone<V>> {
        std::mem::take(&mut self.gone)
    }

    fn make_room(&mut self, table: &Table<V>, caps: &Caps, need: Need<'_>, now: Instant) -> Result<(), NoRoom> {
        while self.entries() + need.slots > caps.entries_max {
            let victim = self.victim(need.key, now, false).ok_or(NoRoom)?;
            self.evict(table, victim, now);
            self.evictions.for_entries += 1;
        }
        while self.bytes - need.before + need.weight > caps.bytes_max {
            let victim = self.victim(need.key, now, false).or_else(|| self.victim(need.key, now, true));
            self.evict(table, victim.ok_or(NoRoom)?, now);
            self.evictions.for_bytes += 1;
        }
        Ok(())
    }

    /// Who goes. What cannot be had again, because its origin fails, goes only `at_any_price`.
    fn victim(&mut self, but: &Key, now: Instant, at_any_price: bool) -> Option<u32> {
        let Self { slots, order, .. } = self;
        order.choose(|number| match slots.get(number as usize).and_then(Option::as_ref) {
            Some(slot) if slot.key() == but => Fate::Spare,
            Some(slot) if !at_any_price && slot.record().is_irreplaceable(now) => Fate::Spare,
            Some(slot) if slot.record().dead_at > now && slot.take_read() => Fate::Spare,
            Some(_) | None => Fate::Take,
        })
    }

    fn evict(&mut self, table: &Table<V>, number: u32, now: Instant) {
        let slot = self.slots.get(number as usize).and_then(Option::as_ref);
        if slot.is_some_and(|slot| slot.record().dead_at <= now) {
            self.evictions.of_dead += 1;
        }
        self.remove(table, number);
    }

    fn remove(&mut self, table: &Table<V>, number: u32) {
        let Some(slot) = self.slots.get_mut(number as usize).and_then(Option::take) else { return };
        table.remove(&slot);
        self.order.remove(number);
        self.free.push(number);
        let (weight, marks) = {
            let record = slot.record();
            (record.weight, Arc::clone(&record.marks))
        };
        self.bytes -= weight;
        self.forget_marks(&marks, number);
        self.gone.push(Gone::Slot(slot));
    }

    fn note_marks(&mut self, marks: &Marks, number: u32) {
        self.by_mark.extend(marks.all().iter().map(|mark| (*mark, number)));
    }

    fn forget_marks(&mut self, marks: &Marks, number: u32) {
        for mark in marks.all() {
            self.by_mark.remove(&(*mark, number));
        }
    }
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
    slots: usize,
    /// What the entry weighed before, and weighs now.
    before: u64,
    weight: u64,
}
