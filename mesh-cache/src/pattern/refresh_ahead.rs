//! The cache renews what it has before it expires, so that nobody waits for it.
//!
//! Choose it where a miss is too slow for whoever comes first, and the keys that matter are known: a configuration, the
//! lists of the services that are called all day. Leave it where keys are many and few are read twice: each is renewed for
//! nobody. Entries that are read often need none of it either way: of a fresh entry that is about to turn stale a read
//! begins the renewal, by the rule of XFetch ([`early_beta`](crate::CacheConfig::early_beta)), here as in every cache.
//!
//! What is kept warm is renewed in the last fifth of its time, each key at a moment of its own choosing, whether it is read
//! or not, and so many at a time at most. What cannot be renewed is served on as stale, and tried again.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use mesh_cache::pattern::{RefreshAhead, RefreshAheadConfig};
//! use mesh_cache::{Cache, Found, Key};
//!
//! let lists = RefreshAhead::new(
//!     Cache::<String>::builder().build()?,
//!     |key: Key| async move { Ok::<_, std::io::Error>(Found::new(format!("the instances of {key}"))) },
//!     RefreshAheadConfig::default(),
//! )?;
//! let key = Key::new("discovery/dc1/api")?;
//! lists.keep_warm([key.clone()])?;
//! // Sooner or later it is there without having been asked for; until then it is loaded as ever.
//! assert!(lists.get(&key).await?.value.is_some());
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::service::ConfigError;
use mesh_core::time::Instant;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Loader, Owned, ReadThrough, load, sleep_until};
use crate::cache::{Cache, Cached, landed};
use crate::error::{LoadError, NotTold};
use crate::key::{Key, Scope};

/// A cache that reads its origin itself, some keys ahead of time. Cloning it shares it; its task ends with the last clone.
pub struct RefreshAhead<V, L> {
    through: ReadThrough<V, L>,
    warm: Arc<Warm>,
    _task: Arc<Owned>,
}

/// How much is kept warm.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RefreshAheadConfig {
    /// How many keys may be kept warm; 1,024.
    pub keys_max: NonZeroU32,
    /// How many of them are renewed at a time; 8.
    pub renewals_max: NonZeroU32,
}

impl Default for RefreshAheadConfig {
    fn default() -> Self {
        Self { keys_max: NonZeroU32::MIN.saturating_add(1_023), renewals_max: NonZeroU32::MIN.saturating_add(7) }
    }
}

/// So many keys may not be kept warm. None of them was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most {0} keys are kept warm; none was added")]
pub struct TooManyKeys(pub NonZeroU32);

impl<V: Send + Sync + 'static, L: Loader<V>> RefreshAhead<V, L> {
    /// Reads through `cache` what `loader` loads. It has to be called on the runtime that its task is to run on.
    ///
    /// # Errors
    /// That the entries of `cache` live too short to be renewed ahead of time.
    pub fn new(cache: Cache<V>, loader: L, config: RefreshAheadConfig) -> Result<Self, ConfigError> {
        let fresh = cache.inner.config.lifetimes.fresh;
        if fresh < FRESH_MIN {
            return Err(ConfigError::new("fresh", format!("{fresh:?}"), "must be at least 100 ms to be kept warm"));
        }
        let through = ReadThrough::new(cache, loader);
        let warm = Arc::new(Warm::new(config));
        let task = tokio::spawn(keep_warm(through.clone(), Arc::clone(&warm)));
        Ok(Self { through, warm, _task: Arc::new(Owned(task)) })
    }

    /// The cache.
    #[must_use]
    pub const fn cache(&self) -> &Cache<V> {
        self.through.cache()
    }

    /// What is kept under `key`, or what the origin has: see [`ReadThrough::get`].
    ///
    /// # Errors
    /// Why there is nothing to serve.
    pub async fn get(&self, key: &Key) -> Result<Cached<V>, LoadError> {
        self.through.get(key).await
    }

    /// The values of `keys` in their order: see [`ReadThrough::get_many`].
    pub async fn get_many(&self, keys: &[Key]) -> Vec<Result<Cached<V>, LoadError>> {
        self.through.get_many(keys).await
    }

    /// Invalidates a scope for every process. What is kept warm of it is loaded again within a twentieth of its time,
    /// whoever invalidates it.
    ///
    /// # Errors
    /// That others may not have been told yet; in this process it is done.
    pub async fn invalidate(&self, scope: &Scope) -> Result<u64, NotTold> {
        self.through.invalidate(scope).await
    }

    /// Keeps `keys` warm from now on, whether they are read or not; what is missing of them is loaded.
    ///
    /// # Errors
    /// That they are too many. None was added.
    pub fn keep_warm(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), TooManyKeys> {
        self.warm.add(keys)
    }

    /// Keeps `key` warm no longer. What is there stays until it expires.
    pub fn let_cool(&self, key: &Key) {
        self.warm.remove(key);
    }

    /// How many keys are kept warm.
    #[must_use]
    pub fn warm_keys(&self) -> usize {
        self.warm.state().keys.len()
    }
}

