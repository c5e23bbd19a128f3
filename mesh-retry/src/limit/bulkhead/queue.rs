//! Those who wait, in the order in which they came.

use std::collections::BTreeMap;

use mesh_core::time::Instant;
use mesh_core::timers::Timers;

use super::message::EntrantId;

/// Who waits, since when and until when. Every change costs the logarithm of how many there are.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<Place, Waiter>,
    places: BTreeMap<EntrantId, Place>,
    deadlines: Timers<Place>,
    next: u64,
}

/// The order of coming.
type Place = u64;

/// One who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) id: EntrantId,
    pub(super) since: Instant,
}

impl Queue {
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn contains(&self, id: EntrantId) -> bool {
        self.places.contains_key(&id)
    }

    /// Who has waited longest.
    pub(super) fn oldest(&self) -> Option<Waiter> {
        self.waiting.first_key_value().map(|(_, waiter)| *waiter)
    }

    /// The earliest deadline.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(super) fn push(&mut self, waiter: Waiter, deadline: Option<Instant>) {
        let place = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting.insert(place, waiter);
        self.places.insert(waiter.id, place);
        if let Some(deadline) = deadline {
            self.deadlines.set(place, deadline);
        }
    }

    pub(super) fn pop_oldest(&mut self) -> Option<Waiter> {
        let place = *self.waiting.first_key_value()?.0;
        self.take(place)
    }

    pub(super) fn pop_newest(&mut self) -> Option<Waiter> {
        let place = *self.waiting.last_key_value()?.0;
        self.take(place)
    }

    /// One whose deadline has come.
    pub(super) fn pop_late(&mut self, now: Instant) -> Option<Waiter> {
        let place = self.deadlines.pop_due(now)?;
        self.take(place)
    }

    pub(super) fn remove(&mut self, id: EntrantId) -> Option<Waiter> {
        let place = *self.places.get(&id)?;
        self.take(place)
    }

    fn take(&mut self, place: Place) -> Option<Waiter> {
        let waiter = self.waiting.remove(&place)?;
        self.places.remove(&waiter.id);
        self.deadlines.clear(&place);
        Some(waiter)
    }
}
