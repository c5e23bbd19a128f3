//! The watches of one client, shared by all who ask the same.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::service::ServiceName;
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

use super::feed::{FeedState, Follower};
use crate::client::Consul;
use crate::config::ConsulConfig;
use crate::options::QueryOptions;

/// What a watch is about: those with the same are one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WatchKey {
    pub(crate) service: ServiceName,
    pub(crate) options: QueryOptions,
    pub(crate) datacenter: Option<String>,
}

/// The watches of one client.
pub(crate) struct Hub {
    shared: Arc<HubShared>,
    watches_max: usize,
}

pub(super) struct HubShared {
    feeds: Mutex<BTreeMap<WatchKey, Feed>>,
    /// One for each blocking query.
    pub(super) permits: Arc<Semaphore>,
    warned: AtomicBool,
}

struct Feed {
    sender: watch::Sender<FeedState>,
    task: AbortHandle,
}

impl Hub {
    pub(crate) fn new(config: &ConsulConfig) -> Self {
        let watches_max = config.watches_max.get();
        let shared = HubShared {
            feeds: Mutex::default(),
            permits: Arc::new(Semaphore::new(watches_max.min(Semaphore::MAX_PERMITS))),
            warned: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), watches_max }
    }

    /// Listens to the watch of `key`, which is begun if there is none.
    pub(crate) fn subscribe(&self, consul: &Consul, key: &WatchKey) -> watch::Receiver<FeedState> {
        let mut feeds = self.shared.feeds();
        if let Some(feed) = feeds.get(key).filter(|feed| !feed.task.is_finished()) {
            return feed.sender.subscribe();
        }
        let (sender, receiver) = watch::channel(FeedState::default());
        let follower = Follower {
            consul: consul.for_task(),
            key: key.clone(),
            sender: sender.clone(),
            shared: Arc::clone(&self.shared),
            permit: None,
            last: None,
            age: Duration::ZERO,
        };
        let task = tokio::spawn(follower.run()).abort_handle();
        feeds.insert(key.clone(), Feed { sender, task });
        receiver
    }

    /// How many watches block, and how many poll.
    pub(crate) fn census(&self) -> (usize, usize) {
        let all = self.shared.feeds().values().filter(|feed| !feed.task.is_finished()).count();
        let blocking = self.watches_max.saturating_sub(self.shared.permits.available_permits()).min(all);
        (blocking, all - blocking)
    }

    /// Ends every watch.
    pub(crate) fn close(&self) {
        for feed in std::mem::take(&mut *self.shared.feeds()).into_values() {
            feed.task.abort();
        }
    }
}

impl HubShared {
    /// Forgets the watch that nobody listens to; false when somebody does.
    pub(super) fn remove_idle(&self, key: &WatchKey, sender: &watch::Sender<FeedState>) -> bool {
        let mut feeds = self.feeds();
        if sender.receiver_count() > 0 {
            return false;
        }
        feeds.remove(key);
        true
    }

    /// Says once that there are more services than blocking queries.
    pub(super) fn warn_once(&self, key: &WatchKey) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let service = &key.service;
            tracing::warn!(%service, "watches_max is reached: this service and later ones are polled");
        }
    }

    fn feeds(&self) -> MutexGuard<'_, BTreeMap<WatchKey, Feed>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (blocking, polling) = self.census();
        f.debug_struct("Hub").field("blocking", &blocking).field("polling", &polling).finish()
    }
}
