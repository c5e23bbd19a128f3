//! How many requests are in flight and how many may be, in one word: an admission compares both as they are at one
//! moment.
//!
//! Envoy's adaptive concurrency filter loads its count, compares it with the limit and adds one in three steps, so that
//! as many requests as it has threads may pass the limit together (`gradient_controller.cc` says so in a comment).
//! Here the comparison and the addition are one exchange of one word.

use crate::sync::{AtomicU64, Ordering};

/// The requests in flight (24 bits), the limit (24 bits), and the generation (16 bits).
///
/// Requests of an earlier generation say nothing about the present one: it changes where an algorithm begins to
/// measure afresh.
#[derive(Debug)]
pub(super) struct Occupancy(AtomicU64);

/// What an [`Occupancy`] was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Occupancy {
    pub(super) fn new(limit: u32) -> Self {
        Self(AtomicU64::new(Seen(0).with_limit(limit).0))
    }

    pub(super) fn read(&self) -> Seen {
        Seen(self.0.load(Ordering::Relaxed))
    }

    /// Lets one more request in and returns what is seen then, or what is seen where there is no room.
    pub(super) fn enter(&self) -> Result<Seen, Seen> {
        let mut seen = self.read();
        loop {
            if seen.in_flight() >= seen.limit() {
                return Err(seen);
            }
            // The word is all that is shared: nothing is handed over with it.
            let one_more = seen.0 + ONE;
            match self.0.compare_exchange_weak(seen.0, one_more, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(Seen(one_more)),
                Err(other) => seen = Seen(other),
            }
        }
    }

    /// Lets a request go and returns what was seen before.
    ///
    /// None goes where none is in flight: a permit of another limit would take from its neighbour in the word.
    pub(super) fn leave(&self) -> Seen {
        let one_less = |word: u64| (Seen(word).in_flight() > 0).then(|| word - ONE);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(seen) | Err(seen) => Seen(seen),
        }
    }

    /// Changes the limit. Who is in flight stays there.
    pub(super) fn set(&self, limit: u32) {
        self.change(|seen| seen.with_limit(limit));
    }

    /// Changes the limit and begins a new generation.
    pub(super) fn set_afresh(&self, limit: u32) {
        self.change(|seen| seen.with_limit(limit).of_next_generation());
    }

    fn change(&self, change: impl Fn(Seen) -> Seen) {
        let changed = |word: u64| Some(change(Seen(word)).0);
        // The closure always answers with a word, so the update cannot fail.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
    }
}

impl Seen {
    pub(super) const fn in_flight(self) -> u32 {
        (self.0 & FIELD) as u32
    }

    pub(super) const fn limit(self) -> u32 {
        (self.0 >> FIELD_BITS & FIELD) as u32
    }

    pub(super) const fn generation(self) -> u16 {
        (self.0 >> (2 * FIELD_BITS)) as u16
    }

    fn with_limit(self, limit: u32) -> Self {
        let limit = u64::from(limit.clamp(1, LIMIT_MAX));
        Self(self.0 & !(FIELD << FIELD_BITS) | limit << FIELD_BITS)
    }

    const fn of_next_generation(self) -> Self {
        Self(self.0.wrapping_add(1 << (2 * FIELD_BITS)))
    }
}

/// The highest limit.
pub(super) const LIMIT_MAX: u32 = FIELD as u32;

const ONE: u64 = 1;
const FIELD_BITS: u32 = 24;
const FIELD: u64 = (1 << FIELD_BITS) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_word_do_not_touch_each_other() {
        let occupancy = Occupancy::new(u32::MAX);
        assert_eq!(occupancy.read().limit(), LIMIT_MAX);
        occupancy.enter().unwrap();
        for generation in 1..=70_000_u32 {
            occupancy.set_afresh(0);
            let seen = occupancy.read();
            assert_eq!((seen.in_flight(), seen.limit(), seen.generation()), (1, 1, generation as u16));
        }
        assert_eq!(occupancy.leave().in_flight(), 1);
        assert_eq!(occupancy.leave().in_flight(), 0);
        assert_eq!((occupancy.read().in_flight(), occupancy.read().limit()), (0, 1));
    }

    #[test]
    fn who_is_in_flight_stays_there_when_the_limit_falls() {
        let occupancy = Occupancy::new(3);
        (0..3).for_each(|_| assert!(occupancy.enter().is_ok()));
        assert_eq!(occupancy.enter().unwrap_err().in_flight(), 3);
        occupancy.set(1);
        assert_eq!(occupancy.read().in_flight(), 3);
        occupancy.leave();
        occupancy.leave();
        assert!(occupancy.enter().is_err());
        occupancy.leave();
        assert!(occupancy.enter().is_ok());
    }
}
