//! Which instances have been unhealthy for so long that they are taken out of the registry.
//!
//! Never the last few of a service, and none while most are unhealthy: then the checks, or this process's own
//! network, are the likelier culprit.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;

use crate::balance::Census;
use crate::service::InstanceKey;
use crate::snapshot::Snapshot;
use crate::time::Instant;
use crate::timers::Timers;

/// The number of a deregistration, carried back by its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeregisterId(u64);

/// How a deregistration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deregistration {
    /// The registry took it.
    Done,
    /// Not this time: it is tried again.
    Again,
    /// It will not be done: refused for good, unsupported, or not the mesh's to do. It is not tried again
    /// before the instance has been well in between.
    Never,
}

impl Deregistration {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Again => "again",
            Self::Never => "never",
        }
    }
}

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
        self.unhealthy_since.remove(key);
        if !self.leaving.contains(key) {
            self.timers.clear(key);
        }
    }

    /// Only the instances of `listed` are registered now.
    pub(super) fn retain(&mut self, listed: &Snapshot) {
        self.leaving.retain(|key| listed.get(key).is_some());
        self.asked.retain(|_, key| listed.get(key).is_some());
    }

    /// The next instance that is to go now, with the time it fell ill. Of `census` are those that are served.
    ///
    /// Unless it is `believed`, nobody goes: where the registry is not heard, what it has done may not show, and checks
    /// that fail on most say little of anybody.
    pub(super) fn pop_due(&mut self, now: Instant, census: Census, believed: bool) -> Option<(InstanceKey, Instant)> {
        while let Some(key) = self.timers.pop_due(now) {
            if !believed {
                self.timers.set(key, now + TRY_AGAIN);
                continue;
            }
            // It is still listed, whatever was answered, and what was not answered by now is not waited for.
            self.asked.retain(|_, asked| *asked != key);
            let was_leaving = self.leaving.remove(&key);
            let Some(&since) = self.unhealthy_since.get(&key) else { continue };
            let others_stay = (census.registered as usize).saturating_sub(self.leaving.len()) > self.keeps as usize;
            let most_are_well = census.unhealthy.saturating_mul(2) <= census.registered;
            if others_stay && most_are_well {
                return Some((key, since));
            }
            if was_leaving {
                self.leaving.insert(key.clone());
            }
            self.timers.set(key, now + TRY_AGAIN);
        }
        None
    }

    pub(super) fn ask(&mut self, now: Instant, key: InstanceKey) -> DeregisterId {
        self.ids_made += 1;
        let id = DeregisterId(self.ids_made);
        self.timers.set(key.clone(), now + TRY_AGAIN);
        self.leaving.insert(key.clone());
        self.asked.insert(id, key);
        id
    }

    /// The answer to a deregistration: whose it was, unless nobody waits for it any more.
    pub(super) fn answer(&mut self, now: Instant, id: DeregisterId, answer: Deregistration) -> Option<InstanceKey> {
        let key = self.asked.remove(&id)?;
        match answer {
            // The list will show it; should it not, the timer that was set with the question comes back to it.
            Deregistration::Done => {}
            Deregistration::Again => {
                self.leaving.remove(&key);
                if self.unhealthy_since.contains_key(&key) {
                    // One that was well for a while meanwhile has a later deadline of its own.
                    let own = self.timers.get(&key).unwrap_or(Instant::ZERO);
                    self.timers.set(key.clone(), own.max(now + TRY_AGAIN));
                }
            }
            Deregistration::Never => {
                self.leaving.remove(&key);
                self.spare(&key);
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
