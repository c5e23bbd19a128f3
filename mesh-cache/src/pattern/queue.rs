//! Values that wait to be written: one a key, in the order in which the keys came.
//!
//! Decides which are written next, and when. It writes nothing, reads no clock and draws nothing: time and the waits
//! after failures are passed in. It drops no value, either: values are their owners' code then, and it stands behind a
//! lock.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mesh_core::time::Instant;

use crate::cache::Found;
use crate::key::Key;

/// What is to be written of each key: a value, or that there is none.
#[derive(Debug)]
pub(super) struct Queue<V> {
    /// The keys; those of a batch under way stand first.
    order: VecDeque<Key>,
    entries: BTreeMap<Key, Entry<V>>,
    count_max: usize,
    /// How many puts there were.
    puts: u64,
    is_writing: bool,
    /// Since when the first key has been waiting.
    waiting_since: Option<Instant>,
    /// Before when nothing is tried again.
    paused_until: Option<Instant>,
    failures_in_a_row: u32,
    is_hurried: bool,
}

/// What is to be written of one key.
#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) found: Option<Found<V>>,
    /// When it was put.
    pub(super) at: Instant,
    /// The put that brought it.
    pub(super) put: u64,
    /// The first put of which nothing has been written.
    first: u64,
}

/// What a batch writes of one key.
#[derive(Debug)]
pub(super) struct Item<V> {
    pub(super) key: Key,
    pub(super) found: Option<Found<V>>,
    put: u64,
}

impl<V> Queue<V> {
    /// A queue of at most `count_max` keys.
    pub(super) const fn new(count_max: usize) -> Self {
        Self {
            order: VecDeque::new(),
            entries: BTreeMap::new(),
            count_max,
            puts: 0,
            is_writing: false,
            waiting_since: None,
            paused_until: None,
            failures_in_a_row: 0,
            is_hurried: false,
        }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing is queued, and nothing is being written.
    pub(super) fn is_idle(&self) -> bool {
        self.order.is_empty() && !self.is_writing
    }

    /// The number of the last put.
    pub(super) const fn puts(&self) -> u64 {
        self.puts
    }

    /// Queues what is to be written of `key`, and returns what it takes the place of.
    ///
    /// # Errors
    /// What was to be queued: there is no room for another key.
    pub(super) fn put(
        &mut self,
        key: &Key,
        found: Option<Found<V>>,
        now: Instant,
    ) -> Result<Option<Entry<V>>, Option<Found<V>>> {
        let put = self.puts + 1;
        if let Some(entry) = self.entries.get_mut(key) {
            self.puts = put;
            let first = entry.first;
            return Ok(Some(std::mem::replace(entry, Entry { found, at: now, put, first })));
        }
        if self.order.len() >= self.count_max {
            return Err(found);
        }
        self.puts = put;
        self.waiting_since.get_or_insert(now);
        self.order.push_back(key.clone());
        self.entries.insert(key.clone(), Entry { found, at: now, put, first: put });
        Ok(None)
    }

    /// What is queued for `key`, until it has been written.
    pub(super) fn get(&self, key: &Key) -> Option<&Entry<V>> {
        self.entries.get(key)
    }

    /// When the next batch is to be written, if there is something to be written.
    pub(super) fn due(&self, batch_max: usize, interval: Duration) -> Option<Instant> {
        let since = self.waiting_since?;
        let is_full = self.order.len() >= batch_max;
        let due = if self.is_hurried || is_full { since } else { since + interval };
        Some(self.paused_until.map_or(due, |paused| due.max(paused)))
    }

    /// Until it is empty, what is queued is written without waiting for more; now also without waiting because something
    /// failed.
    pub(super) fn hurry(&mut self) {
        self.is_hurried = !self.is_idle();
        self.paused_until = None;
        self.failures_in_a_row = 0;
    }

    /// Begins to write the first `count_max`.
    pub(super) fn begin(&mut self, count_max: usize) -> Vec<Item<V>> {
        self.is_writing = true;
        let item = |key: &Key| {
            let entry = self.entries.get(key)?;
            Some(Item { key: key.clone(), found: entry.found.clone(), put: entry.put })
        };
        self.order.iter().take(count_max).filter_map(item).collect()
    }

    /// The first that is being written, `item`, was written, or never will be. Returns whether nothing later is queued
    /// for its key; what is stands last now.
    ///
    /// Failures before it do not count any more: an origin that answers now and then is worth trying soon.
    pub(super) fn settle(&mut self, item: &Item<V>) -> bool {
        self.order.pop_front();
        self.failures_in_a_row = 0;
        let Some(entry) = self.entries.get_mut(&item.key) else { return true };
        if entry.put == item.put {
            // The item shares the value, and drops it.
            self.entries.remove(&item.key);
            return true;
        }
        entry.first = item.put + 1;
        self.order.push_back(item.key.clone());
        false
    }

    /// The batch has ended well.
    pub(super) fn end(&mut self, now: Instant) {
        self.is_writing = false;
        self.waiting_since = (!self.order.is_empty()).then_some(now);
        self.paused_until = None;
        self.failures_in_a_row = 0;
        self.is_hurried &= !self.order.is_empty();
    }

    /// The batch has failed; `wait` makes of the number of failures in a row how long nothing is tried.
    pub(super) fn fail(&mut self, now: Instant, wait: impl FnOnce(u32) -> Duration) {
        let failures = self.failures_in_a_row.saturating_add(1);
        let is_hurried = self.is_hurried;
        self.end(now);
        (self.failures_in_a_row, self.is_hurried) = (failures, is_hurried);
        self.paused_until = Some(now + wait(failures));
    }

    /// Whether of a put up to the number `put` neither it nor a later one of its key has been written.
    pub(super) fn owes(&self, put: u64) -> bool {
        self.entries.values().any(|entry| entry.first <= put)
    }

    /// The keys of which something is still to be written, in their order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.order.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    fn put(queue: &mut Queue<u64>, name: &str, value: u64) -> bool {
        queue.put(&key(name), Some(Found::new(value)), Instant::ZERO).is_ok()
    }

