//! Makes one stream of events of those of several links.
//!
//! Decides the epoch of the whole: it ends with the loss of any link, and whenever one joins, since what was kept from
//! before may then be out of date. An event passes through before the reply that follows it, as on one link. It is whole
//! while each slot has a primary and there is a link to every one: else changes are told that nobody here is told of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_core::port::Clock;
use mesh_core::time::Instant;
use tokio::sync::Notify;

use crate::redis::event::{Hub, LinkEvent, Relay};
use crate::redis::reason::Epoch;

#[derive(Debug)]
pub(crate) struct Merge {
    state: Mutex<MergeState>,
    pub(crate) hub: Hub,
    /// Wakes whoever looks after the topology.
    pub(crate) lost: Notify,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct MergeState {
    epoch: Epoch,
    links_up: usize,
    /// How many primaries there are, as far as is known.
    links_wanted: usize,
    /// Whether they serve all slots.
    is_complete: bool,
    down_since: Instant,
}

impl Merge {
    pub(crate) fn new(events_max: usize, clock: Arc<dyn Clock>) -> Self {
        let (epoch, down_since) = (Epoch::default(), clock.now());
        let state = MergeState { epoch, links_up: 0, links_wanted: 0, is_complete: false, down_since };
        Self { state: Mutex::new(state), hub: Hub::new(events_max, None), lost: Notify::new(), clock }
    }

    /// The epoch, while a link serves calls, or since when none does.
    pub(crate) fn up(&self) -> Result<Epoch, Instant> {
        let state = self.lock();
        if state.links_up > 0 { Ok(state.epoch) } else { Err(state.down_since) }
    }

    /// Whether the changes of all keys are told.
    pub(crate) fn is_whole(&self) -> bool {
        let state = self.lock();
        state.is_complete && state.links_up >= state.links_wanted
    }

    /// There are `links` primaries, which serve all slots where `is_complete`.
    pub(crate) fn want(&self, links: usize, is_complete: bool) {
        let mut state = self.lock();
        if (state.links_wanted, state.is_complete) != (links, is_complete) {
            (state.links_wanted, state.is_complete) = (links, is_complete);
            self.begin_anew(&mut state);
        }
    }

    fn begin_anew(&self, state: &mut MergeState) {
        self.hub.down(state.epoch);
        if state.links_up > 0 {
            state.epoch = state.epoch.next();
            self.hub.up(state.epoch);
        } else {
            state.down_since = self.clock.now();
        }
    }

    fn lock(&self) -> MutexGuard<'_, MergeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay for Merge {
    fn relay(&self, event: &LinkEvent) {
        let mut state = self.lock();
        match event {
            LinkEvent::Invalidated { keys, .. } => return self.hub.invalidated(state.epoch, keys.clone()),
            LinkEvent::Up { .. } => state.links_up += 1,
            LinkEvent::Down { .. } => {
                state.links_up = state.links_up.saturating_sub(1);
                self.lost.notify_one();
            }
        }
        self.begin_anew(&mut state);
    }
}
