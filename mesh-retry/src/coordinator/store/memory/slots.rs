//! Counters whose numbers are each given once.

use core::time::Duration;

use super::expiring::Expiring;
use crate::coordinator::store::{Slots, StateKey, StoreTime, TakeSlots};

/// The counters of a memory store. One that nobody has asked for a minute begins anew, and so does one that makes room for
/// another: to take the same slot as somebody else long ago harms nobody.
#[derive(Clone, Debug)]
pub(super) struct Counters(Expiring<StateKey, u64>);

impl Default for Counters {
    fn default() -> Self {
        Self(Expiring::new(KEYS_MAX))
    }
}

impl Counters {
    pub(super) fn take(&mut self, now: StoreTime, command: &TakeSlots) -> Slots {
        let first = self.0.get_mut(now, command.counter).map_or(0, |next| *next);
        let next = first + u64::from(command.count.max(1));
        // Larger numbers are not exact in a store that counts in doubles, so none is given anywhere.
        let (first, next) = if next > NUMBER_MAX { (0, u64::from(command.count.max(1))) } else { (first, next) };
        self.0.put(now, command.counter, KEPT_FOR, next);
        Slots { at: now, first }
    }
}

const KEYS_MAX: usize = 16_384;
const KEPT_FOR: Duration = Duration::from_secs(60);
const NUMBER_MAX: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_never_passes_what_a_double_holds() {
        let (mut counters, counter) = (Counters::default(), StateKey::new(1));
        counters.0.put(StoreTime::default(), counter, KEPT_FOR, NUMBER_MAX - 3);
        let mut take = |count| counters.take(StoreTime::default(), &TakeSlots { counter, count }).first;
        assert_eq!([take(3), take(1), take(1)], [NUMBER_MAX - 3, 0, 1]);
    }
}
