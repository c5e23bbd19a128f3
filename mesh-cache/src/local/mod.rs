//! The first tier: entries in this process, with time passed in.
//!
//! Decides what is kept, for how long, and what has to go; and refuses what was read before something changed. It never
//! loads anything, reads no clock and holds no lock while anybody waits. Everything here is synchronous, so that the
//! interleavings of a load, the news of a change and a broken connection can be explored one by one
//! (`tests/interleavings*.rs`).

mod chunk;
mod ledger;
mod table;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::Guard;
use mesh_core::time::Instant;

use ledger::Ledger;
use table::Table;

use crate::entry::{Claim, Epoch, Fresh, Record, Source, Stamp, State};
use crate::fence::Begun;
use crate::key::{Key, Mark};
use crate::lifetimes::Lifetimes;

/// What the first tier may hold. Both caps hold at every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) entries_max: usize,
    pub(crate) bytes_max: u64,
    /// What an entry weighs at least.
    pub(crate) weight_min: u64,
}

impl Caps {
    /// How many entries there can be at all.
    fn entries(&self) -> usize {
        let by_bytes = self.bytes_max / self.weight_min.max(1);
        self.entries_max.min(usize::try_from(by_bytes).unwrap_or(usize::MAX))
    }
}

/// What had to go, and for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evictions {
    pub(crate) for_entries: u64,
    pub(crate) for_bytes: u64,
    /// Of both, how many were past serving anyway.
    pub(crate) of_dead: u64,
}

/// How full the first tier is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
    pub(crate) generation: u64,
    pub(crate) evictions: Evictions,
}

/// A load under way: from before its first read until it is settled.
#[derive(Debug)]
#[must_use = "a ticket that is not given back makes the fence remember for ever"]
pub(crate) struct Ticket {
    begun: Begun,
    epoch: Epoch,
}

/// What became of what a load brought, or of what was inserted.
#[derive(Debug)]
pub(crate) enum Kept<V> {
    /// It is kept.
    Stored(Arc<Record<V>>),
    /// It is not: something that it is in changed after it may have been read.
    Overtaken,
    /// It is not: a newer version is here already, or what must not give way to it, which is this.
    Older(Arc<Record<V>>),
    /// It is not, as it would have been: there is no room.
    Refused(Arc<Record<V>>),
    /// It is not, as it would have been: it is past its time already.
    Spent(Arc<Record<V>>),
}

/// The entries of this process.
#[derive(Debug)]
pub(crate) struct Local<V> {
    table: Table<V>,
    ledger: Mutex<Ledger<V>>,
    /// The connection over which invalidations are heard.
    heard: AtomicU64,
    caps: Caps,
    lifetimes: Lifetimes,
}

impl<V> Local<V> {
    /// `heard` is the connection that is heard at first.
    pub(crate) fn new(caps: Caps, lifetimes: Lifetimes, heard: Epoch, seed: u64) -> Self {
        Self {
            table: Table::new(caps.entries(), seed),
            ledger: Mutex::new(Ledger::new(JOURNAL_MAX)),
            heard: AtomicU64::new(heard.0),
            caps,
            lifetimes,
        }
    }

    /// What is kept under `key`, and what it is worth. Takes no lock and allocates nothing.
    pub(crate) fn read(&self, key: &str, now: Instant) -> Option<(Guard<Arc<Record<V>>>, State)> {
        let record = self.table.read(key)?;
        let state = record.state(now, self.heard());
        (state != State::Dead).then_some((record, state))
    }

    /// Invalidations are heard over the connection `epoch` from now on, or not any more. What was loaded over another is
    /// not called fresh until it is renewed, which costs nothing now, however much there is.
    pub(crate) fn hear(&self, epoch: Epoch) {
        self.heard.store(epoch.0, Ordering::Release);
    }

    pub(crate) fn heard(&self) -> Epoch {
        Epoch(self.heard.load(Ordering::Acquire))
    }

    /// A load begins: to be called before its first read.
    pub(crate) fn begin(&self) -> Ticket {
        let mut ledger = self.ledger();
        Ticket { epoch: self.heard(), begun: ledger.fence.begin() }
    }

    /// A load brought `fresh`, which is kept unless it may be out of date.
    pub(crate) fn settle(&self, ticket: Ticket, key: &Key, fresh: Fresh<V>, now: Instant, entropy: u64) -> Kept<V> {
        self.change(fresh, |ledger, fresh| {
            let admitted = ledger.fence.admits(&ticket.begun, &fresh.marks);
            ledger.fence.end(ticket.begun);
            if !admitted {
                return Kept::Overtaken;
            }
            self.store(ledger, key, fresh, now, ticket.epoch, entropy)
        })
    }

    /// A load ends without anything to keep.
    pub(crate) fn abandon(&self, ticket: Ticket) {
        self.ledger().fence.end(ticket.begun);
    }

