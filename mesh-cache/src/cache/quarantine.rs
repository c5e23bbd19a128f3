//! Entries of the second tier that could not be read, left alone for a while.
//!
//! Decides which are not looked at: what could not be opened or decoded once will not be a moment later, and may have been
//! made to cost time. It is left alone until it is replaced by this process, or a while has passed in which another may
//! have replaced it. Holds so many at most; of more, those that would be looked at soonest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mesh_core::time::Instant;

use crate::key::Mark;
use crate::seal::VERSION_INDEX_OFFSET;

/// The entries that are left alone, by their own marks.
#[derive(Debug)]
pub(super) struct Quarantine {
    held: Mutex<BTreeMap<Mark, Ward>>,
    period: Duration,
}

#[derive(Clone, Debug)]
struct Ward {
    until: Instant,
    head: Arc<[u8]>,
}

impl Quarantine {
    /// One in which each is left alone for `period`.
    pub(super) const fn new(period: Duration) -> Self {
        Self { held: Mutex::new(BTreeMap::new()), period }
    }

    /// The entry `own` is left alone from `now` on, which begins like `bytes`.
    pub(super) fn hold(&self, own: Mark, bytes: &[u8], now: Instant) {
        let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes).into();
        let mut held = self.held();
        if held.len() >= COUNT_MAX && !held.contains_key(&own) {
            held.retain(|_, held| held.until > now);
            let soonest = held.iter().min_by_key(|(_, held)| held.until).map(|(own, _)| *own);
            if let Some(soonest) = soonest.filter(|_| held.len() >= COUNT_MAX) {
                held.remove(&soonest);
            }
        }
        held.insert(own, Ward { until: now + self.period, head });
    }

    /// Whether the entry `own` is left alone at `now`.
    pub(super) fn holds(&self, own: Mark, now: Instant) -> bool {
        self.held().get(&own).is_some_and(|held| held.until > now)
    }

    /// What the entry `own` began with when it could not be read, if it was not replaced since.
    pub(super) fn head(&self, own: Mark) -> Option<Arc<[u8]>> {
        self.held().get(&own).map(|held| Arc::clone(&held.head))
    }

    /// The entry `own` could be read, or was replaced.
    pub(super) fn release(&self, own: Mark) {
        self.held().remove(&own);
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Mark, Ward>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many entries are told apart.
const COUNT_MAX: usize = 1_024;
/// All of an entry that a tier compares: up to its version.
const HEAD_BYTES: usize = VERSION_INDEX_OFFSET + 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_those_go_that_would_be_looked_at_soonest() {
        let quarantine = Quarantine::new(Duration::from_secs(30));
        let at = |millis: usize| Instant::from_millis(millis as u64);
        let mark = |count: usize| Mark::from_bits(count as u64);
        for count in 0..=COUNT_MAX {
            quarantine.hold(mark(count), b"x", at(count));
        }
        assert!(!quarantine.holds(mark(0), at(COUNT_MAX)) && quarantine.holds(mark(1), at(COUNT_MAX)));
        assert_eq!(quarantine.held().len(), COUNT_MAX);
        quarantine.hold(mark(7_000), b"x", at(60_000));
        assert_eq!(quarantine.held().len(), 1, "those whose time is over go first");
    }
}
