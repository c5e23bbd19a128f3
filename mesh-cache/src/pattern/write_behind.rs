//! A value is in the cache at once, and at its origin a little later, together with others.
//!
//! Choose it where writes are many and of each key only the last one counts: positions, counters, votes, marks of health.
//! Leave it where a write that was acknowledged must not be lost: what is queued is lost with its process, and until it
//! is written nobody else sees it. Then [`WriteThrough`](super::WriteThrough) is for it.
//!
//! At most [`queue_max`](WriteBehindConfig::queue_max) keys wait. Of one key only the last value is written, when its first
//! one would have been; what a batch that fails has not written stays where it is, is tried again with growing waits, and
//! takes what newer values came meanwhile. When the queue is full a put fails at once and says that nothing was changed, or
//! [waits](WriteBehind::put_wait). Nothing is lost in silence: [`WriteBehind::shut_down`] names what it could not write.
//!
//! Until a value is written its origin has the one before it, so reads go through [`WriteBehind::get`] or
//! [`WriteBehind::get_or_load`]: an entry that expired or was evicted would be loaded as it was.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use mesh_cache::pattern::{Sink, WriteBehind, WriteBehindConfig, WriteError};
//! use mesh_cache::{Cache, Found, Key, Version};
//!
//! struct Positions;
//!
//! impl Sink<u64> for Positions {
//!     async fn write(&self, key: &Key, value: &u64) -> Result<Version, WriteError> {
//!         // Here it is written; `write_all` may be given a body too, where the origin takes many at once.
//!         println!("{key} is at {value}");
//!         Ok(Version::NONE)
//!     }
//!
//!     async fn remove(&self, _: &Key) -> Result<(), WriteError> {
//!         Ok(())
//!     }
//! }
//!
//! let behind = WriteBehind::new(Cache::builder().build()?, Positions, WriteBehindConfig::default())?;
//! let key = Key::new("positions/7")?;
//! for position in 0..100 {
//!     behind.put(&key, Found::new(position))?;
//! }
//! assert_eq!(behind.get(&key).ok_or("it was put")?.value.as_deref(), Some(&99));
//! behind.flush().await?;
//! assert_eq!(behind.stats().written, 1);
//! let flushed = behind.shut_down(Duration::from_secs(5)).await;
//! assert!(flushed.left.is_empty());
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_core::service::ConfigError;

use super::flusher::{Flusher, Shared};
use super::{Owned, Sink, WriteError, sleep_until};
use crate::cache::{Cache, Cached, Found, Loaded};
use crate::config::FailureBackoff;
use crate::entry::{Freshness, Source};
use crate::error::LoadError;
use crate::key::Key;

/// A cache whose values are written to their origin later. Cloning it shares it; with the last clone its task ends, and
/// what is queued is lost, which is logged: [shut it down](WriteBehind::shut_down) first.
pub struct WriteBehind<V: Send + Sync + 'static> {
    shared: Arc<Shared<V>>,
    owner: Arc<Owner<V>>,
}

/// The task, and the one who has to answer for what it leaves.
struct Owner<V: Send + Sync + 'static> {
    shared: Arc<Shared<V>>,
    task: Mutex<Option<Owned>>,
}

/// How values wait, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WriteBehindConfig {
    /// How long a value waits at most before it is tried to be written; 1 s.
    #[serde(with = "mesh_core::text::duration")]
    pub flush_interval: Duration,
    /// How many keys are written at once, and at how many no time is waited; 100.
    pub batch_max: NonZeroU32,
    /// How many keys may wait; 10,000.
    pub queue_max: NonZeroU32,
    /// How long the sink may write nothing of a batch before that counts as failed; 5 s. One that tells of no key before
    /// its last one is given half as many next time, and more again when there is time for them: so a single write has to
    /// fit, and a batch need not.
    #[serde(with = "mesh_core::text::duration")]
    pub write_deadline: Duration,
    /// How long nothing is tried after a failed batch; 100 ms doubling to 30 s, each drawn from zero to that. It begins
    /// anew with every key that is written.
    pub failure_backoff: FailureBackoff,
}

