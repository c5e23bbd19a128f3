//! What is to happen when: events in the order of (time, sequence).
//!
//! Most events wait in a heap. Those that are made in the order of their times anyway (arrivals, timeouts of one
//! length) wait in lanes, where they cost next to nothing; what does not fit a lane's order goes to the heap.

use alloc::collections::{BinaryHeap, VecDeque};
use core::cmp::Reverse;

use mesh_core::time::Instant;

/// A lane of events that are made in the order of their times.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    Arrivals,
    Deadlines,
    AttemptTimeouts,
}

/// The events to come, of type `E`.
///
/// The heap holds nothing but keys: the time in the upper half, then the sequence, then the event's place in `events`.
/// The sequence has 36 bits. Should it ever come round, events of one time may change places; they do so in every run
/// alike.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    heap: BinaryHeap<Reverse<u128>>,
    events: Vec<E>,
    free: Vec<u32>,
    lanes: [VecDeque<(u128, E)>; LANES],
    made: u64,
}

impl<E: Copy> Agenda<E> {
    pub(super) const fn new() -> Self {
        let lanes = [const { VecDeque::new() }; LANES];
        Self { heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), lanes, made: 0 }
    }

    /// Lets `event` happen at `at`, after all that was put there before.
    #[inline]
    pub(super) fn push(&mut self, at: Instant, event: E) {
        let key = self.key(at);
        self.push_key(key, event);
    }

    /// Lets `event` happen at `at`, before everything else then. At most one such event may wait at a time.
    pub(super) fn push_first(&mut self, at: Instant, event: E) {
        self.push_key(u128::from(at.as_nanos()) << 64, event);
    }

    /// As [`Agenda::push`], for events that usually come in the order of their times.
    #[inline]
    pub(super) fn push_in(&mut self, lane: Lane, at: Instant, event: E) {
        let key = self.key(at);
        let entries = &mut self.lanes[lane as usize];
        if entries.back().is_none_or(|(last, _)| *last < key) {
            entries.push_back((key, event));
        } else {
            self.push_key(key, event);
        }
    }

    /// The next event and its time.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<(Instant, E)> {
        let mut first = self.heap.peek().map_or(u128::MAX, |Reverse(key)| *key);
        let mut from = LANES;
        for (lane, entries) in self.lanes.iter().enumerate() {
            if let Some((key, _)) = entries.front()
                && *key < first
            {
                (first, from) = (*key, lane);
            }
        }
        let event = match self.lanes.get_mut(from) {
            Some(lane) => lane.pop_front()?.1,
            None => {
                let Reverse(key) = self.heap.pop()?;
                let place = (key & PLACE) as u32;
                self.free.push(place);
                self.events[place as usize]
            }
        };
        Some((Instant::from_nanos((first >> 64) as u64), event))
    }

    /// The event that the heap will give next.
    #[inline]
    pub(super) fn peek(&self) -> Option<&E> {
        let Reverse(key) = self.heap.peek()?;
        self.events.get((key & PLACE) as usize)
    }

    /// How many events wait in `lane`.
    pub(super) fn len_of(&self, lane: Lane) -> usize {
        self.lanes[lane as usize].len()
    }

    /// Forgets the events of `lane` that are not `live` any more.
    pub(super) fn sweep(&mut self, lane: Lane, live: impl Fn(&E) -> bool) {
        self.lanes[lane as usize].retain(|(_, event)| live(event));
    }

    #[inline]
    fn push_key(&mut self, key: u128, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = event;
                place
            }
            None => {
                self.events.push(event);
                self.events.len() as u32 - 1
            }
        };
        self.heap.push(Reverse(key | u128::from(place)));
    }

    #[inline]
    fn key(&mut self, at: Instant) -> u128 {
        self.made += 1;
        (u128::from(at.as_nanos()) << 64) | ((u128::from(self.made) << PLACE_BITS) & u128::from(u64::MAX))
    }
}

const LANES: usize = 3;
const PLACE_BITS: u32 = 28;
/// The places that events can wait at: 268 million, each of which belongs to something of at least a hundred bytes.
const PLACE: u128 = (1 << PLACE_BITS) - 1;

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
        agenda.push_first(at(5), '!');
        let order: Vec<_> = core::iter::from_fn(|| agenda.pop()).collect();
        assert_eq!(order, [(at(3), 'a'), (at(4), 'b'), (at(5), '!'), (at(5), 'c'), (at(5), 'd'), (at(5), 'e')]);
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