    fn names(items: &[Item<u64>]) -> Vec<(String, u64)> {
        items.iter().map(|item| (item.key.to_string(), *item.found.as_ref().unwrap().value)).collect()
    }

    #[test]
    fn the_last_value_of_a_key_is_written_when_its_first_one_would_have_been() {
        let mut queue = Queue::new(2);
        assert!(put(&mut queue, "a", 1) && put(&mut queue, "b", 2) && put(&mut queue, "a", 3));
        assert!(!put(&mut queue, "c", 4), "it is full");
        let batch = queue.begin(8);
        assert_eq!(names(&batch), [("a".into(), 3), ("b".into(), 2)]);
        assert!(put(&mut queue, "a", 5), "while it is being written");
        assert!(!queue.settle(&batch[0]) && queue.settle(&batch[1]));
        assert!(!queue.owes(3), "the puts up to the third were written");
        assert!(queue.owes(4));
        queue.end(Instant::ZERO);
        assert_eq!(names(&queue.begin(8)), [("a".into(), 5)]);
    }

    #[test]
    fn what_could_not_be_written_stays_in_its_place_with_what_came_meanwhile() {
        let mut queue = Queue::new(8);
        ["a", "b", "c"].iter().for_each(|name| assert!(put(&mut queue, name, 1)));
        let batch = queue.begin(2);
        assert!(put(&mut queue, "b", 7));
        assert!(queue.settle(&batch[0]));
        queue.fail(Instant::ZERO, |failures| Duration::from_secs(u64::from(failures)));
        assert_eq!(queue.due(1, Duration::ZERO), Some(Instant::from_millis(1_000)));
        assert_eq!(names(&queue.begin(8)), [("b".into(), 7), ("c".into(), 1)]);
        queue.fail(Instant::ZERO, |failures| Duration::from_secs(u64::from(failures)));
        assert_eq!(queue.due(1, Duration::ZERO), Some(Instant::from_millis(2_000)));
        assert!(!queue.settle(&batch[1]), "which was written before `b` was put again, so that it stands last now");
        queue.fail(Instant::ZERO, |failures| Duration::from_secs(u64::from(failures)));
        assert_eq!(queue.due(1, Duration::ZERO), Some(Instant::from_millis(1_000)), "it was no failure in a row");
        queue.hurry();
        assert_eq!(queue.due(9, Duration::from_secs(1)), Some(Instant::ZERO));
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_has_waited() {
        let (mut queue, interval) = (Queue::new(8), Duration::from_secs(1));
        assert_eq!(queue.due(2, interval), None);
        put(&mut queue, "a", 1);
        assert_eq!(queue.due(2, interval), Some(Instant::from_millis(1_000)));
        put(&mut queue, "b", 1);
        assert_eq!(queue.due(2, interval), Some(Instant::ZERO));
        let batch = queue.begin(2);
        assert!(!queue.is_idle());
        batch.iter().for_each(|item| assert!(queue.settle(item)));
        queue.end(Instant::ZERO);
        assert_eq!((queue.due(2, interval), queue.is_idle()), (None, true));
    }
}
