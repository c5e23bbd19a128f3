//! A bounded map whose entries are forgotten in the order in which they expire.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::coordinator::store::StoreTime;

/// Values that are forgotten at their time, or before it where there are too many. Each operation costs the logarithm of how
/// many there are, and so does each that is forgotten.
#[derive(Clone, Debug)]
pub(super) struct Expiring<K, V> {
    by_key: BTreeMap<K, (StoreTime, V)>,
    by_end: BTreeSet<(StoreTime, K)>,
    most: usize,
}

impl<K: Ord + Copy, V> Expiring<K, V> {
    /// Room for `most` values.
    pub(super) const fn new(most: usize) -> Self {
        Self { by_key: BTreeMap::new(), by_end: BTreeSet::new(), most }
    }

    /// The value of `key`, unless it has expired.
    pub(super) fn get_mut(&mut self, now: StoreTime, key: K) -> Option<&mut V> {
        self.sweep(now);
        self.by_key.get_mut(&key).map(|(_, value)| value)
    }

    /// Puts `value` in place of any that `key` had, to be forgotten `lives` after `now`.
    pub(super) fn put(&mut self, now: StoreTime, key: K, lives: Duration, value: V) {
        self.sweep(now);
        self.remove(key);
        if self.by_key.len() >= self.most
            && let Some((_, next)) = self.by_end.pop_first()
        {
            self.by_key.remove(&next);
        }
        let micros = u64::try_from(lives.as_micros()).unwrap_or(u64::MAX);
        let end = StoreTime::from_micros(now.as_micros().saturating_add(micros));
        self.by_end.insert((end, key));
        self.by_key.insert(key, (end, value));
    }

    /// Takes the value of `key` away, expired or not.
    pub(super) fn remove(&mut self, key: K) -> Option<V> {
        let (end, value) = self.by_key.remove(&key)?;
        self.by_end.remove(&(end, key));
        Some(value)
    }

    /// Whether another key would take the place of one that is there, unless some have expired.
    pub(super) fn is_full(&self) -> bool {
        self.by_key.len() >= self.most
    }

    /// The values that have not expired, in the order of their keys.
    pub(super) fn values(&mut self, now: StoreTime) -> impl Iterator<Item = &V> {
        self.sweep(now);
        self.by_key.values().map(|(_, value)| value)
    }

    fn sweep(&mut self, now: StoreTime) {
        while let Some((end, key)) = self.by_end.first().copied()
            && end <= now
        {
            self.by_end.remove(&(end, key));
            self.by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> StoreTime {
        StoreTime::from_micros(seconds * 1_000_000)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_value_is_forgotten_at_its_time_and_put_again_it_lives_anew() {
        let mut map = Expiring::new(4);
        map.put(at(0), 'a', seconds(10), 1);
        assert_eq!(map.get_mut(at(9), 'a'), Some(&mut 1));
        map.put(at(9), 'a', seconds(10), 2);
        assert_eq!(map.get_mut(at(18), 'a'), Some(&mut 2));
        assert_eq!(map.get_mut(at(19), 'a'), None);
        assert_eq!(map.values(at(19)).count(), 0);
    }

    #[test]
    fn where_there_are_too_many_the_next_to_expire_makes_room() {
        let mut map = Expiring::new(2);
        map.put(at(0), 'a', seconds(30), 1);
        map.put(at(0), 'b', seconds(10), 2);
        map.put(at(0), 'c', seconds(20), 3);
        assert_eq!(map.values(at(0)).copied().collect::<Vec<_>>(), [1, 3]);
        map.put(at(1), 'a', seconds(30), 4);
        assert_eq!(map.values(at(1)).copied().collect::<Vec<_>>(), [4, 3], "one that is there takes nobody's place");
        assert_eq!((map.remove('c'), map.remove('c')), (Some(3), None));
    }

    #[test]
    fn no_time_is_too_long_and_time_that_goes_back_forgets_nothing() {
        let mut map = Expiring::new(2);
        map.put(at(100), 'a', Duration::MAX, 1);
        map.put(at(100), 'b', seconds(1), 2);
        assert_eq!(map.values(at(50)).count(), 2);
        assert_eq!(map.get_mut(StoreTime::from_micros(u64::MAX - 1), 'a'), Some(&mut 1));
    }
}