impl<V, L> Clone for RefreshAhead<V, L> {
    fn clone(&self) -> Self {
        Self { through: self.through.clone(), warm: Arc::clone(&self.warm), _task: Arc::clone(&self._task) }
    }
}

impl<V, L> fmt::Debug for RefreshAhead<V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshAhead").field("through", &self.through).field("warm", &self.warm).finish()
    }
}

/// The keys that are kept warm, and when each is looked after.
#[derive(Debug)]
struct Warm {
    config: RefreshAheadConfig,
    state: Mutex<WarmState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct WarmState {
    keys: BTreeMap<Key, Plan>,
    by_due: BTreeSet<(Instant, Key)>,
}

/// When a key is looked after, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Plan {
    due: Instant,
    /// When the entry of a generation is renewed.
    renewal: Option<(u64, Instant)>,
}

impl Warm {
    fn new(config: RefreshAheadConfig) -> Self {
        Self { config, state: Mutex::default(), changed: Notify::new() }
    }

    fn add(&self, keys: impl IntoIterator<Item = Key>) -> Result<(), TooManyKeys> {
        let keys_max = self.config.keys_max.get() as usize;
        let mut state = self.state();
        let mut new = BTreeSet::new();
        for key in keys.into_iter().filter(|key| !state.keys.contains_key(key)) {
            new.insert(key);
            if state.keys.len() + new.len() > keys_max {
                return Err(TooManyKeys(self.config.keys_max));
            }
        }
        new.into_iter().for_each(|key| state.schedule(key, Plan::default()));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn remove(&self, key: &Key) {
        let mut state = self.state();
        if let Some(plan) = state.keys.remove(key) {
            state.by_due.remove(&(plan.due, key.clone()));
        }
    }

    fn first_due(&self) -> Option<Instant> {
        self.state().by_due.first().map(|(due, _)| *due)
    }

    /// The key that is to be looked after first, and how it was planned, if that is due at `now`.
    fn first(&self, now: Instant) -> Option<(Key, Plan)> {
        let state = self.state();
        let (due, key) = state.by_due.first().filter(|(due, _)| *due <= now)?;
        Some((key.clone(), state.keys.get(key).copied().unwrap_or(Plan { due: *due, renewal: None })))
    }

    /// Plans anew for `key`, if it is still kept warm.
    fn plan(&self, key: Key, plan: Plan) {
        let mut state = self.state();
        if state.keys.contains_key(&key) {
            state.schedule(key, plan);
        }
    }

    fn state(&self) -> MutexGuard<'_, WarmState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WarmState {
    fn schedule(&mut self, key: Key, plan: Plan) {
        if let Some(earlier) = self.keys.insert(key.clone(), plan) {
            self.by_due.remove(&(earlier.due, key.clone()));
        }
        self.by_due.insert((plan.due, key));
    }
}

/// Looks after the keys that are kept warm, for ever.
async fn keep_warm<V: Send + Sync + 'static, L: Loader<V>>(through: ReadThrough<V, L>, warm: Arc<Warm>) {
    let inner = Arc::clone(&through.cache().inner);
    let (clock, fresh) = (&inner.environment.clock, inner.config.lifetimes.fresh);
    let mut rng = Rng::from_seed(inner.environment.entropy.next_u64());
    let mut renewals = JoinSet::new();
    loop {
        let has_room = renewals.len() < warm.config.renewals_max.get() as usize;
        let due = warm.first_due().filter(|_| has_room);
        if due.is_none_or(|due| due > clock.now()) {
            tokio::select! {
                () = warm.changed.notified() => {}
                Some(_) = renewals.join_next() => {}
                () = sleep_until(&**clock, due) => {}
            }
            continue;
        }
        let now = clock.now();
        let Some((key, Plan { renewal, .. })) = warm.first(now) else { continue };
        let renewal = inner.local.read(key.as_str(), now).map(|(record, _)| {
            // In the last fifth of its time but for the last tenth, each at a moment of its own, which is drawn once.
            let tenth = record.fresh_until.since(record.stored_at) / 10;
            renewal
                .filter(|(generation, _)| *generation == record.generation)
                .unwrap_or_else(|| (record.generation, record.fresh_until - tenth - rng.up_to(tenth)))
        });
        let look_again = now + fresh / LOOKS;
        match renewal {
            Some((_, at)) if at > now => warm.plan(key, Plan { due: at.min(look_again), renewal }),
            Some(_) | None => {
                if let Some(landing) = through.cache().renew_by(&key, || load(through.loader(), &key)) {
                    renewals.spawn(async move {
                        let _ = landed(landing, 0).await;
                    });
                }
                warm.plan(key, Plan { due: look_again, renewal });
            }
        }
    }
}

/// How often in its time an entry is looked after that could not be renewed.
const LOOKS: u32 = 20;

/// Below that, timers that tick in milliseconds are too coarse.
const FRESH_MIN: Duration = Duration::from_millis(100);
