//! A batch that is being written: how far it is, and who is still to be told of it.
//!
//! What was written is settled at once, one after another, and not when the batch has ended: so it counts, whatever becomes
//! of the rest, and also when nobody waits for that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;

use super::Change;
use super::flusher::Shared;
use super::queue::Item;
use crate::cache::{Found, Held};
use crate::entry::Version;
use crate::error::OriginError;
use crate::key::{Key, Scope};

/// The keys of a batch of which nobody knows yet that they were written, and those of which others are being told.
pub(super) struct Batch<V: Send + Sync + 'static> {
    shared: Arc<Shared<V>>,
    rest: VecDeque<(Item<V>, Held<V>)>,
    announcing: JoinSet<()>,
}

impl<V: Send + Sync + 'static> Batch<V> {
    /// Begins to write `items`, the first of the queue.
    pub(super) fn new(shared: Arc<Shared<V>>, items: Vec<Item<V>>) -> Self {
        // What others change from now on, these values may be older than.
        let held = |item| (item, Held::begin(&shared.cache.inner));
        Self { rest: items.into_iter().map(held).collect(), shared, announcing: JoinSet::new() }
    }

    /// What the sink is to write.
    pub(super) fn changes(&self) -> Vec<Change<V>> {
        let change = |(item, _): &(Item<V>, Held<V>)| Change {
            key: item.key.clone(),
            value: item.found.as_ref().map(|found| Arc::clone(&found.value)),
        };
        self.rest.iter().map(change).collect()
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// The first that was left was written.
    pub(super) fn wrote(&mut self, version: Version) {
        let Some((item, held)) = self.rest.pop_front() else { return };
        let shared = &self.shared;
        shared.counters.written.fetch_add(1, Ordering::Relaxed);
        if shared.settle(&item) {
            let news = Announcement { shared: Arc::clone(shared), key: item.key, is_told: false };
            self.announcing.spawn(news.make(item.found, version, held));
        }
    }

    /// The first that was left never will be written.
    pub(super) fn refused(&mut self, error: &OriginError) {
        let Some((item, _)) = self.rest.pop_front() else { return };
        let shared = &self.shared;
        shared.counters.refused.fetch_add(1, Ordering::Relaxed);
        tracing::error!(key = %item.key, %error, "the origin refuses a value for good; it is given up");
        if shared.settle(&item) {
            shared.cache.doubt(&item.key);
        }
    }

    /// Waits until others were told of what was written.
    pub(super) async fn end(mut self) {
        // What one that panicked had to say is left to be told again.
        while self.announcing.join_next().await.is_some() {}
    }
}

/// The news that a key was written. Dropped before every process was told, nobody believes what is kept of it.
struct Announcement<V: Send + Sync + 'static> {
    shared: Arc<Shared<V>>,
    key: Key,
    is_told: bool,
}

impl<V: Send + Sync + 'static> Announcement<V> {
    async fn make(mut self, found: Option<Found<V>>, version: Version, held: Held<V>) {
        let Self { shared, key, .. } = &self;
        let told = match found {
            Some(found) => {
                let found = if version == Version::NONE { found } else { found.version(version) };
                shared.cache.publish_since(held, key, found).await.map(|_| ())
            }
            None => shared.cache.invalidate(&Scope::Key(key.clone())).await.map(|_| ()),
        };
        if let Err(error) = told {
            tracing::debug!(%key, %error, "others are told later of what was written");
        }
        // What was put meanwhile is newer than what was just kept.
        shared.show(key);
        self.is_told = true;
    }
}

impl<V: Send + Sync + 'static> Drop for Announcement<V> {
    fn drop(&mut self) {
        if !self.is_told {
            self.shared.cache.doubt(&self.key);
        }
    }
}
