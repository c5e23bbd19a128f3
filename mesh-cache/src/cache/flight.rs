//! One load a key, on a task that belongs to the cache.
//!
//! Whoever misses first begins the load and waits like everybody after: when a caller loses patience, is cancelled or
//! drops its future, the load goes on for the others. A load that was overtaken by a change is begun anew, so whoever
//! waits, since before the change or after it, is served what was read after it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_core::port::BoxFuture;
use tokio::sync::watch;

use super::Inner;
use super::held::Held;
use super::pass::{Pass, unkept};
use super::stats::count;
use super::tiered::Seen;
use super::value::{Cached, Loaded};
use crate::entry::{Fresh, Freshness};
use crate::error::LoadError;
use crate::failure::Failures;
use crate::key::Key;
use crate::local::Kept;

/// What everybody who waits for a load gets.
pub(crate) type Served<V> = Result<Cached<V>, LoadError>;

/// How a load ended.
#[derive(Debug)]
pub(crate) struct Outcome<V> {
    served: Served<V>,
    /// Up to which generation nothing had overtaken it. Between this moment and that at which those who wait are told,
    /// others may still join.
    good_until: u64,
}

/// Where the outcome is waited for.
pub(crate) type Landing<V> = watch::Receiver<Option<Outcome<V>>>;

/// Loads the value of one key from its origin; called again when what it read changed meanwhile.
pub(crate) type BoxedLoader<V> = Box<dyn FnMut() -> BoxFuture<'static, Result<Loaded<V>, LoadError>> + Send>;

impl<V> Outcome<V> {
    /// What no change makes wrong: an error, or what is not said to be true.
    const fn of(served: Served<V>) -> Self {
        Self { served, good_until: u64::MAX }
    }
}

/// Waits for a load that was joined at the generation `since` or before. `None` is that something changed after the
/// load had read its origin and before it was joined: its value is not for who joined.
pub(crate) async fn landed<V>(mut landing: Landing<V>, since: u64) -> Option<Served<V>> {
    match landing.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(outcome)) if outcome.good_until < since => None,
        Ok(Some(outcome)) => Some(outcome.served.clone()),
        Ok(None) | Err(_) => Some(Err(LoadError::ShutDown)),
    }
}

/// The loads under way, and the keys that are left alone.
#[derive(Debug)]
pub(super) struct Flights<V> {
    state: Mutex<State<V>>,
}

#[derive(Debug)]
struct State<V> {
    by_key: BTreeMap<Key, Landing<V>>,
    failures: Failures,
    is_shut_down: bool,
}

/// What a caller who needs a load is told.
pub(super) enum Boarding<V: Send + Sync + 'static> {
    /// One is under way.
    Join(Landing<V>),
    /// It is to be begun, by this flight.
    Lead(Box<Flight<V>>, Landing<V>),
    /// The key is left alone.
    Refused(LoadError),
}

impl<V> Flights<V> {
    pub(super) const fn new(failures: Failures) -> Self {
        Self { state: Mutex::new(State { by_key: BTreeMap::new(), failures, is_shut_down: false }) }
    }

    /// From now on nothing is loaded.
    pub(super) fn shut_down(&self) {
        self.state().is_shut_down = true;
    }

    /// What happened to the key makes what it failed at worth another try.
    pub(super) fn forgive(&self, key: &Key) {
        self.state().failures.forget(key);
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// Finds the load of `key`, or begins one.
    pub(super) fn board(self: &Arc<Self>, key: &Key) -> Boarding<V> {
        let now = self.now();
        let mut state = self.flights.state();
        if state.is_shut_down {
            return Boarding::Refused(LoadError::ShutDown);
        }
        if let Some(landing) = state.by_key.get(key) {
            return Boarding::Join(landing.clone());
        }
        if let Some(error) = state.failures.check(key, now) {
            return Boarding::Refused(error);
        }
        let (sender, landing) = watch::channel(None);
        state.by_key.insert(key.clone(), landing.clone());
        let flight = Flight { inner: Arc::clone(self), key: key.clone(), sender, pass: None };
        Boarding::Lead(Box::new(flight), landing)
    }
}

/// A load under way. However it ends, those who wait are told.
pub(super) struct Flight<V: Send + Sync + 'static> {
    inner: Arc<Inner<V>>,
    key: Key,
    sender: watch::Sender<Option<Outcome<V>>>,
    /// What the second tier has for the case that the origin fails, hangs or panics.
    pass: Option<Pass<V>>,
}

impl<V: Send + Sync + 'static> Flight<V> {
    /// Loads, keeps, and tells. Its own deadline is the only one.
    pub(super) async fn run(mut self: Box<Self>, mut loader: BoxedLoader<V>) {
        let deadline = self.inner.config.load_deadline;
        count(&self.inner.counters.loads);
        let loaded = tokio::time::timeout(deadline, self.inner.load(&self.key, &mut loader, &mut self.pass)).await;
        let loaded = loaded.unwrap_or(Err(LoadError::TimedOut(deadline)));
        let pass = self.pass.take();
        let (outcome, to_share) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => (self.inner.fall_back(&self.key, error, pass), None),
        };
        self.land(outcome);
        // Nobody waits for it to be shared.
        if let Some(ToShare { fresh, begun_micros }) = to_share {
            self.inner.share(&self.key, &fresh, begun_micros).await;
        }
    }

    fn land(&self, outcome: Outcome<V>) {
        // Out of the map first: whoever comes now finds what was kept, or begins anew.
        self.inner.flights.state().by_key.remove(&self.key);
        self.sender.send_replace(Some(outcome));
    }
}

