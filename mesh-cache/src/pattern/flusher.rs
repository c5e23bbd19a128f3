//! The task that writes what a [`WriteBehind`](super::WriteBehind) has queued, batch after batch.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::time::Instant;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::batch::Batch;
use super::batch_size::BatchSize;
use super::queue::{Item, Queue};
use super::write_behind::{Counters, NotQueued, WriteBehindConfig, WriteBehindStats};
use super::{Sink, WriteError, Written, sleep_until};
use crate::cache::{Cache, Found, Loaded};
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
    pub(super) fn show(&self, key: &Key) {
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

    /// The first of the batch that is being written was written, or never will be. Returns whether nothing later is queued
    /// for its key.
    pub(super) fn settle(&self, item: &Item<V>) -> bool {
        let is_last = self.state().queue.settle(item);
        self.room.notify_waiters();
        is_last
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
    size: BatchSize,
    rng: Rng,
}

/// What came of the try to write a batch.
struct Attempt {
    /// Why not all of it was written.
    stopped: Option<WriteError>,
    is_late: bool,
    /// The longest time for which the sink had nothing to say.
    silence: Duration,
}

impl<V: Send + Sync + 'static, S: Sink<V>> Flusher<V, S> {
    pub(super) fn new(shared: Arc<Shared<V>>, sink: S) -> Self {
        let rng = Rng::from_seed(shared.environment.entropy.next_u64());
        let size = BatchSize::new(shared.config.batch_max.get() as usize);
        Self { shared, sink: Arc::new(sink), size, rng }
    }

    pub(super) async fn run(mut self) {
        let interval = self.shared.config.flush_interval;
        loop {
            let due = self.shared.state().queue.due(self.size.get(), interval);
            if due.is_none_or(|due| due > self.shared.now()) {
                tokio::select! {
                    () = self.shared.wake.notified() => {}
                    () = sleep_until(&*self.shared.environment.clock, due) => {}
                }
                continue;
            }
            self.write().await;
        }
    }

    /// Writes a batch.
    async fn write(&mut self) {
        let items = self.shared.state().queue.begin(self.size.get());
        let mut batch = Batch::new(Arc::clone(&self.shared), items);
        let count = batch.len();
        let Attempt { mut stopped, is_late, silence } = self.attempt(&mut batch).await;
        if is_late {
            self.size.late(count);
        } else if stopped.is_none() {
            self.size.written(count, silence, self.shared.config.write_deadline);
        }
        if let Some(WriteError::Refused(error)) = &stopped {
            batch.refused(error);
            stopped = None;
        }
        batch.end().await;
        self.end(stopped);
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

    /// Tries to write a batch, on a task of its own: whatever the sink does, this one goes on, with what was written.
    async fn attempt(&self, batch: &mut Batch<V>) -> Attempt {
        let (sink, changes, (written, mut heard)) = (Arc::clone(&self.sink), batch.changes(), Written::channel());
        let mut writing = JoinSet::new();
        writing.spawn(async move { sink.write_all(&changes, &written).await });
        let deadline = self.shared.config.write_deadline;
        let (mut since, mut silence) = (self.shared.now(), Duration::ZERO);
        let ended = loop {
            let ended = tokio::select! {
                biased;
                Some(version) = heard.recv(), if !batch.is_done() => {
                    batch.wrote(version);
                    None
                }
                ended = writing.join_next() => Some(ended),
                () = tokio::time::sleep(deadline) => break None,
            };
            let now = self.shared.now();
            silence = silence.max(now.since(since));
            since = now;
            if ended.is_some() {
                break ended;
            }
        };
        // The last of it may have been told after it was asked for.
        while let Ok(version) = heard.try_recv() {
            batch.wrote(version);
        }
        let is_late = ended.is_none();
        let stopped = match ended {
            Some(Some(Ok(Ok(())))) => {
                while !batch.is_done() {
                    batch.wrote(Version::NONE);
                }
                None
            }
            Some(Some(Ok(Err(error)))) => Some(error),
            Some(Some(Err(error))) => Some(WriteError::unknown(error)),
            Some(None) => Some(WriteError::unknown("the sink went away")),
            None => Some(WriteError::unknown(format!("the sink wrote nothing for {deadline:?}"))),
        };
        // With nothing left, whatever it said last is about nothing.
        Attempt { stopped: stopped.filter(|_| !batch.is_done()), is_late, silence }
    }
}
