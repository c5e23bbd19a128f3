//! Where randomness comes from: independent streams, each derived from the seed and a name.
//!
//! What belongs to one request (its demand, its messages) is drawn from the stream of that request and attempt
//! alone, so that every strategy meets the same work. No stream depends on the strategy.

use mesh_core::rng::{Draws, Rng, mix};

/// Anything that random bits come from.
pub(super) trait Bits {
    /// The next 64 random bits.
    fn bits(&mut self) -> u64;

    /// A float in [0, 1) with 53 random bits.
    #[inline]
    fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }
}

impl Bits for Rng {
    #[inline]
    fn bits(&mut self) -> u64 {
        self.next_u64()
    }
}

impl Bits for Draws {
    #[inline]
    fn bits(&mut self) -> u64 {
        self.next_u64()
    }
}

/// A family of streams: one for each pair of numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams(u64);

impl Streams {
    /// The family called `name`, derived from `seed`.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a: the same on every machine, and no two of our names meet.
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
        });
        Self(mix(seed ^ mix(hash)))
    }

    /// The one stream of a family that has only one.
    pub(super) fn single(self) -> Rng {
        Rng::from_seed(self.0)
    }

    /// The seed of the stream numbered `major`.
    pub(super) const fn seed(self, major: u64) -> u64 {
        mix(self.0 ^ mix(major.wrapping_add(GOLDEN)))
    }

    /// The stream numbered `major` and `minor`.
    #[inline]
    pub(super) const fn stream(self, major: u64, minor: u64) -> Draws {
        Draws::new(mix(self.0 ^ major.wrapping_mul(GOLDEN) ^ minor.wrapping_mul(SILVER)))
    }
}

/// 2^64 divided by the golden ratio, SplitMix64's increment.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// 2^64 divided by the silver ratio, made odd.
const SILVER: u64 = 0x6A09_E667_F3BC_C909;
