//! What is to happen when: events in the order of (time, sequence).
//!
//! Most events wait in a heap. Those that are made in the order of their times anyway (arrivals, timeouts of one
//! length) wait in lanes, where they cost next to nothing; what does not fit a lane's order goes to the heap.

use alloc::collections::{BinaryHeap, VecDeque};
use core::cmp::{Ordering, Reverse};

use mesh_core::time::Instant;

/// A lane of events that are made in the order of their times.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    Arrivals,
    Deadlines,
    AttemptTimeouts,
}

/// The events to come, of type `E`.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    lanes: [VecDeque<Entry<E>>; LANES],
    made: u64,
}

#[derive(Debug)]
struct Entry<E> {
    /// The time in the upper half, the sequence in the lower.
    key: u128,
    event: E,
}

impl<E> Agenda<E> {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), lanes: [const { VecDeque::new() }; LANES], made: 0 }
    }

    /// Lets `event` happen at `at`, after all that was put there before.
    #[inline]
    pub(super) fn push(&mut self, at: Instant, event: E) {
        let entry = self.entry(at, event);
        self.heap.push(Reverse(entry));
    }

    /// As [`Agenda::push`], for events that usually come in the order of their times.
    #[inline]
    pub(super) fn push_in(&mut self, lane: Lane, at: Instant, event: E) {
        let entry = self.entry(at, event);
        let lane = &mut self.lanes[lane as usize];
        if lane.back().is_none_or(|last| last.key < entry.key) {
            lane.push_back(entry);
        } else {
            self.heap.push(Reverse(entry));
        }
    }

    /// The next event and its time.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Instant, E)> {
        let mut first = self.heap.peek().map_or(u128::MAX, |Reverse(entry)| entry.key);
        let mut from = LANES;
        for (lane, entries) in self.lanes.iter().enumerate() {
            if let Some(entry) = entries.front()
                && entry.key < first
            {
                (first, from) = (entry.key, lane);
            }
        }
        let entry = match self.lanes.get_mut(from) {
            Some(lane) => lane.pop_front()?,
            None => self.heap.pop()?.0,
        };
        Some((Instant::from_nanos((entry.key >> 64) as u64), entry.event))
    }

    /// How many events wait in `lane`.
    pub(super) fn len_of(&self, lane: Lane) -> usize {
        self.lanes[lane as usize].len()
    }

    /// Forgets the events of `lane` that are not `live` any more.
    pub(super) fn sweep(&mut self, lane: Lane, live: impl Fn(&E) -> bool) {
        self.lanes[lane as usize].retain(|entry| live(&entry.event));
    }

    #[inline]
    fn entry(&mut self, at: Instant, event: E) -> Entry<E> {
        self.made += 1;
        Entry { key: (u128::from(at.as_nanos()) << 64) | u128::from(self.made), event }
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

const LANES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_of_their_making_wherever_they_wait() {
        let at = Instant::from_nanos;
        let mut agenda = Agenda::new();
        agenda.push(at(5), 'c');
        agenda.push_in(Lane::Deadlines, at(5), 'd');
        agenda.push_in(Lane::Deadlines, at(3), 'a');
        agenda.push(at(5), 'e');
        agenda.push_in(Lane::Arrivals, at(4), 'b');
        let order: Vec<_> = core::iter::from_fn(|| agenda.pop()).collect();
        assert_eq!(order, [(at(3), 'a'), (at(4), 'b'), (at(5), 'c'), (at(5), 'd'), (at(5), 'e')]);
    }

    #[test]
    fn what_is_not_live_any_more_is_forgotten() {
        let mut agenda = Agenda::new();
        for number in 0..10 {
            agenda.push_in(Lane::Deadlines, Instant::from_nanos(number), number);
        }
        agenda.sweep(Lane::Deadlines, |number| number % 2 == 1);
        assert_eq!(agenda.len_of(Lane::Deadlines), 5);
        assert_eq!(agenda.pop(), Some((Instant::from_nanos(1), 1)));
    }
}
