//! Which instances have been unhealthy for so long that they are taken out of the registry.
//!
//! Never the last few of a service: when everything is unhealthy, the checks are the likelier culprit.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::service::InstanceKey;
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::timers::Timers;

/// The number of a deregistration, carried back by its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeregisterId(u64);

#[derive(Debug)]
pub(super) struct Reaper {
    keeps: u32,
    timers: Timers<InstanceKey>,
    unhealthy_since: BTreeMap<InstanceKey, Instant>,
    asked: BTreeMap<DeregisterId, InstanceKey>,
    /// Those that may be gone by now: a deregistration is under way, or done and the list has yet to show it.
    leaving: BTreeSet<InstanceKey>,
    ids_made: u64,
}

impl Reaper {
    pub(super) const fn new(keeps: u32) -> Self {
        Self {
            keeps,
            timers: Timers::new(),
            unhealthy_since: BTreeMap::new(),
            asked: BTreeMap::new(),
            leaving: BTreeSet::new(),
            ids_made: 0,
        }
    }

    /// The instance `key` is unhealthy from `now` on and is to go `after` that.
    pub(super) fn start(&mut self, now: Instant, key: InstanceKey, after: Duration) {
        self.unhealthy_since.insert(key.clone(), now);
        self.timers.set(key, now + after);
    }

    /// The instance `key` is not known to be unhealthy any more. What has been asked for cannot be taken back.
    pub(super) fn spare(&mut self, key: &InstanceKey) {
        self.timers.clear(key);
        self.unhealthy_since.remove(key);
    }

    /// Only the instances of `listed` are registered now.
    pub(super) fn retain(&mut self, listed: &Snapshot) {
        self.leaving.retain(|key| listed.get(key).is_some());
        self.asked.retain(|_, key| listed.get(key).is_some());
    }

    /// The next instance that is to go now, with the time it fell ill. `registered` instances are served.
    pub(super) fn pop_due(&mut self, now: Instant, registered: usize) -> Option<(InstanceKey, Instant)> {
        while let Some(key) = self.timers.pop_due(now) {
            let Some(&since) = self.unhealthy_since.get(&key) else { continue };
            let others_stay = registered.saturating_sub(self.leaving.len()) > self.keeps as usize;
            if others_stay && !self.leaving.contains(&key) {
                return Some((key, since));
            }
            self.timers.set(key, now + TRY_AGAIN);
        }
        None
    }

    pub(super) fn ask(&mut self, key: InstanceKey) -> DeregisterId {
        self.ids_made += 1;
        let id = DeregisterId(self.ids_made);
        self.leaving.insert(key.clone());
        self.asked.insert(id, key);
        id
    }

    /// The answer to a deregistration: whose it was, unless nobody waits for it any more.
    pub(super) fn answer(&mut self, now: Instant, id: DeregisterId, done: bool) -> Option<InstanceKey> {
        let key = self.asked.remove(&id)?;
        if !done {
            self.leaving.remove(&key);
            // One that was well for a while meanwhile has a deadline of its own, or none.
            if self.unhealthy_since.contains_key(&key) && self.timers.get(&key).is_none() {
                self.timers.set(key.clone(), now + TRY_AGAIN);
            }
        }
        Some(key)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.next()
    }
}

/// The tick of Consul's reaper (`CheckReapInterval`).
const TRY_AGAIN: Duration = Duration::from_secs(30);
