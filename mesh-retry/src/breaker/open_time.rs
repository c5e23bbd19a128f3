//! For how long a breaker is open.

use core::time::Duration;

use mesh_core::rng::{mix, scale};
use mesh_core::time::saturating_nanos;

use super::config::{OpenJitter, OpenTime};

impl OpenTime {
    /// How long a breaker with `seed` is open that has opened in `generation`, after `failed` half-open times in a row
    /// that failed. The same numbers give the same time.
    pub(super) fn time(&self, failed: u32, seed: u64, generation: u32) -> Duration {
        let longest = self.longest(failed);
        let nanos = match self.jitter {
            OpenJitter::None => longest,
            OpenJitter::Equal => {
                let least = longest / 2;
                least + scale(mix(seed ^ mix(u64::from(generation))), longest - least + 1)
            }
        };
        Duration::from_nanos(nanos)
    }

    /// The time before jitter, in nanoseconds. No product overflows: a day is less than 2^47, and the growth 2^17.
    fn longest(&self, failed: u32) -> u64 {
        let (mut nanos, max) = (saturating_nanos(self.base), saturating_nanos(self.max));
        for _ in 0..failed {
            if nanos >= max {
                break;
            }
            nanos = nanos * u64::from(self.growth_milli) / 1000;
        }
        nanos.min(max)
    }
}
