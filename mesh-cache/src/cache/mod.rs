//! The cache as its callers use it.

mod builder;
mod dating;
mod flight;
mod hearing;
mod held;
mod pass;
mod quarantine;
mod stats;
mod stripes;
mod tasks;
mod tiered;
mod untold;
mod value;
mod weight;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_core::rng::mix;
use mesh_core::time::Instant;
use tokio::sync::Semaphore;

pub use builder::CacheBuilder;
use dating::before;
use flight::{Boarding, Flights};
pub(crate) use flight::{BoxedLoader, Landing, Served, boxed, landed};
pub(crate) use held::Held;
pub(crate) use pass::Pass;
pub use stats::CacheStats;
use stats::Counters;
pub(crate) use stats::count;
use tasks::Tasks;
use tiered::Tiered;
pub(crate) use tiered::{Looked, Seen};
use untold::Untold;
pub use value::{Cached, Found, Hit, Loaded};

use crate::config::CacheConfig;
use crate::early::Early;
use crate::entry::{Epoch, Fresh, Freshness, Record, Source, State, Version};
use crate::env::Environment;
use crate::error::{LoadError, NotTold};
use crate::key::{Key, Mark, Scope};
use crate::local::{Kept, Local};

/// A cache of values of one type, in this process and, where it is given one, in a second tier that others share.
///
/// Cloning it shares it. Its tasks end with [`Cache::shut_down`], or when the last clone is dropped.
pub struct Cache<V> {
    pub(crate) inner: Arc<Inner<V>>,
    tasks: Arc<Tasks>,
}

pub(crate) struct Inner<V> {
    pub(crate) local: Local<V>,
    pub(crate) config: CacheConfig,
    pub(crate) environment: Environment,
    flights: Flights<V>,
    turns: Semaphore,
    tiered: Option<Tiered<V>>,
    untold: Untold,
    weigh: Weigher<V>,
    pub(crate) counters: Counters,
    early: Early,
    random: AtomicU64,
}

/// Says what a value weighs, in bytes.
type Weigher<V> = Box<dyn Fn(&Key, &V) -> u64 + Send + Sync>;

