//! A second tier in this process: the reference of what one does, and the one that simulations and examples use.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_core::port::{BoxFuture, Clock};
use mesh_core::time::Instant;
use tokio::sync::Notify;

use crate::entry::Version;
use crate::key::{Mark, Marks};
use crate::second::{Fetched, Listener, News, Reach, SecondTier, Store, Stored, TierError, TierErrorKind, Watermark};

/// A second tier that several caches of one process share. Cloning it shares it, as one and the same user;
/// [`MemoryTier::another`] is as another process would have it, and so is it for every cache that is built on it.
///
/// It bounds nothing but by the lifetimes of entries: it is for tests, examples and simulations.
#[derive(Clone)]
pub struct MemoryTier {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
    user: u64,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<Mark, Entry>,
    watermarks: BTreeMap<Mark, u64>,
    ears: Vec<Arc<Ear>>,
    users: u64,
    connection: u64,
    last_micros: u64,
    is_away: bool,
}

#[derive(Debug)]
struct Entry {
    bytes: Vec<u8>,
    version: Version,
    until: Instant,
}

#[derive(Debug, Default)]
struct Ear {
    user: u64,
    news: Mutex<VecDeque<News>>,
    told: Notify,
}

impl MemoryTier {
    /// An empty tier that keeps the time of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Arc::new(Mutex::new(State { connection: 1, ..State::default() })), user: 0 }
    }

    /// The same tier for another user, who is told what this one invalidates.
    #[must_use]
    pub fn another(&self) -> Self {
        let mut state = self.state();
        state.users += 1;
        Self { clock: Arc::clone(&self.clock), state: Arc::clone(&self.state), user: state.users }
    }

    /// Goes away, or comes back with all that it had.
    pub fn set_away(&self, is_away: bool) {
        let mut state = self.state();
        if state.is_away == is_away {
            return;
        }
        state.is_away = is_away;
        if !is_away {
            state.connection += 1;
        }
        let news = if is_away { News::Deaf } else { News::Hearing(state.connection) };
        state.tell(news, None);
    }

    /// As [`SecondTier::fetch`], at once.
    ///
    /// # Errors
    /// That it is away.
    pub fn fetch_now(&self, marks: &Marks) -> Result<Fetched, TierError> {
        let mut state = self.present()?;
        let now = self.clock.now();
        let now_micros = state.tick(now);
        let entry = state.entries.get(&marks.own()).filter(|entry| entry.until > now);
        let watermarks = marks.all().iter().map(|mark| state.watermarks.get(mark).copied()).collect();
        Ok(Fetched { now_micros, bytes: entry.map(|entry| entry.bytes.clone()), watermarks })
    }

    /// As [`SecondTier::store`], at once.
    ///
    /// # Errors
    /// That it is away.
    pub fn store_now(&self, store: Store<'_>) -> Result<Stored, TierError> {
        let mut state = self.present()?;
        let now = self.clock.now();
        if state.watermarks.get(&store.own).is_some_and(|watermark| store.as_of_micros <= *watermark) {
            return Ok(Stored::Overtaken);
        }
        let there = state.entries.get(&store.own).filter(|entry| entry.until > now);
        let there = there.filter(|entry| !store.replaces.is_some_and(|head| entry.bytes.starts_with(head)));
        if there.is_some_and(|entry| store.version.is_before(entry.version)) {
            return Ok(Stored::Older);
        }
        let entry = Entry { bytes: store.bytes.to_vec(), version: store.version, until: now + store.keep_for };
        state.entries.insert(store.own, entry);
        Ok(Stored::Yes)
    }

    /// As [`SecondTier::invalidate`], at once.
    ///
    /// # Errors
    /// That it is away.
    pub fn invalidate_now(&self, mark: Mark) -> Result<u64, TierError> {
        let mut state = self.present()?;
        let now = state.tick(self.clock.now());
        state.watermarks.insert(mark, now);
        state.entries.remove(&mark);
        state.tell(News::Changed(mark), Some(self.user));
        Ok(now)
    }

    fn present(&self) -> Result<MutexGuard<'_, State>, TierError> {
        let state = self.state();
        if state.is_away { Err(TierError::new(TierErrorKind::Away, "is away")) } else { Ok(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SecondTier for MemoryTier {
    fn fetch<'a>(&'a self, marks: &'a Marks) -> BoxFuture<'a, Result<Fetched, TierError>> {
        Box::pin(async move { self.fetch_now(marks) })
    }

    fn watermarks<'a>(&'a self, marks: &'a [Mark]) -> BoxFuture<'a, Result<Vec<Watermark>, TierError>> {
        Box::pin(async move {
            let state = self.present()?;
            Ok(marks.iter().map(|mark| state.watermarks.get(mark).copied()).collect())
        })
    }

    fn store<'a>(&'a self, store: Store<'a>) -> BoxFuture<'a, Result<Stored, TierError>> {
        Box::pin(async move { self.store_now(store) })
    }

    fn invalidate(&self, mark: Mark, _: Reach) -> BoxFuture<'_, Result<u64, TierError>> {
        Box::pin(async move { self.invalidate_now(mark) })
    }

    fn discard(&self, own: Mark) -> BoxFuture<'_, Result<(), TierError>> {
        Box::pin(async move {
            self.present()?.entries.remove(&own);
            Ok(())
        })
    }

    fn listen(&self) -> Box<dyn Listener> {
        let ear = Arc::new(Ear { user: self.user, ..Ear::default() });
        let mut state = self.state();
        ear.hear(if state.is_away { News::Deaf } else { News::Hearing(state.connection) });
        state.ears.push(Arc::clone(&ear));
        Box::new(MemoryListener(ear))
    }

    fn join(&self, _: usize) -> Option<Arc<dyn SecondTier>> {
        Some(Arc::new(self.another()))
    }
}

impl fmt::Debug for MemoryTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let (entries, is_away) = (state.entries.len(), state.is_away);
        f.debug_struct("MemoryTier").field("entries", &entries).field("is_away", &is_away).finish_non_exhaustive()
    }
}

impl State {
    /// The tier's time: that of its clock, and later than whatever it said before.
    fn tick(&mut self, now: Instant) -> u64 {
        self.last_micros = (now.as_nanos() / 1_000).max(self.last_micros.saturating_add(1));
        self.last_micros
    }

    /// Tells everybody but the user `but`.
    fn tell(&mut self, news: News, but: Option<u64>) {
        // One whose listener is gone is nobody else's.
        self.ears.retain(|ear| Arc::strong_count(ear) > 1);
        self.ears.iter().filter(|ear| Some(ear.user) != but).for_each(|ear| ear.hear(news));
    }
}

impl Ear {
    fn hear(&self, news: News) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push_back(news);
        self.told.notify_one();
    }
}

#[derive(Debug)]
struct MemoryListener(Arc<Ear>);

impl Listener for MemoryListener {
    fn next(&mut self) -> BoxFuture<'_, News> {
        Box::pin(async {
            loop {
                let news = self.0.news.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                if let Some(news) = news {
                    return news;
                }
                self.0.told.notified().await;
            }
        })
    }
}
