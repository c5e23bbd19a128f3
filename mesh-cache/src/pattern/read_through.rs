//! The cache reads the origin, on behalf of whoever asks for a key.
//!
//! Choose it first: many who miss at once wait for one load, a load that fails leaves what was there, and no caller can
//! put anything into the cache that was out of date before it came. Leave it where the value of a key is not known from
//! the key alone, or comes as a by-product of something else: then [`CacheAside`](super::CacheAside) is for it. It says
//! nothing about writing: whoever changes the origin [invalidates](ReadThrough::invalidate) afterwards, or writes by a
//! [`WriteThrough`](super::WriteThrough) over the same cache.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mesh_cache::pattern::ReadThrough;
//! use mesh_cache::{Cache, Found, Key, Scope, Tag};
//!
//! let cache = Cache::builder().build()?;
//! let users = ReadThrough::new(cache, |key: Key| async move {
//!     // Here the database is asked.
//!     let name = format!("the user of {key}");
//!     Ok::<_, std::io::Error>(Found::new(name).tag(Tag::new("users").expect("a tag")))
//! });
//!
//! let key = Key::new("users/7")?;
//! assert_eq!(users.get(&key).await?.value.as_deref().map(String::as_str), Some("the user of users/7"));
//! // After the table has changed:
//! users.invalidate(&Scope::Tag(Tag::new("users")?)).await?;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::sync::Arc;

use super::{Loader, load};
use crate::cache::{Cache, Cached};
use crate::error::{LoadError, NotTold};
use crate::key::{Key, Scope};

/// A cache that reads its origin itself. Cloning it shares it.
pub struct ReadThrough<V, L> {
    cache: Cache<V>,
    loader: Arc<L>,
}

impl<V: Send + Sync + 'static, L: Loader<V>> ReadThrough<V, L> {
    /// Reads through `cache` what `loader` loads.
    pub fn new(cache: Cache<V>, loader: L) -> Self {
        Self { cache, loader: Arc::new(loader) }
    }

    /// The cache.
    #[must_use]
    pub const fn cache(&self) -> &Cache<V> {
        &self.cache
    }

    /// What is kept under `key`, or what the origin has: see [`Cache::get_or_load`].
    ///
    /// # Errors
    /// Why there is nothing to serve. A failed load is not tried again at once: until then this is its error.
    pub async fn get(&self, key: &Key) -> Result<Cached<V>, LoadError> {
        self.cache.get_by(key, || load(&self.loader, key)).await
    }

    /// The values of `keys` in their order. What is missing is loaded side by side, as far as
    /// [`loads_max`](crate::CacheConfig::loads_max) lets it.
    pub async fn get_many(&self, keys: &[Key]) -> Vec<Result<Cached<V>, LoadError>> {
        for key in keys.iter().filter(|key| !self.cache.serves(key)) {
            self.renew(key);
        }
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            found.push(self.get(key).await);
        }
        found
    }

    /// Begins to renew the entry of `key`, unless somebody does already or it is left alone after a failure.
    pub fn renew(&self, key: &Key) {
        self.cache.renew_by(key, || load(&self.loader, key));
    }

    /// Invalidates a scope for every process: see [`Cache::invalidate`].
    ///
    /// # Errors
    /// That others may not have been told yet; in this process it is done.
    pub async fn invalidate(&self, scope: &Scope) -> Result<u64, NotTold> {
        self.cache.invalidate(scope).await
    }

    /// What loads.
    pub(super) fn loader(&self) -> &Arc<L> {
        &self.loader
    }
}

impl<V, L> Clone for ReadThrough<V, L> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), loader: Arc::clone(&self.loader) }
    }
}

impl<V, L> fmt::Debug for ReadThrough<V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadThrough").field("cache", &self.cache).finish_non_exhaustive()
    }
}