impl<V: Send + Sync + 'static> Cache<V> {
    /// Begins a cache; what is left out is a cache in this process with the default numbers.
    pub fn builder() -> CacheBuilder<V> {
        CacheBuilder::default()
    }

    /// What is kept under `key`, if it may be served as it is; nothing is loaded. Takes no lock, allocates nothing and
    /// clones nothing.
    ///
    /// Past its time an entry is served from here only while it is [stale](crate::Lifetimes::stale), or after the load
    /// that was to renew it failed.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Hit<V>> {
        self.get_at(key, self.inner.now())
    }

    /// As [`Cache::get`], for a caller who has the time, by the cache's clock, already.
    #[must_use]
    pub fn get_at(&self, key: &str, now: Instant) -> Option<Hit<V>> {
        let inner = &*self.inner;
        inner.counters.asked();
        let Some((record, State::Serve(freshness))) = inner.local.read(key, now) else {
            inner.counters.missed();
            return None;
        };
        inner.counters.served(freshness, record.value.is_none());
        Some(Hit { record, freshness, now })
    }

    /// What is kept under `key`, or what `load` brings.
    ///
    /// Many who ask at once wait for one load, which belongs to the cache: it goes on when its first caller is
    /// cancelled. An entry past its time is served at once and renewed meanwhile; how long one is served is what its
    /// [lifetimes](crate::Lifetimes) say. `load` may be called more than once, when what it read changed meanwhile.
    ///
    /// # Errors
    /// Why there is nothing to serve. A failed load is not tried again at once: until then this is its error.
    pub async fn get_or_load<F, Fut, L, E>(&self, key: &Key, load: F) -> Result<Cached<V>, LoadError>
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.get_by(key, || boxed(load)).await
    }

    /// As [`Cache::get_or_load`], with a loader that is made only when it is needed.
    pub(crate) async fn get_by(&self, key: &Key, loader: impl FnOnce() -> BoxedLoader<V>) -> Served<V> {
        let inner = &self.inner;
        loop {
            let now = inner.now();
            inner.counters.asked();
            if let Some((record, State::Serve(freshness))) = inner.local.read(key.as_str(), now) {
                inner.counters.served(freshness, record.value.is_none());
                let cached = Cached::of(&record, freshness, now);
                if inner.is_to_be_renewed(&record, freshness, now) {
                    drop(record);
                    self.renew_by(key, loader);
                }
                return Ok(cached);
            }
            inner.counters.missed();
            match inner.board(key) {
                Boarding::Join(landing) => {
                    count(&inner.counters.joined);
                    if let Some(served) = landed(landing, inner.local.generation()).await {
                        return served;
                    }
                }
                Boarding::Lead(flight, landing) => {
                    self.tasks.spawn(flight.run(loader()));
                    return landed(landing, 0).await.unwrap_or(Err(LoadError::ShutDown));
                }
                Boarding::Refused(error) => {
                    count(&inner.counters.backed_off);
                    return inner.fallback(key).ok_or(error);
                }
            }
        }
    }

    /// Begins to renew the entry of `key`, unless somebody does already or it is left alone after a failure.
    pub fn renew<F, Fut, L, E>(&self, key: &Key, load: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.renew_by(key, || boxed(load));
    }

    /// As [`Cache::renew`]; returns where the end of the load that is under way then can be waited for.
    pub(crate) fn renew_by(&self, key: &Key, loader: impl FnOnce() -> BoxedLoader<V>) -> Option<Landing<V>> {
        match self.inner.board(key) {
            Boarding::Lead(flight, landing) => {
                self.tasks.spawn(flight.run(loader()));
                Some(landing)
            }
            Boarding::Join(landing) => Some(landing),
            Boarding::Refused(_) => None,
        }
    }

    /// Keeps what its owner knows to be true now, for this process only. Loads of the key that are under way are
    /// overtaken. Returns whether it is kept: not where a newer version is, there is no room, or it is past its time.
    pub fn insert(&self, key: &Key, value: impl Into<Loaded<V>>) -> bool {
        let inner = &self.inner;
        let fresh = inner.fresh(key, value.into(), Source::Inserted, None);
        inner.flights.forgive(key);
        match inner.local.insert(key, fresh, inner.now(), inner.random()) {
            Kept::Stored(_) => true,
            Kept::Older(_) => {
                count(&inner.counters.older);
                false
            }
            Kept::Refused(_) | Kept::Overtaken => {
                count(&inner.counters.refused);
                false
            }
            Kept::Spent(_) => false,
        }
    }

    /// As [`Cache::insert`], and for every process: what others have of the key is invalidated, and the second tier
    /// keeps the value. It is not kept, either, where others invalidate it meanwhile.
    ///
    /// # Errors
    /// That others may not have been told; in this process it is done.
    pub async fn publish(&self, key: &Key, found: Found<V>) -> Result<bool, NotTold> {
        let held = Held::begin(&self.inner);
        self.publish_since(held, key, found).await
    }

    /// As [`Cache::publish`], of a value that is known to be true since `held` was begun, as far as nothing changed.
    pub(crate) async fn publish_since(&self, mut held: Held<V>, key: &Key, found: Found<V>) -> Result<bool, NotTold> {
        let inner = &self.inner;
        let asked_at = inner.now();
        let told = inner.tell(&Scope::Key(key.clone())).await;
        let fresh = inner.fresh(key, Loaded::Found(found), Source::Inserted, None);
        let fresh = Fresh { transit: inner.now().since(asked_at), ..fresh };
        inner.flights.forgive(key);
        let kept = held.insert(key, fresh.clone());
        let is_kept = match kept {
            Kept::Stored(_) => true,
            // For want of room: others may have some.
            Kept::Refused(_) => false,
            Kept::Older(_) | Kept::Overtaken | Kept::Spent(_) => return told.map(|_| false),
        };
        if let Some(watermark) = told? {
            inner.share(key, &fresh, watermark.saturating_add(1)).await;
        }
        Ok(is_kept)
    }

    /// Keeps what its owner knows to be true now, here and in the second tier, and tells nobody that anything changed:
    /// for what many processes learn from one origin. Of several the one that was true last stays. Returns whether it
    /// is kept here.
    pub async fn offer(&self, key: &Key, found: Found<V>) -> bool {
        let inner = &self.inner;
        let (mut held, asked_at) = (Held::begin(inner), inner.now());
        let dating = inner.date(key).await;
        let mut fresh = inner.fresh(key, Loaded::Found(found), Source::Inserted, None);
        fresh.claim = inner.claim(&fresh, dating.as_ref()).await;
        let now = inner.now();
        let transit = now.since(asked_at);
        let begun_micros = dating.as_ref().map(|dating| dating.begun_micros);
        if let Some(begun_micros) = begun_micros.filter(|_| fresh.version == Version::NONE) {
            fresh.version = Version { epoch: OFFERED, index: before(begun_micros, fresh.age.saturating_add(transit)) };
        }
        inner.flights.forgive(key);
        let kept = held.settle(key, Fresh { transit, ..fresh.clone() }, now);
        let pass = Pass { held, dating, fallback: None };
        if let Some(begun_micros) = pass.to_share_from(&kept) {
            // It was known before the tier was asked.
            inner.share(key, &Fresh { age: fresh.age.saturating_add(transit), ..fresh }, begun_micros).await;
        }
        matches!(kept, Kept::Stored(_))
    }

    /// Invalidates a scope for every process, and returns how many entries went in this one.
    ///
    /// When it returns, nothing that was read before it was called is served as fresh here, whatever loads were under
    /// way; and the second tier believes nothing that was read before.
    ///
    /// # Errors
    /// That others may not have been told; in this process it is done. They are told as soon as that can be done.
    pub async fn invalidate(&self, scope: &Scope) -> Result<u64, NotTold> {
        let gone = self.invalidate_here(scope);
        let told = self.inner.tell(scope).await;
        // What was loaded in between may have been read before the others were told.
        let gone = gone + self.inner.invalidate(scope.mark());
        told.map(|_| gone)
    }

    /// Invalidates a scope in this process only, and returns how many entries went.
    pub fn invalidate_here(&self, scope: &Scope) -> u64 {
        if let Scope::Key(key) = scope {
            self.inner.flights.forgive(key);
        }
        self.inner.invalidate(scope.mark())
    }

    /// Whether something is kept under `key` that may be served as it is.
    pub(crate) fn serves(&self, key: &Key) -> bool {
        matches!(self.inner.local.read(key.as_str(), self.inner.now()), Some((_, State::Serve(_))))
    }

    /// What is kept of `key` may be wrong everywhere: it goes here at once, and others are told as soon as can be.
    pub(crate) fn doubt(&self, key: &Key) {
        let scope = Scope::Key(key.clone());
        self.invalidate_here(&scope);
        if self.inner.tiered.is_some() {
            drop(self.inner.untold.begin(scope.mark(), scope.reach()));
        }
    }

    /// Whether invalidations by other processes are heard; also where there are no other processes to hear.
    #[must_use]
    pub fn is_hearing(&self) -> bool {
        self.inner.local.heard() != Epoch::DEAF
    }

    /// What it did, and how full it is.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.inner.counters.stats(self.inner.local.fill())
    }

    /// Ends its tasks, loads under way included, and waits until they have ended. Entries are served on as they are.
    pub async fn shut_down(&self) {
        self.inner.flights.shut_down();
        self.tasks.shut_down().await;
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    fn now(&self) -> Instant {
        self.environment.clock.now()
    }

    /// A random word; no system call.
    fn random(&self) -> u64 {
        mix(self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed))
    }

    fn weigh(&self, key: &Key, value: Option<&V>) -> u64 {
        let value = value.map_or(0, |value| (self.weigh)(key, value));
        value.saturating_add(key.as_str().len() as u64).saturating_add(ENTRY_BYTES)
    }

    /// What a record is worth now, to one for whom a load was made or failed.
    fn worth(&self, record: &Record<V>) -> Freshness {
        match record.state(self.now(), self.local.heard()) {
            State::Serve(freshness) => freshness,
            State::Fallback | State::Dead => Freshness::Stale,
        }
    }

    fn is_to_be_renewed(&self, record: &Record<V>, freshness: Freshness, now: Instant) -> bool {
        match freshness {
            Freshness::Fresh => {
                record.value.is_some() && self.early.is_due(now, record.fresh_until, record.load_time, || self.random())
            }
            Freshness::Unheard => now.since(record.stored_at) >= self.config.unheard_renewal,
            Freshness::Stale | Freshness::StaleOnError => true,
        }
    }

    fn invalidate(&self, mark: Mark) -> u64 {
        let gone = self.local.invalidate(mark, self.now());
        count(&self.counters.invalidations);
        self.counters.invalidated.fetch_add(gone, Ordering::Relaxed);
        gone
    }

    /// Tells the second tier that a scope changed, and returns its watermark, if there is a second tier.
    async fn tell(&self, scope: &Scope) -> Result<Option<u64>, NotTold> {
        let Some(tiered) = &self.tiered else { return Ok(None) };
        let telling = self.untold.begin(scope.mark(), scope.reach());
        match tiered.tier.invalidate(scope.mark().within(tiered.space), scope.reach()).await {
            Ok(watermark) => {
                telling.heard();
                Ok(Some(watermark))
            }
            Err(source) => {
                self.unanswered(&source);
                Err(NotTold { source })
            }
        }
    }
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), tasks: Arc::clone(&self.tasks) }
    }
}

impl<V> fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("fill", &self.inner.local.fill()).finish_non_exhaustive()
    }
}

/// The count in which versions of what was offered stand: the tier's time, in microseconds.
const OFFERED: u64 = u64::MAX;

/// What an entry takes besides its key and its value: its record, its place in the table, and its part of the books; as
/// the bench `cache` measures it on x86-64.
const ENTRY_BYTES: u64 = 480;