impl WriteBehindConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first that breaks its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.write_deadline.is_zero() {
            return Err(ConfigError::new("write_deadline", "0s", "must be longer than zero"));
        }
        if self.batch_max > self.queue_max {
            return Err(ConfigError::new("batch_max", self.batch_max, "must be at most queue_max"));
        }
        self.failure_backoff.validate("failure_backoff")
    }
}

impl Default for WriteBehindConfig {
    fn default() -> Self {
        Self {
            flush_interval: Duration::from_secs(1),
            batch_max: NonZeroU32::MIN.saturating_add(99),
            queue_max: NonZeroU32::MIN.saturating_add(9_999),
            write_deadline: Duration::from_secs(5),
            failure_backoff: FailureBackoff::default(),
        }
    }
}

/// Why a value was not queued. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotQueued {
    /// As many keys wait as may.
    #[error("{0} keys wait to be written, as many as may; nothing was changed")]
    Full(NonZeroU32),
    /// It was shut down.
    #[error("shut down; nothing was changed")]
    ShutDown,
}

/// Why something is still queued. It is still to be written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotFlushed {
    /// A batch failed; it will be tried again.
    #[error("a batch could not be written yet")]
    Failed(#[source] WriteError),
    /// It was shut down before all was written.
    #[error("shut down before all was written")]
    ShutDown,
}

/// What a shutdown came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// How many values were written since the shutdown began.
    pub written: u64,
    /// The keys of which something was not, in their order; those whose write was under way may have been.
    pub left: Vec<Key>,
}

/// What a [`WriteBehind`] did since it was made, and how much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteBehindStats {
    /// Values that were queued.
    pub puts: u64,
    /// Of those, how many took the place of one that waited.
    pub coalesced: u64,
    /// Puts for which there was no room.
    pub turned_away: u64,
    /// Values that were written.
    pub written: u64,
    /// Batches that failed.
    pub failures: u64,
    /// Values that the origin refused for good, and that were given up.
    pub refused: u64,
    /// Keys that wait now.
    pub queued: u64,
}

