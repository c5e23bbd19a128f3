//! A second tier that fails, changes what it is given, and counts who listens to it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesh_cache::MemoryTier;
use mesh_cache::mesh_core::port::BoxFuture;
use mesh_cache::second::{
    Fetched, Listener, News, Reach, SecondTier, Store, Stored, TierError, TierErrorKind, Watermark,
};
use mesh_cache::{Mark, Marks};

/// What a [`Frail`] tier is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ask {
    Fetch,
    Watermarks,
    Store,
    Invalidate,
}

/// A second tier some of whose operations fail.
#[derive(Clone, Debug)]
pub(crate) struct Frail {
    pub(crate) tier: MemoryTier,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    failing: Mutex<Vec<Ask>>,
    asked: Mutex<Vec<Ask>>,
    answers_after: Mutex<Duration>,
    listeners: AtomicU64,
    withholds: AtomicBool,
    stored: Mutex<Option<Vec<u8>>>,
    forged: Mutex<Option<Vec<u8>>>,
}

impl Frail {
    pub(crate) fn new(tier: MemoryTier) -> Self {
        Self { tier, state: Arc::default() }
    }

    /// From now on these fail, and no others.
    pub(crate) fn fails_at(&self, asks: &[Ask]) {
        *self.state.failing.lock().unwrap() = asks.to_vec();
    }

    /// From now on an answer is on its way for that long.
    pub(crate) fn answers_after(&self, time: Duration) {
        *self.state.answers_after.lock().unwrap() = time;
    }

    /// From now on it tells one watermark less than it was asked for.
    pub(crate) fn withholds_watermarks(&self) {
        self.state.withholds.store(true, Ordering::SeqCst);
    }

    /// What was stored last.
    pub(crate) fn stored(&self) -> Vec<u8> {
        self.state.stored.lock().unwrap().clone().unwrap()
    }

    /// From now on whoever asks for anything finds this.
    pub(crate) fn forges(&self, bytes: &[u8]) {
        *self.state.forged.lock().unwrap() = Some(bytes.to_vec());
    }

    /// How often it was asked to.
    pub(crate) fn asked(&self, ask: Ask) -> usize {
        self.state.asked.lock().unwrap().iter().filter(|asked| **asked == ask).count()
    }

    pub(crate) fn listeners(&self) -> u64 {
        self.state.listeners.load(Ordering::SeqCst)
    }

    async fn answer<T>(&self, answer: Result<T, TierError>) -> Result<T, TierError> {
        let time = *self.state.answers_after.lock().unwrap();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        answer
    }

    fn check(&self, ask: Ask) -> Result<(), TierError> {
        self.state.asked.lock().unwrap().push(ask);
        match self.state.failing.lock().unwrap().contains(&ask) {
            true => Err(TierError::new(TierErrorKind::Silent, "did not answer")),
            false => Ok(()),
        }
    }
}

impl SecondTier for Frail {
    fn fetch<'a>(&'a self, marks: &'a Marks) -> BoxFuture<'a, Result<Fetched, TierError>> {
        Box::pin(async move {
            self.check(Ask::Fetch)?;
            let mut fetched = self.tier.fetch(marks).await;
            if let Ok(fetched) = &mut fetched {
                if self.state.withholds.load(Ordering::SeqCst) {
                    fetched.watermarks.pop();
                }
                let forged = self.state.forged.lock().unwrap().clone();
                fetched.bytes = forged.or_else(|| fetched.bytes.take());
            }
            self.answer(fetched).await
        })
    }

    fn watermarks<'a>(&'a self, marks: &'a [Mark]) -> BoxFuture<'a, Result<Vec<Watermark>, TierError>> {
        Box::pin(async move {
            self.check(Ask::Watermarks)?;
            self.answer(self.tier.watermarks(marks).await).await
        })
    }

    fn store<'a>(&'a self, store: Store<'a>) -> BoxFuture<'a, Result<Stored, TierError>> {
        Box::pin(async move {
            self.check(Ask::Store)?;
            *self.state.stored.lock().unwrap() = Some(store.bytes.to_vec());
            self.answer(self.tier.store(store).await).await
        })
    }

    fn invalidate(&self, mark: Mark, reach: Reach) -> BoxFuture<'_, Result<u64, TierError>> {
        Box::pin(async move {
            self.check(Ask::Invalidate)?;
            self.answer(self.tier.invalidate(mark, reach).await).await
        })
    }

    fn listen(&self) -> Box<dyn Listener> {
        self.state.listeners.fetch_add(1, Ordering::SeqCst);
        Box::new(Ear { listener: self.tier.listen(), state: Arc::clone(&self.state) })
    }
}

#[derive(Debug)]
struct Ear {
    listener: Box<dyn Listener>,
    state: Arc<State>,
}

impl Listener for Ear {
    fn next(&mut self) -> BoxFuture<'_, News> {
        self.listener.next()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.state.listeners.fetch_sub(1, Ordering::SeqCst);
    }
}