    /// Keeps what its owner knows to be true now. Loads of the key that are under way are overtaken.
    pub(crate) fn insert(&self, key: &Key, fresh: Fresh<V>, now: Instant, entropy: u64) -> Kept<V> {
        self.change(fresh, |ledger, fresh| {
            ledger.fence.invalidate(fresh.marks.own());
            self.store(ledger, key, fresh, now, self.heard(), entropy)
        })
    }

    /// As [`Local::insert`], of what its owner knew to be true when `ticket` was taken. What changed since leaves nothing
    /// under the key: neither the value nor what was there before it.
    pub(crate) fn insert_since(
        &self,
        ticket: Ticket,
        key: &Key,
        fresh: Fresh<V>,
        now: Instant,
        entropy: u64,
    ) -> Kept<V> {
        self.change(fresh, |ledger, fresh| {
            let admitted = ledger.fence.admits(&ticket.begun, &fresh.marks);
            ledger.fence.end(ticket.begun);
            ledger.fence.invalidate(fresh.marks.own());
            if !admitted {
                ledger.remove_key(&self.table, key);
                return Kept::Overtaken;
            }
            self.store(ledger, key, fresh, now, ticket.epoch, entropy)
        })
    }

    /// Takes away whatever has `mark`, and overtakes the loads under way that may bring it back.
    pub(crate) fn invalidate(&self, mark: Mark, now: Instant) -> u64 {
        self.change((), |ledger, ()| {
            ledger.history.note(mark, now);
            // The fence first: between the two a load could settle.
            ledger.fence.invalidate(mark);
            ledger.remove_marked(&self.table, mark)
        })
    }

    /// Overtakes the loads under way that may bring something which has `mark`, and leaves what is here.
    pub(crate) fn overtake(&self, mark: Mark) {
        self.ledger().fence.invalidate(mark);
    }

    /// Notes whether the entry of `key` could be renewed.
    pub(crate) fn set_failed(&self, key: &Key, failed: bool) {
        if let Some((_, record)) = self.table.find(key.as_str()) {
            record.set_failed(failed);
        }
    }

    /// How many loads are under way.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> u32 {
        self.ledger().fence.under_way()
    }

    /// How many invalidations there have been.
    pub(crate) fn generation(&self) -> u64 {
        self.ledger().fence.generation()
    }

    pub(crate) fn fill(&self) -> Fill {
        let ledger = self.ledger();
        Fill {
            entries: ledger.entries(),
            bytes: ledger.bytes(),
            generation: ledger.fence.generation(),
            evictions: ledger.evictions,
        }
    }

    fn store(
        &self,
        ledger: &mut Ledger<V>,
        key: &Key,
        mut fresh: Fresh<V>,
        now: Instant,
        epoch: Epoch,
        entropy: u64,
    ) -> Kept<V> {
        if !fresh.age.is_zero() && fresh.source != Source::SecondTier {
            // What was true before its load began, the fence knows nothing of; the second tier has its watermarks.
            let as_of = now - fresh.age - fresh.transit;
            let is_current = ledger.history.admits(as_of, &fresh.marks);
            fresh.claim = if is_current { fresh.claim } else { Claim::Outdated };
        }
        if let Some(present) = self.present(key, now)
            && !present.gives_way_to(&fresh, now)
        {
            return Kept::Older(present);
        }
        ledger.stored = ledger.stored.saturating_add(1);
        let stamp = Stamp { now, epoch, generation: ledger.stored, entropy };
        let (own, stands_in) = (fresh.lifetimes.clone(), fresh.claim.stands_in());
        let record = Record::new(key.clone(), fresh, own.as_deref().unwrap_or(&self.lifetimes), stamp);
        let record = Arc::new(record);
        let kept = if record.dead_at <= now {
            Kept::Spent(record)
        } else {
            match ledger.store(&self.table, &self.caps, key, Arc::clone(&record), now) {
                Ok(()) => return Kept::Stored(record),
                Err(ledger::NoRoom) => Kept::Refused(record),
            }
        };
        // What was there is out of date, unless the origin only fails to say so.
        if !stands_in {
            ledger.remove_key(&self.table, key);
        }
        kept
    }

    /// What is kept under `key` and could still be served.
    fn present(&self, key: &Key, now: Instant) -> Option<Arc<Record<V>>> {
        let (_, record) = self.table.find(key.as_str())?;
        (record.state(now, self.heard()) != State::Dead).then(|| Arc::clone(&record))
    }

    /// Changes the books with `input`. What is not kept of it, and what goes for it, is dropped once the lock is open.
    fn change<T: Clone, R>(&self, input: T, change: impl FnOnce(&mut Ledger<V>, T) -> R) -> R {
        // The values of both share a count, so this one is the last.
        let kept_alive = input.clone();
        let mut ledger = self.ledger();
        let changed = change(&mut ledger, input);
        let gone = ledger.take_gone();
        drop(ledger);
        drop((gone, kept_alive));
        changed
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<V>> {
        // Nothing that holds the lock runs a caller's code, or can leave it half-changed.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many invalidations are told apart: during one load, and since what an origin knew for a while was true.
const JOURNAL_MAX: usize = 4_096;
