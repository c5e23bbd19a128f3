//! What a cache counts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::stripes::{Read, Stripes};
use crate::entry::Freshness;
use crate::local::Fill;

/// What a cache did since it was made, and how full it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Reads served fresh.
    pub fresh: u64,
    /// Reads served within their time, but without hearing of invalidations.
    pub unheard: u64,
    /// Reads served stale while the entry was renewed.
    pub stale: u64,
    /// Reads served stale because the entry could not be renewed.
    pub stale_on_error: u64,
    /// Of all those, how many were told that the origin has no value.
    pub absent: u64,
    /// Reads that found nothing to serve.
    pub misses: u64,
    /// Reads that waited for a load that was under way.
    pub joined: u64,
    /// Loads that were begun.
    pub loads: u64,
    /// Loads that found an entry of the second tier to be good.
    pub tier_hits: u64,
    /// Times that the second tier did not do what it was told to.
    pub tier_errors: u64,
    /// Entries of the second tier that were thrown away as damaged, foreign or forged.
    pub tier_refused: u64,
    /// Loads that left an entry of the second tier alone because it had been thrown away a while ago.
    pub tier_quarantined: u64,
    /// Loads that failed.
    pub load_errors: u64,
    /// Reads that found the key left alone after a failure, and nothing to serve.
    pub backed_off: u64,
    /// Loads whose result was not kept because what they read changed meanwhile.
    pub overtaken: u64,
    /// Values that were not kept because a newer version was there.
    pub older: u64,
    /// Values that were not kept for want of room.
    pub refused: u64,
    /// Scopes that were invalidated, by this process or another.
    pub invalidations: u64,
    /// Entries that went because they were invalidated.
    pub invalidated: u64,
    /// Times that invalidations could not be heard any more.
    pub deafened: u64,
    /// Entries that went to make room for others: for their number, and for their weight.
    pub evicted: u64,
    /// Entries there are.
    pub entries: u64,
    /// What they weigh together.
    pub bytes: u64,
}

/// The counters behind [`CacheStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    reads: Stripes,
    fresh_shown: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) tier_hits: AtomicU64,
    pub(crate) tier_errors: AtomicU64,
    pub(crate) tier_refused: AtomicU64,
    pub(crate) tier_quarantined: AtomicU64,
    pub(crate) load_errors: AtomicU64,
    pub(crate) backed_off: AtomicU64,
    pub(crate) overtaken: AtomicU64,
    pub(crate) older: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) invalidations: AtomicU64,
    pub(crate) invalidated: AtomicU64,
    pub(crate) deafened: AtomicU64,
}

impl Counters {
    /// A read begins. Counted before anything is known of it, while the processor waits for the entry; what came of it is
    /// counted where it is not the most likely.
    #[inline]
    pub(crate) fn asked(&self) {
        self.reads.count(Read::Asked);
    }

    /// It was served.
    #[inline]
    pub(crate) fn served(&self, freshness: Freshness, is_absent: bool) {
        match freshness {
            Freshness::Fresh => {}
            Freshness::Unheard => self.reads.count(Read::Unheard),
            Freshness::Stale => self.reads.count(Read::Stale),
            Freshness::StaleOnError => self.reads.count(Read::StaleOnError),
        }
        if is_absent {
            self.reads.count(Read::Absent);
        }
    }

    /// It found nothing to serve.
    #[inline]
    pub(crate) fn missed(&self) {
        self.reads.count(Read::Missed);
    }

    pub(crate) fn stats(&self, fill: Fill) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let asked = self.reads.sum(Read::Asked);
        let [unheard, stale, stale_on_error, misses] =
            [Read::Unheard, Read::Stale, Read::StaleOnError, Read::Missed].map(|read| self.reads.sum(read));
        let fresh = asked.saturating_sub(unheard + stale + stale_on_error + misses);
        // One that is under way counts as fresh; what it turns out to be must not make the count go back.
        let fresh = self.fresh_shown.fetch_max(fresh, Ordering::Relaxed).max(fresh);
        CacheStats {
            fresh,
            unheard,
            stale,
            stale_on_error,
            absent: self.reads.sum(Read::Absent),
            misses,
            joined: read(&self.joined),
            loads: read(&self.loads),
            tier_hits: read(&self.tier_hits),
            tier_errors: read(&self.tier_errors),
            tier_refused: read(&self.tier_refused),
            tier_quarantined: read(&self.tier_quarantined),
            load_errors: read(&self.load_errors),
            backed_off: read(&self.backed_off),
            overtaken: read(&self.overtaken),
            older: read(&self.older),
            refused: read(&self.refused),
            invalidations: read(&self.invalidations),
            invalidated: read(&self.invalidated),
            deafened: read(&self.deafened),
            evicted: fill.evictions.for_entries + fill.evictions.for_bytes,
            entries: fill.entries as u64,
            bytes: fill.bytes,
        }
    }
}

/// Counts one of what is rare.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
