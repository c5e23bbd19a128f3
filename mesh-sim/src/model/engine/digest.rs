//! The hash of a trace: what two runs are compared by.
//!
//! Only integers go in, each event with its time, kind and subject, in the order in which they happen, so the hash is
//! the same on every machine on which the events are.

use mesh_core::rng::mix;
use mesh_core::time::Instant;

use crate::model::observe::Event;

/// The hash of the events so far, and how many there were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digest {
    hash: u64,
    events: u64,
}

impl Digest {
    #[inline]
    pub(super) fn take(&mut self, at: Instant, event: &Event) {
        let who = (u64::from(event.server) << 32) | u64::from(event.client);
        let what = (u64::from(event.attempt) << 8) | event.kind as u64;
        // Sums of products with odd constants: no field can stand in for another.
        let word = at
            .as_nanos()
            .wrapping_mul(ODD[0])
            .wrapping_add(event.request.wrapping_mul(ODD[1]))
            .wrapping_add(who.wrapping_mul(ODD[2]))
            .wrapping_add(what.wrapping_mul(ODD[3]));
        // A product folded onto itself: one multiplication between an event and the next.
        let product = u128::from(self.hash ^ word ^ ODD[2]) * u128::from(ODD[1]);
        self.hash = (product as u64) ^ (product >> 64) as u64;
        self.events += 1;
    }

    pub(super) const fn events(self) -> u64 {
        self.events
    }

    pub(super) fn text(self) -> String {
        format!("{:016x}", mix(self.hash ^ self.events))
    }
}

/// Fractions of square roots (of 2, 3, 5 and 7), made odd.
const ODD: [u64; 4] = [0x6A09_E667_F3BC_C909, 0xBB67_AE85_84CA_A73B, 0x3C6E_F372_FE94_F82B, 0xA54F_F53A_5F1D_36F1];