impl<V: Send + Sync + 'static> WriteBehind<V> {
    /// Writes to `sink` what is put into `cache`. It has to be called on the runtime that its task is to run on.
    ///
    /// # Errors
    /// Names the number that breaks its rule.
    pub fn new(cache: Cache<V>, sink: impl Sink<V>, config: WriteBehindConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let shared = Arc::new(Shared::new(cache, config));
        let task = tokio::spawn(Flusher::new(Arc::clone(&shared), sink).run());
        let owner = Owner { shared: Arc::clone(&shared), task: Mutex::new(Some(Owned(task))) };
        Ok(Self { shared, owner: Arc::new(owner) })
    }

    /// The cache. What is queued may be missing there: see [`WriteBehind::get`].
    #[must_use]
    pub fn cache(&self) -> &Cache<V> {
        &self.shared.cache
    }

    /// Queues a value, and puts it into the cache of this process. Others see it when it is written.
    ///
    /// # Errors
    /// That there is no room. Nothing was changed.
    pub fn put(&self, key: &Key, found: Found<V>) -> Result<(), NotQueued> {
        self.shared.queue(key, Some(found)).map_err(|(error, _)| error)
    }

    /// Queues that the value of `key` is to be taken away.
    ///
    /// # Errors
    /// That there is no room. Nothing was changed.
    pub fn remove(&self, key: &Key) -> Result<(), NotQueued> {
        self.shared.queue(key, None).map_err(|(error, _)| error)
    }

    /// As [`WriteBehind::put`]; waits until there is room. Dropped before that, it changed nothing.
    ///
    /// # Errors
    /// That it was shut down. Nothing was changed.
    pub async fn put_wait(&self, key: &Key, found: Found<V>) -> Result<(), NotQueued> {
        let mut found = Some(found);
        loop {
            let mut room = pin!(self.shared.room.notified());
            // From here on no news of room is missed.
            room.as_mut().enable();
            match self.shared.queue(key, found) {
                Err((NotQueued::Full(_), back)) => found = back,
                Err((NotQueued::ShutDown, _)) => return Err(NotQueued::ShutDown),
                Ok(()) => return Ok(()),
            }
            room.await;
        }
    }

    /// What is queued for `key`, or else what the cache has of it.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Cached<V>> {
        self.queued(key).or_else(|| self.shared.cache.get(key.as_str()).map(|hit| hit.to_cached()))
    }

    /// What is queued for `key`, or else what the cache has of it, or else what `load` brings: see
    /// [`Cache::get_or_load`].
    ///
    /// # Errors
    /// Why there is nothing to serve.
    pub async fn get_or_load<F, Fut, L, E>(&self, key: &Key, load: F) -> Result<Cached<V>, LoadError>
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
        L: Into<Loaded<V>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let loaded = match self.queued(key) {
            Some(queued) => return Ok(queued),
            None => self.shared.cache.get_or_load(key, load).await,
        };
        // What was put while it was loaded is newer.
        self.queued(key).map_or(loaded, Ok)
    }

    /// Writes what is queued now, at once. Returns when of every key that was, that value or a later one was written.
    ///
    /// # Errors
    /// That a batch failed. What is left is tried again, as if nobody had asked.
    pub async fn flush(&self) -> Result<(), NotFlushed> {
        let mut rounds = self.shared.rounds.subscribe();
        let puts = self.shared.hurry();
        while self.shared.owes(puts) {
            if self.shared.is_over() {
                return Err(NotFlushed::ShutDown);
            }
            if rounds.changed().await.is_err() {
                return Err(NotFlushed::ShutDown);
            }
            if let Some(error) = rounds.borrow_and_update().clone() {
                return Err(NotFlushed::Failed(error));
            }
        }
        Ok(())
    }

    /// Takes no more, writes what is queued as far as `deadline` allows, and ends. What could not be written is named; it
    /// can still be [got](WriteBehind::get), and what the cache had of it is invalidated for every process.
    pub async fn shut_down(&self, deadline: Duration) -> Flushed {
        let shared = &self.shared;
        let written_before = shared.counters.written.load(Ordering::Relaxed);
        let mut rounds = shared.rounds.subscribe();
        let clock = &shared.environment.clock;
        let due = clock.now() + deadline;
        shared.shut_down();
        while !shared.is_idle() {
            tokio::select! {
                biased;
                _ = rounds.changed() => {}
                () = sleep_until(&**clock, Some(due)) => break,
            }
        }
        let task = self.owner.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.end().await;
        }
        shared.end();
        let left = shared.left();
        for key in &left {
            shared.cache.doubt(key);
        }
        Flushed { written: shared.counters.written.load(Ordering::Relaxed) - written_before, left }
    }

    /// What it did, and how much waits.
    #[must_use]
    pub fn stats(&self) -> WriteBehindStats {
        self.shared.stats()
    }

    /// What is queued for `key`, as the cache would have it.
    fn queued(&self, key: &Key) -> Option<Cached<V>> {
        let (found, at) = self.shared.queued(key)?;
        let (value, version, age) = match found {
            Some(Found { value, version, age, .. }) => (Some(value), version, age),
            None => (None, crate::Version::NONE, Duration::ZERO),
        };
        let age = age.saturating_add(self.shared.environment.clock.now().since(at));
        Some(Cached { value, age, freshness: Freshness::Fresh, source: Source::Inserted, version, generation: 0 })
    }
}

impl<V: Send + Sync + 'static> Clone for WriteBehind<V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), owner: Arc::clone(&self.owner) }
    }
}

impl<V: Send + Sync + 'static> Drop for Owner<V> {
    fn drop(&mut self) {
        let left = self.shared.left();
        if let Some(first) = left.first().filter(|_| !self.shared.is_over()) {
            tracing::error!(count = left.len(), %first, "what waited to be written is lost: nobody shut it down");
        }
    }
}

impl<V: Send + Sync + 'static> fmt::Debug for WriteBehind<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteBehind").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The counters behind [`WriteBehindStats`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) puts: AtomicU64,
    pub(super) coalesced: AtomicU64,
    pub(super) turned_away: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) refused: AtomicU64,
}
