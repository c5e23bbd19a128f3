//! A value is written to its origin and put into the cache, and not before both is done it counts as written.
//!
//! Choose it where whoever writes, or whoever hears that it was written, must read what was written. Leave it where the
//! origin is changed by others who do not tell: what they write is seen only when an entry expires. And leave it where
//! writes are many and only the last one counts: [`WriteBehind`](super::WriteBehind) spares the origin those.
//!
//! The origin comes first. Where it was not written, nothing changes; where nobody knows, the key is invalidated for every
//! process, and so it is where whoever waits for the write gives up. Puts of one key are carried out one after another,
//! so that origin and cache end with the same value, in this process. Two processes that write one key at once may end
//! with different ones where their writes and their announcements go in opposite order: whoever hears of the other in time
//! keeps nothing, and what remains is a value of the second tier that is wrong until it expires. Keys that more than one
//! process writes are better invalidated than published.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mesh_cache::pattern::{Sink, WriteError, WriteThrough};
//! use mesh_cache::{Cache, Found, Key, Version};
//!
//! struct Table;
//!
//! impl Sink<String> for Table {
//!     async fn write(&self, key: &Key, value: &String) -> Result<Version, WriteError> {
//!         if value.is_empty() {
//!             return Err(WriteError::refused(format!("{key} must not be empty")));
//!         }
//!         // Here the row is written; its revision is the version.
//!         Ok(Version { epoch: 0, index: 41 })
//!     }
//!
//!     async fn remove(&self, _: &Key) -> Result<(), WriteError> {
//!         Ok(())
//!     }
//! }
//!
//! let through = WriteThrough::new(Cache::builder().build()?, Table);
//! let key = Key::new("settings/theme")?;
//! through.put(&key, Found::new("dark".to_owned())).await?;
//! let hit = through.cache().get("settings/theme").ok_or("it was put")?;
//! assert_eq!((hit.value().map(String::as_str), hit.version().index), (Some("dark"), 41));
//! assert!(through.put(&key, Found::new(String::new())).await.is_err());
//! assert!(through.cache().get("settings/theme").is_some(), "nothing was changed");
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::FixedState;
use tokio::sync::{Mutex, MutexGuard};

use super::{Sink, WriteError};
use crate::cache::{Cache, Found, Held};
use crate::entry::Version;
use crate::error::NotTold;
use crate::key::{Key, Scope};

/// A cache whose values are written to their origin first. Cloning it shares it.
pub struct WriteThrough<V, S> {
    cache: Cache<V>,
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    sink: S,
    turns: Turns,
}

/// Why a value was not written, or what is left to be done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The origin was not changed, and nothing else was.
    #[error("nothing was changed")]
    NotWritten(#[source] WriteError),
    /// The origin may have been changed; the key was invalidated for every process.
    #[error("the origin may have been changed; the key is invalidated")]
    Unknown(#[source] WriteError),
    /// The origin was changed and this process knows; others may go on with what they have until they can be told.
    #[error("written; others may not know yet")]
    NotTold(#[from] NotTold),
}

impl<V: Send + Sync + 'static, S: Sink<V>> WriteThrough<V, S> {
    /// Writes to `sink` what is put into `cache`.
    pub fn new(cache: Cache<V>, sink: S) -> Self {
        let turns = Turns::new(cache.inner.environment.entropy.next_u64());
        Self { cache, inner: Arc::new(Inner { sink, turns }) }
    }

    /// The cache, to be read.
    #[must_use]
    pub const fn cache(&self) -> &Cache<V> {
        &self.cache
    }

    /// Writes a value to the origin, then into the cache and the second tier, and tells other processes. Where the origin
    /// tells a version, that is its version.
    ///
    /// # Errors
    /// What was changed all the same, if anything was.
    pub async fn put(&self, key: &Key, found: Found<V>) -> Result<(), PutError> {
        let _turn = self.inner.turns.of(key).await;
        // What others change from now on, before the origin is written, this value may be older than.
        let held = Held::begin(&self.cache.inner);
        let doubt = Doubt { cache: &self.cache, key, is_resolved: false };
        let version = match self.inner.sink.write(key, &found.value).await {
            Ok(version) => version,
            Err(error) => return Err(doubt.settle(error).await),
        };
        let found = if version == Version::NONE { found } else { found.version(version) };
        let told = self.cache.publish_since(held, key, found).await;
        doubt.resolve();
        told.map(|_| ()).map_err(PutError::from)
    }

    /// Takes the value of `key` away from the origin, and invalidates it for every process.
    ///
    /// # Errors
    /// What was changed all the same, if anything was.
    pub async fn remove(&self, key: &Key) -> Result<(), PutError> {
        let _turn = self.inner.turns.of(key).await;
        let doubt = Doubt { cache: &self.cache, key, is_resolved: false };
        if let Err(error) = self.inner.sink.remove(key).await {
            return Err(doubt.settle(error).await);
        }
        let told = self.cache.invalidate(&Scope::Key(key.clone())).await;
        doubt.resolve();
        told.map(|_| ()).map_err(PutError::from)
    }
}

impl<V, S> Clone for WriteThrough<V, S> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), inner: Arc::clone(&self.inner) }
    }
}

impl<V, S> fmt::Debug for WriteThrough<V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteThrough").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// A write of which nobody knows yet how it ends. Dropped like that, because whoever waited gave up or the sink
/// panicked, it leaves nothing in any cache that may be wrong.
struct Doubt<'a, V: Send + Sync + 'static> {
    cache: &'a Cache<V>,
    key: &'a Key,
    is_resolved: bool,
}

impl<V: Send + Sync + 'static> Doubt<'_, V> {
    fn resolve(mut self) {
        self.is_resolved = true;
    }

    /// Does what is to be done when a write failed with `error`.
    async fn settle(self, error: WriteError) -> PutError {
        if !error.may_have_changed() {
            self.resolve();
            return PutError::NotWritten(error);
        }
        // Whom it cannot be told now, it is told later.
        let _ = self.cache.invalidate(&Scope::Key(self.key.clone())).await;
        self.resolve();
        PutError::Unknown(error)
    }
}

impl<V: Send + Sync + 'static> Drop for Doubt<'_, V> {
    fn drop(&mut self) {
        if !self.is_resolved {
            self.cache.doubt(self.key);
        }
    }
}

/// Lets one put of a key happen at a time, in the order in which they came. Two keys may share a turn: there are only so
/// many, whatever keys there are.
struct Turns {
    turns: Box<[Mutex<()>]>,
    hasher: FixedState,
}

impl Turns {
    fn new(seed: u64) -> Self {
        Self { turns: (0..COUNT).map(|_| Mutex::new(())).collect(), hasher: FixedState::with_seed(seed) }
    }

    async fn of(&self, key: &Key) -> MutexGuard<'_, ()> {
        let at = self.hasher.hash_one(key.as_str()) as usize % COUNT;
        // The index is below the length.
        self.turns[at].lock().await
    }
}

/// Of 16 puts at once a given one shares its turn with a probability of 1.5 %.
const COUNT: usize = 1_024;
