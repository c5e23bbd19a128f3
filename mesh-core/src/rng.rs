//! Randomness as the decisions see it: seeded, portable, and owned by whoever draws.
//!
//! [`Rng`] is xoshiro256++ seeded through SplitMix64 (Blackman and Vigna, "Scrambled linear pseudorandom
//! number generators", 2021): the same seed gives the same numbers on every machine and in every version
//! of this crate. [`Draws`] stretches the one word of entropy that a pick is given. Neither is fit for
//! secrets.

use core::time::Duration;

use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::time::saturating_nanos;

/// A seeded generator whose numbers are the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The generator of `seed`.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A generator of its own for a part of the owner, seeded by the next number of this one.
    pub fn fork(&mut self) -> Self {
        Self::from_seed(self.next_u64())
    }

    /// A number below `bound`, or 0 when `bound` is 0.
    ///
    /// The bias of the multiply-shift is below `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.next_u64(), bound)
    }

    /// A duration from zero to `most`, both included.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let nanos = saturating_nanos(most);
        let drawn = if nanos == u64::MAX { self.next_u64() } else { self.below(nanos + 1) };
        Duration::from_nanos(drawn)
    }

    /// A float in [0, 1) with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        let bits = self.next_u64() >> 11;
        bits as f64 * (1.0 / 9_007_199_254_740_992.0)
    }
}

/// The draws of one pick, all made from the single word of entropy that the pick was given.
///
/// SplitMix64: two additions and two multiplications a draw, no state outside the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws(u64);

impl Draws {
    /// The draws of `entropy`.
    #[must_use]
    pub const fn new(entropy: u64) -> Self {
        Self(entropy)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, or 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.next_u64(), bound)
    }

    /// An index below `len`, or 0 when `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}

/// SplitMix64's finaliser: a bijection in which every input bit moves every output bit.
#[must_use]
#[inline]
pub const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

/// Maps 64 random bits onto `0..bound` by multiplication (Lemire, "Fast random integer generation in an
/// interval", 2019, without the rejection step).
#[must_use]
#[inline]
pub const fn scale(bits: u64, bound: u64) -> u64 {
    ((bits as u128 * bound as u128) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        let mut rng = Rng::from_seed(1);
        let drawn: [u64; 3] = core::array::from_fn(|_| rng.next_u64());
        assert_eq!(drawn, [0xCFC5_D07F_6F03_C29B, 0xBF42_4132_963F_E08D, 0x19A3_7D57_57AA_F520]);
        let mut draws = Draws::new(0);
        assert_eq!(draws.next_u64(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn bounded_draws_stay_in_their_bounds() {
        let mut rng = Rng::from_seed(7);
        for _ in 0..10_000 {
            assert!(rng.below(3) < 3);
            assert!(rng.up_to(Duration::from_nanos(2)) <= Duration::from_nanos(2));
            assert!((0.0..1.0).contains(&rng.unit()));
        }
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.up_to(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn forks_draw_numbers_of_their_own() {
        let mut rng = Rng::from_seed(7);
        assert_ne!(rng.fork().next_u64(), rng.fork().next_u64());
    }
}
