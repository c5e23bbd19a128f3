//! The task that writes what a [`WriteBehind`](super::WriteBehind) has queued, batch after batch.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_core::rng::Rng;
use mesh_core::time::Instant;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::queue::{Item, Queue};
use super::write_behind::{Counters, NotQueued, WriteBehindConfig, WriteBehindStats};
use super::{Change, Progress, Sink, WriteError, sleep_until};
use crate::cache::{Cache, Found, Held, Loaded};
use crate::entry::Version;
use crate::env::Environment;
use crate::key::{Key, Scope};

/// What the task and whoever puts share.
pub(super) struct Shared<V> {
    pub(super) cache: Cache<V>,
    pub(super) config: WriteBehindConfig,
    pub(super) environment: Environment,
    pub(super) counters: Counters,
    state: Mutex<State<V>>,
    /// Told when something became due earlier.
    wake: Notify,
    /// Told when there is room, or will never be.
    pub(super) room: Notify,
    /// Changes with the end of every batch: to why it failed, if it did.
    pub(super) rounds: watch::Sender<Option<WriteError>>,
}

struct State<V> {
    queue: Queue<V>,
    /// Nothing is queued any more.
    is_shut_down: bool,
    /// Nothing is written any more.
    is_over: bool,
}

impl<V: Send + Sync + 'static> Shared<V> {
    pub(super) fn new(cache: Cache<V>, config: WriteBehindConfig) -> Self {
        let queue = Queue::new(config.queue_max.get() as usize);
        Self {
            environment: cache.inner.environment.clone(),
            cache,
            config,
            counters: Counters::default(),
            state: Mutex::new(State { queue, is_shut_down: false, is_over: false }),
            wake: Notify::new(),
            room: Notify::new(),
            rounds: watch::Sender::new(None),
        }
    }

    /// Queues what is to be written of `key`, and shows it to whoever reads the cache.
    pub(super) fn queue(&self, key: &Key, found: Option<Found<V>>) -> Result<(), (NotQueued, Option<Found<V>>)> {
        let now = self.now();
        let mut state = self.state();
        if state.is_shut_down {
            return Err((NotQueued::ShutDown, found));
        }
        let put = state.queue.put(key, found, now);
        drop(state);
        match put {
            Ok(replaced) => {
                self.counters.puts.fetch_add(1, Ordering::Relaxed);
                self.counters.coalesced.fetch_add(u64::from(replaced.is_some()), Ordering::Relaxed);
            }
            Err(found) => {
                self.counters.turned_away.fetch_add(1, Ordering::Relaxed);
                return Err((NotQueued::Full(self.config.queue_max), found));
            }
        }
        self.wake.notify_one();
        self.show(key);
        Ok(())
    }

    /// Puts what is queued last for `key` into the cache of this process.
    fn show(&self, key: &Key) {
        let put_now = |shared: &Self| shared.state().queue.get(key).map(|entry| (entry.put, entry.found.clone()));
        let Some((mut shown, mut found)) = put_now(self) else { return };
        loop {
            self.cache.insert(key, found.map_or(Loaded::Absent, Loaded::Found));
            match put_now(self) {
                Some((put, _)) if put == shown => return,
                Some(later) => (shown, found) = later,
                None => {
                    // It was written meanwhile, and perhaps another after it: nobody knows which of them is here.
                    self.cache.invalidate_here(&Scope::Key(key.clone()));
                    return;
                }
            }
        }
    }

    /// What is queued for `key`, and since when.
    pub(super) fn queued(&self, key: &Key) -> Option<(Option<Found<V>>, Instant)> {
        self.state().queue.get(key).map(|entry| (entry.found.clone(), entry.at))
    }

    /// Lets what is queued be written at once, and returns the number of the last put.
    pub(super) fn hurry(&self) -> u64 {
        let mut state = self.state();
        state.queue.hurry();
        self.wake.notify_one();
        state.queue.puts()
    }

    pub(super) fn shut_down(&self) {
        self.state().is_shut_down = true;
        self.hurry();
        self.room.notify_waiters();
    }

    /// The task has ended.
    pub(super) fn end(&self) {
        self.state().is_over = true;
        // Whoever flushes is told.
        self.rounds.send_replace(None);
    }

    pub(super) fn is_over(&self) -> bool {
        self.state().is_over
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state().queue.is_idle()
    }

    pub(super) fn owes(&self, put: u64) -> bool {
        self.state().queue.owes(put)
    }

    /// The keys of which something is still to be written.
    pub(super) fn left(&self) -> Vec<Key> {
        self.state().queue.keys().cloned().collect()
    }

    pub(super) fn stats(&self) -> WriteBehindStats {
        let Counters { puts, coalesced, turned_away, written, failures, refused } = &self.counters;
        WriteBehindStats {
            puts: puts.load(Ordering::Relaxed),
            coalesced: coalesced.load(Ordering::Relaxed),
            turned_away: turned_away.load(Ordering::Relaxed),
            written: written.load(Ordering::Relaxed),
            failures: failures.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
            queued: self.state().queue.len() as u64,
        }
    }

    fn now(&self) -> Instant {
        self.environment.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is queued, for ever.
pub(super) struct Flusher<V, S> {
    shared: Arc<Shared<V>>,
    sink: Arc<S>,
    rng: Rng,
}

impl<V: Send + Sync + 'static, S: Sink<V>> Flusher<V, S> {
    pub(super) fn new(shared: Arc<Shared<V>>, sink: S) -> Self {
        let rng = Rng::from_seed(shared.environment.entropy.next_u64());
        Self { shared, sink: Arc::new(sink), rng }
    }

    pub(super) async fn run(mut self) {
        let (batch_max, interval) = (self.shared.config.batch_max.get() as usize, self.shared.config.flush_interval);
        loop {
            let due = self.shared.state().queue.due(batch_max, interval);
            if due.is_none_or(|due| due > self.shared.now()) {
                tokio::select! {
                    () = self.shared.wake.notified() => {}
                    () = sleep_until(&*self.shared.environment.clock, due) => {}
                }
                continue;
            }
            self.write(batch_max).await;
        }
    }

    /// Writes a batch.
    async fn write(&mut self, batch_max: usize) {
        let shared = &self.shared;
        let batch = shared.state().queue.begin(batch_max);
        // What others change from now on, these values may be older than.
        let held: Vec<Held<V>> = batch.iter().map(|_| Held::begin(&shared.cache.inner)).collect();
        let mut progress = self.attempt(&batch).await;
        progress.written.truncate(batch.len());
        let (written, rest) = batch.split_at(progress.written.len());

        let mut announcing = JoinSet::new();
        for ((item, version), held) in written.iter().zip(progress.written).zip(held) {
            shared.counters.written.fetch_add(1, Ordering::Relaxed);
            if shared.state().queue.settle(item) {
                announcing.spawn(announce(Arc::clone(shared), item.key.clone(), item.found.clone(), version, held));
            }
        }
        if let (Some(WriteError::Refused(error)), Some(item)) = (&progress.stopped, rest.first()) {
            shared.counters.refused.fetch_add(1, Ordering::Relaxed);
            tracing::error!(key = %item.key, %error, "the origin refuses a value for good; it is given up");
            if shared.state().queue.settle(item) {
                shared.cache.doubt(&item.key);
            }
            progress.stopped = None;
        }
        shared.room.notify_waiters();
        // What it has to say when it panicked is lost with one entry, which expires.
        while announcing.join_next().await.is_some() {}
        self.end(progress.stopped);
    }

    fn end(&mut self, stopped: Option<WriteError>) {
        let now = self.shared.now();
        if let Some(error) = &stopped {
            self.shared.counters.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, "a batch could not be written; it is tried again");
            let backoff = self.shared.config.failure_backoff;
            // Full jitter.
            self.shared.state().queue.fail(now, |failures| self.rng.up_to(backoff.bound(failures)));
        } else {
            self.shared.state().queue.end(now);
        }
        self.shared.rounds.send_replace(stopped);
    }

    /// Tries to write a batch, on a task of its own: whatever the sink does, this one goes on.
    async fn attempt(&self, batch: &[Item<V>]) -> Progress {
        let change = |item: &Item<V>| Change {
            key: item.key.clone(),
            value: item.found.as_ref().map(|found| Arc::clone(&found.value)),
        };
        let (sink, changes) = (Arc::clone(&self.sink), batch.iter().map(change).collect::<Vec<_>>());
        let count = changes.len();
        let mut writing = JoinSet::new();
        writing.spawn(async move { sink.write_all(&changes).await });
        let deadline = self.shared.config.write_deadline;
        let stopped = match tokio::time::timeout(deadline, writing.join_next()).await {
            Ok(Some(Ok(progress))) if progress.stopped.is_some() || progress.written.len() >= count => return progress,
            Ok(Some(Ok(progress))) => {
                let stopped = Some(WriteError::not_written("the sink stopped and did not say why"));
                return Progress { stopped, ..progress };
            }
            Ok(Some(Err(error))) => WriteError::unknown(error),
            Ok(None) => WriteError::unknown("the sink went away"),
            Err(_) => WriteError::unknown(format!("the sink did not answer within {deadline:?}")),
        };
        Progress { written: Vec::new(), stopped: Some(stopped) }
    }
}

/// Tells every process of what was written.
async fn announce<V: Send + Sync + 'static>(
    shared: Arc<Shared<V>>,
    key: Key,
    found: Option<Found<V>>,
    version: Version,
    held: Held<V>,
) {
    let told = match found {
        Some(found) => {
            let found = if version == Version::NONE { found } else { found.version(version) };
            shared.cache.publish_since(held, &key, found).await.map(|_| ())
        }
        None => shared.cache.invalidate(&Scope::Key(key.clone())).await.map(|_| ()),
    };
    if let Err(error) = told {
        tracing::debug!(%key, %error, "others are told later of what was written");
    }
    // What was put meanwhile is newer than what was just kept.
    shared.show(&key);
}