impl<V: Send + Sync + 'static> Drop for Flight<V> {
    /// The task panicked or was aborted.
    fn drop(&mut self) {
        if self.sender.borrow().is_some() {
            return;
        }
        let error = if std::thread::panicking() { LoadError::Panicked } else { LoadError::ShutDown };
        let pass = self.pass.take();
        let outcome = self.inner.fall_back(&self.key, error, pass);
        self.land(outcome);
    }
}

impl<V: Send + Sync + 'static> Inner<V> {
    /// Loads the value of `key` until what was read has not changed meanwhile. What it has for the case that the origin
    /// fails is in `pass`, so that it is not lost with the load when that is dropped.
    async fn load(
        self: &Arc<Self>,
        key: &Key,
        loader: &mut BoxedLoader<V>,
        pass: &mut Option<Pass<V>>,
    ) -> Result<(Outcome<V>, Option<ToShare<V>>), LoadError> {
        let Ok(_turn) = self.turns.acquire().await else { return Err(LoadError::ShutDown) };
        let mut tries_left = self.config.overtaken_max;
        loop {
            let Brought { fresh, kept, good_until, begun_micros } = self.load_once(key, loader, pass).await?;
            if let Some(cached) = self.landed(kept) {
                let to_share = begun_micros.map(|begun_micros| ToShare { fresh, begun_micros });
                return Ok((Outcome { served: Ok(cached), good_until }, to_share));
            }
            count(&self.counters.overtaken);
            if tries_left == 0 {
                return Ok((Outcome::of(Ok(unkept(fresh, Freshness::Stale))), None));
            }
            tries_left -= 1;
        }
    }

    /// Reads the second tier, then the origin, and keeps what is good.
    async fn load_once(
        self: &Arc<Self>,
        key: &Key,
        loader: &mut BoxedLoader<V>,
        pass: &mut Option<Pass<V>>,
    ) -> Result<Brought<V>, LoadError> {
        let mut held = Held::begin(self);
        let looked = self.look(key).await;
        if let Some(seen) = looked.good {
            count(&self.counters.tier_hits);
            return Ok(self.settle(&mut held, key, seen));
        }
        let pass = pass.insert(Pass { held, dating: looked.dating, fallback: looked.fallback });
        let asked_at = self.now();
        let loaded = loader().await?;
        let at = self.now();
        let mut fresh = self.describe(key, loaded, at.since(asked_at));
        fresh.claim = self.claim(&fresh, pass.dating.as_ref()).await;
        self.flights.forgive(key);
        // What is there may stay, where it is a newer version.
        self.local.set_failed(key, false);
        let brought = self.settle(&mut pass.held, key, Seen { fresh, at });
        Ok(Brought { begun_micros: pass.to_share_from(&brought.kept), ..brought })
    }

    fn settle(&self, held: &mut Held<V>, key: &Key, seen: Seen<V>) -> Brought<V> {
        let good_until = self.local.generation();
        let Seen { fresh, at } = seen;
        let kept = held.settle(key, fresh.clone(), at);
        Brought { fresh, kept, good_until, begun_micros: None }
    }

    /// Notes that the load of `key` failed.
    fn failed(&self, key: &Key, error: LoadError) {
        self.counters.load_errors.fetch_add(1, Ordering::Relaxed);
        self.local.set_failed(key, true);
        // No lock is held while the clock is read, which is its owner's code.
        let now = self.now();
        self.flights.state().failures.note(key, now, error);
    }

    /// What is served when the load of `key` failed: what the second tier has or what is there, if it may be.
    fn fall_back(&self, key: &Key, error: LoadError, pass: Option<Pass<V>>) -> Outcome<V> {
        self.failed(key, error.clone());
        let good_until = self.local.generation();
        let served = match pass {
            Some(pass) => self.stand_in(key, pass),
            None => self.fallback(key),
        };
        match served {
            Some(cached) => Outcome { served: Ok(cached), good_until },
            None => Outcome::of(Err(error)),
        }
    }
}

/// What one pass brought.
struct Brought<V> {
    fresh: Fresh<V>,
    kept: Kept<V>,
    /// The generation before it was kept.
    good_until: u64,
    /// The second tier's time before the origin was read, where others may have what it said.
    begun_micros: Option<u64>,
}

/// What other processes may have.
struct ToShare<V> {
    fresh: Fresh<V>,
    begun_micros: u64,
}

/// Boxes a caller's loader, its error made one that all who wait can share.
pub(crate) fn boxed<V, F, Fut, L, E>(mut load: F) -> BoxedLoader<V>
where
    F: FnMut() -> Fut + Send + 'static,
    Fut: Future<Output = Result<L, E>> + Send + 'static,
    L: Into<Loaded<V>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Box::new(move || {
        let loading = load();
        Box::pin(async move {
            let loaded = loading.await;
            loaded.map(Into::into).map_err(|error| LoadError::Failed(crate::error::OriginError::new(error)))
        })
    })
}
