//! What a cache counts.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

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
    served: [Stripe; STRIPES],
    pub(crate) misses: AtomicU64,
    pub(crate) joined: AtomicU64,
    pub(crate) loads: AtomicU64,
    pub(crate) tier_hits: AtomicU64,
    pub(crate) tier_errors: AtomicU64,
    pub(crate) tier_refused: AtomicU64,
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
    pub(crate) fn served(&self, freshness: Freshness, is_absent: bool) {
        let Stripe([fresh, unheard, stale, stale_on_error, absent]) = &self.served[STRIPE.with(|stripe| *stripe)];
        count(match freshness {
            Freshness::Fresh => fresh,
            Freshness::Unheard => unheard,
            Freshness::Stale => stale,
            Freshness::StaleOnError => stale_on_error,
        });
        if is_absent {
            count(absent);
        }
    }

    pub(crate) fn stats(&self, fill: Fill) -> CacheStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut served = [0_u64; 5];
        for Stripe(stripe) in &self.served {
            served.iter_mut().zip(stripe).for_each(|(sum, counter)| *sum += read(counter));
        }
        let [fresh, unheard, stale, stale_on_error, absent] = served;
        CacheStats {
            fresh,
            unheard,
            stale,
            stale_on_error,
            absent,
            misses: read(&self.misses),
            joined: read(&self.joined),
            loads: read(&self.loads),
            tier_hits: read(&self.tier_hits),
            tier_errors: read(&self.tier_errors),
            tier_refused: read(&self.tier_refused),
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

/// What some threads were served, on cache lines of their own: hits must not make readers share one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; 5]);

thread_local! {
    static STRIPE: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % STRIPES
    };
}

const STRIPES: usize = 16;

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
