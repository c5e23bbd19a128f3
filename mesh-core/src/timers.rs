//! A table of deadlines, one a key: the timer wheel of a machine, small and ordered.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// At most one deadline for each key, served in the order of (deadline, key).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers<K: Ord> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Timers<K> {
    /// A table without deadlines.
    #[must_use]
    pub const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Sets the deadline of `key`, in place of any it had.
    pub fn set(&mut self, key: K, at: Instant) {
        if let Some(old) = self.by_key.insert(key.clone(), at) {
            self.by_time.remove(&(old, key.clone()));
        }
        self.by_time.insert((at, key));
    }

    /// Takes the deadline of `key` away and returns it.
    pub fn clear(&mut self, key: &K) -> Option<Instant> {
        let at = self.by_key.remove(key)?;
        self.by_time.remove(&(at, key.clone()));
        Some(at)
    }

    /// The next key whose deadline is at or before `now`, which it no longer has.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// The deadline of `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<Instant> {
        self.by_key.get(key).copied()
    }

    /// How many keys have a deadline.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key has a deadline.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

impl<K: Ord + Clone> Default for Timers<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn keys_come_due_in_the_order_of_time_then_key() {
        let mut timers = Timers::new();
        timers.set("b", at(5));
        timers.set("a", at(5));
        timers.set("c", at(1));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.pop_due(at(0)), None);
        assert_eq!(
            [timers.pop_due(at(5)), timers.pop_due(at(5)), timers.pop_due(at(5))],
            [Some("c"), Some("a"), Some("b")]
        );
        assert!(timers.is_empty());
    }

    #[test]
    fn setting_a_key_again_moves_its_deadline() {
        let mut timers = Timers::new();
        timers.set(1, at(5));
        timers.set(1, at(9));
        assert_eq!(timers.pop_due(at(8)), None);
        assert_eq!(timers.clear(&1), Some(at(9)));
        assert_eq!(timers.clear(&1), None);
        assert_eq!(timers.next(), None);
    }
}
