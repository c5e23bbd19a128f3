//! The caller reads the origin, and fills the cache with what it found.
//!
//! Choose it where reading does not fit into one function of the key: where a value comes with others, in a transaction,
//! or from a stream. Leave it otherwise: of a hundred callers who miss at once a hundred read the origin, and each has to
//! begin before it reads, as [`ReadThrough`](super::ReadThrough) does by itself.
//!
//! The usual mistake is made impossible: whoever reads the origin and *then* fills the cache may fill it with what
//! somebody invalidated in between, and there it stays. Here a miss hands out a [`Filling`], which was begun before the
//! caller's first read, and which the cache refuses where the key, a branch or a tag of it changed since.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mesh_cache::pattern::{Aside, CacheAside};
//! use mesh_cache::{Cache, Found, Key, Scope};
//!
//! let aside = CacheAside::new(Cache::<String>::builder().build()?);
//! let key = Key::new("orders/7")?;
//! let order = match aside.look(&key).await {
//!     Aside::Hit(cached) => cached,
//!     Aside::Miss(filling) => {
//!         let order = "read from the database after the look".to_owned();
//!         filling.fill(Found::new(order)).await?
//!     }
//! };
//! assert!(order.value.is_some());
//!
//! // What somebody changes meanwhile is not overwritten by what was read before.
//! let other = Key::new("orders/8")?;
//! let Aside::Miss(filling) = aside.look(&other).await else { return Err("it was there".into()) };
//! aside.cache().invalidate(&Scope::Key(other.clone())).await?;
//! assert!(filling.fill(Found::new("read before".to_owned())).await.is_err());
//! # Ok(())
//! # }
//! ```

use std::fmt;

use mesh_core::time::Instant;

use crate::cache::{Cache, Cached, Held, Loaded, Looked, Pass, Seen, count};
use crate::key::Key;

/// A cache that its callers fill. Cloning it shares it.
pub struct CacheAside<V> {
    cache: Cache<V>,
}

/// What a look came to.
#[derive(Debug)]
#[must_use = "a miss is to be filled"]
pub enum Aside<V: Send + Sync + 'static> {
    /// It is there, and can be served as it says. A stale one is nobody else's to renew: see [`CacheAside::begin`].
    Hit(Cached<V>),
    /// It is not there: read the origin, and fill it in.
    Miss(Filling<V>),
}

impl<V: Send + Sync + 'static> CacheAside<V> {
    /// Fills `cache` by hand.
    #[must_use]
    pub const fn new(cache: Cache<V>) -> Self {
        Self { cache }
    }

    /// The cache.
    #[must_use]
    pub const fn cache(&self) -> &Cache<V> {
        &self.cache
    }

    /// What is kept under `key` in this process or in the second tier, or the place where it is to be filled in.
    pub async fn look(&self, key: &Key) -> Aside<V> {
        match self.cache.get(key.as_str()) {
            Some(hit) => Aside::Hit(hit.to_cached()),
            None => self.begin(key).await,
        }
    }

    /// Begins to fill `key`, whether there is something or not. It is a hit only where another process has put into the
    /// second tier what is better than what is here.
    pub async fn begin(&self, key: &Key) -> Aside<V> {
        let inner = &self.cache.inner;
        let pass = loop {
            let mut held = Held::begin(inner);
            let Looked { dating, good, fallback } = inner.look(key).await;
            let Some(Seen { fresh: good, at }) = good else { break Pass { held, dating, fallback } };
            count(&inner.counters.tier_hits);
            let kept = held.settle(key, good, at);
            match inner.landed(kept) {
                Some(cached) => return Aside::Hit(cached),
                // Something changed while the answer was on its way: the next one knows of it.
                None => count(&inner.counters.overtaken),
            }
        };
        let began_at = inner.environment.clock.now();
        Aside::Miss(Filling { cache: self.cache.clone(), key: key.clone(), began_at, pass })
    }
}

impl<V> Clone for CacheAside<V> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone() }
    }
}

impl<V> fmt::Debug for CacheAside<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheAside").field("cache", &self.cache).finish()
    }
}

/// The place of a value that is to be read from the origin now. Dropped, it is given back.
#[must_use = "read the origin, and fill it in"]
pub struct Filling<V: Send + Sync + 'static> {
    cache: Cache<V>,
    key: Key,
    began_at: Instant,
    pass: Pass<V>,
}

impl<V: Send + Sync + 'static> Filling<V> {
    /// The key that is to be filled.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Keeps what was read, and shares it with other processes. Returns what is there then: that, or a newer version.
    ///
    /// # Errors
    /// That it may be out of date. Nothing was kept.
    pub async fn fill(self, loaded: impl Into<Loaded<V>>) -> Result<Cached<V>, Overtaken> {
        let Self { cache, key, began_at, mut pass } = self;
        let inner = &cache.inner;
        let now = inner.environment.clock.now();
        let took = now.since(began_at);
        let mut fresh = inner.describe(&key, loaded.into(), took);
        fresh.claim = inner.claim(&fresh, pass.dating.as_ref()).await;
        inner.local.set_failed(&key, false);
        let kept = pass.held.settle(&key, fresh.clone(), now);
        let to_share = pass.to_share_from(&kept);
        let Some(cached) = inner.landed(kept) else {
            count(&inner.counters.overtaken);
            return Err(Overtaken);
        };
        if let Some(begun_micros) = to_share {
            inner.share(&key, &fresh, begun_micros).await;
        }
        Ok(cached)
    }

    /// Gives up, because the origin failed. Returns what may be served in its place, if there is something; from now on
    /// that is served as stale because of an error.
    pub fn give_up(self) -> Option<Cached<V>> {
        let Self { cache, key, pass, .. } = self;
        cache.inner.local.set_failed(&key, true);
        cache.inner.stand_in(&key, pass)
    }
}

impl<V: Send + Sync + 'static> fmt::Debug for Filling<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling").field("key", &self.key).field("began_at", &self.began_at).finish_non_exhaustive()
    }
}

/// What was read may be out of date: something that it is in was invalidated after the filling began. Nothing was kept;
/// whoever wants to fill it looks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was read was invalidated meanwhile, and not kept")]
pub struct Overtaken;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Found;

    #[tokio::test]
    async fn a_filling_is_given_back_however_it_ends() {
        let aside = CacheAside::new(Cache::<u64>::builder().build().unwrap());
        let key = Key::new("k").unwrap();
        let miss = async || match aside.begin(&key).await {
            Aside::Miss(filling) => filling,
            Aside::Hit(_) => panic!("nothing is shared"),
        };
        let fillings = [miss().await, miss().await, miss().await];
        assert_eq!(aside.cache.inner.local.under_way(), 3);
        let [dropped, given_up, filled] = fillings;
        drop(dropped);
        given_up.give_up();
        filled.fill(Found::new(1)).await.unwrap();
        assert_eq!(aside.cache.inner.local.under_way(), 0);
    }
}
