//! What a link tells those who keep copies of what Redis holds: when to forget which of them.
//!
//! Decides what a reader hears that is too far behind: that everything is to be forgotten. It waits for nobody, so a
//! slow reader holds up neither the connection nor the others.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use super::push::Keys;
use super::reason::Epoch;

/// What a link reports to whoever caches.
///
/// In the order in which it happened on the connection; every [`LinkEvent::Invalidated`] stands between the
/// [`LinkEvent::Up`] and the [`LinkEvent::Down`] of its epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkEvent {
    /// Calls are served from now on, and changes are told. What was kept from before may be out of date.
    Up {
        /// On which connection.
        epoch: Epoch,
    },
    /// Keys changed.
    Invalidated {
        /// On which connection it was heard.
        epoch: Epoch,
        /// Which ones.
        keys: Keys,
    },
    /// Changes are not told any more: forget everything. Also where the reader was too far behind to be told more, and
    /// while the server is busy with a script; an [`LinkEvent::Up`] of the same epoch follows then.
    Down {
        /// Of which connection.
        epoch: Epoch,
    },
}

/// Reads the events of a link, from the time of its creation on. It does not keep the link alive.
///
/// An event is here before the reply that came after it on the connection is with its caller. So this keeps no reply that
/// was out of date when it came: note the epoch of the last [`LinkEvent::Up`] before asking, and whatever is invalidated
/// meanwhile; when the reply is there, empty this with [`LinkEvents::try_next`]; keep the reply where its key was not
/// invalidated, and the epoch is the same and not over.
#[derive(Debug)]
pub struct LinkEvents {
    queue: Arc<Queue>,
}

impl LinkEvents {
    /// Waits for the next event; `None` once the link has ended.
    ///
    /// Cancel-safe: dropping the future loses no event.
    pub async fn next(&mut self) -> Option<LinkEvent> {
        loop {
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.queue.lock().ended {
                // Something may have been added in between.
                return self.try_next();
            }
            self.queue.changed.notified().await;
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<LinkEvent> {
        let mut state = self.queue.lock();
        let event = state.events.pop_front()?;
        state.bytes -= bytes_of(&event);
        Some(event)
    }
}

/// Hands events to the readers.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<HubState>,
    events_max: usize,
    /// Hears of every event besides, before it can have consequences.
    relay: Option<Arc<dyn Relay>>,
}

/// What a link is a part of.
pub(crate) trait Relay: Debug + Send + Sync {
    /// Takes in an event; called in their order, and must not call back.
    fn relay(&self, event: &LinkEvent);
}

#[derive(Debug, Default)]
struct HubState {
    /// The connection whose pushes count.
    up: Option<Epoch>,
    readers: Vec<Weak<Queue>>,
    ended: bool,
    overflows: u64,
}

#[derive(Debug)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<LinkEvent>,
    bytes: usize,
    ended: bool,
}

impl Hub {
    pub(crate) fn new(events_max: usize, relay: Option<Arc<dyn Relay>>) -> Self {
        Self { state: Mutex::default(), events_max, relay }
    }

    /// A reader that hears first whether the link is up.
    pub(crate) fn subscribe(&self) -> LinkEvents {
        let mut state = lock(&self.state);
        let queue = Arc::new(Queue { state: Mutex::default(), changed: Notify::new() });
        queue.lock().ended = state.ended;
        queue.lock().events.extend(state.up.map(|epoch| LinkEvent::Up { epoch }));
        state.readers.retain(|reader| reader.strong_count() > 0);
        state.readers.push(Arc::downgrade(&queue));
        LinkEvents { queue }
    }

    pub(crate) fn up(&self, epoch: Epoch) {
        let mut state = lock(&self.state);
        if !state.ended {
            state.up = Some(epoch);
            self.tell(&mut state, &LinkEvent::Up { epoch });
        }
    }

    /// Passes on what a connection pushed, unless calls are not served on it: before, and after, all is forgotten anyway.
    pub(crate) fn invalidated(&self, epoch: Epoch, keys: Keys) {
        let mut state = lock(&self.state);
        if state.up == Some(epoch) {
            self.tell(&mut state, &LinkEvent::Invalidated { epoch, keys });
        }
    }

    pub(crate) fn down(&self, epoch: Epoch) {
        let mut state = lock(&self.state);
        if state.up.take_if(|up| *up == epoch).is_some() {
            self.tell(&mut state, &LinkEvent::Down { epoch });
        }
    }

    /// The connection of `epoch`, which stands, tells of changes again, if it did not.
    pub(crate) fn resume(&self, epoch: Epoch) {
        let is_mute = lock(&self.state).up.is_none();
        if is_mute {
            self.up(epoch);
        }
    }

    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        if let Some(epoch) = state.up.take() {
            self.tell(&mut state, &LinkEvent::Down { epoch });
        }
        for queue in state.readers.drain(..).filter_map(|reader| reader.upgrade()) {
            queue.lock().ended = true;
            queue.changed.notify_one();
        }
    }

    /// How often a reader was too far behind.
    pub(crate) fn overflows(&self) -> u64 {
        lock(&self.state).overflows
    }

    fn tell(&self, state: &mut HubState, event: &LinkEvent) {
        let HubState { readers, overflows, .. } = state;
        readers.retain(|reader| {
            let Some(queue) = reader.upgrade() else { return false };
            if !queue.push(event.clone(), self.events_max) {
                *overflows = overflows.saturating_add(1);
            }
            queue.changed.notify_one();
            true
        });
        if let Some(relay) = &self.relay {
            relay.relay(event);
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        lock(&self.state)
    }

    /// Adds `event`, or puts "forget everything" in the place of it and all that waits.
    fn push(&self, event: LinkEvent, events_max: usize) -> bool {
        let mut state = self.lock();
        let bytes = bytes_of(&event);
        if state.events.len() < events_max && state.bytes + bytes <= BYTES_MAX {
            state.bytes += bytes;
            state.events.push_back(event);
            return true;
        }
        state.bytes = 0;
        state.events.clear();
        match event {
            LinkEvent::Down { epoch } => state.events.push_back(LinkEvent::Down { epoch }),
            LinkEvent::Up { epoch } | LinkEvent::Invalidated { epoch, .. } => {
                state.events.extend([LinkEvent::Down { epoch }, LinkEvent::Up { epoch }]);
            }
        }
        false
    }
}

fn bytes_of(event: &LinkEvent) -> usize {
    match event {
        LinkEvent::Invalidated { keys: Keys::Some(keys), .. } => {
            keys.iter().map(|key| key.len() + size_of::<bytes::Bytes>()).sum()
        }
        LinkEvent::Invalidated { keys: Keys::All, .. } | LinkEvent::Up { .. } | LinkEvent::Down { .. } => 0,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As much memory as the keys that wait for one reader may take; 1 MiB.
const BYTES_MAX: usize = 1024 * 1024;
