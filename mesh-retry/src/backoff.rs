//! Decides how long a retry waits: a ceiling that grows with the retries, and a draw below it.
//!
//! The ceiling of retry k is `min(cap, base * multiplier^(k - 1))`; with full jitter the wait is uniform in
//! `[0, ceiling]` (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). The cap is
//! applied before the draw, so no wait exceeds it. All arithmetic is in integers, so no number of retries
//! overflows, and the same generator gives the same waits on every machine.
//!
//! It never reads a clock, sleeps or keeps a generator: calls that share a [`Backoff`] share no jitter.

use core::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::time::saturating_nanos;
use thiserror::Error;

/// An exponential backoff.
///
/// The default is that of [`RetryPolicy::default`](crate::policy::RetryPolicy): 100 ms to 10 s, doubling, full
/// jitter. [`Backoff::validate`] names what is wrong with a configuration; the other methods are total, and
/// take a multiplier below 1 as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Backoff {
    /// The ceiling of the first retry; longer than zero.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub base: Duration,
    /// What no ceiling exceeds; at least `base`.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub cap: Duration,
    /// The growth from one ceiling to the next, in thousandths: 1500 is 1.5. At least 1000.
    pub multiplier_milli: u32,
    /// How the wait is drawn below the ceiling.
    pub jitter: Jitter,
}

/// How a wait is drawn below its ceiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Jitter {
    /// Waits for the ceiling itself and draws nothing. Callers that fail together come back together.
    None,
    /// Waits for a time uniform in `[0, ceiling]`, both included.
    #[default]
    Full,
}

/// What is wrong with a [`Backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackoffError {
    /// A base of zero would never grow.
    #[error("base: 0ns is not allowed: must be longer than zero")]
    BaseZero,
    /// The cap is shorter than the first ceiling.
    #[error("cap: {cap:?} is not allowed: must be at least base, which is {base:?}")]
    CapBelowBase {
        /// The configured base.
        base: Duration,
        /// The configured cap.
        cap: Duration,
    },
    /// The waits would shrink from retry to retry.
    #[error("multiplier_milli: {multiplier_milli} is not allowed: must be at least 1000, which is 1.0")]
    MultiplierBelowOne {
        /// The configured multiplier in thousandths.
        multiplier_milli: u32,
    },
}

impl Backoff {
    /// The backoff of the default policy.
    pub(crate) const STANDARD: Self = Self::exponential(Duration::from_millis(100), Duration::from_secs(10), 2000);

    /// An exponential backoff from `base` to `cap` with full jitter.
    pub(crate) const fn exponential(base: Duration, cap: Duration, multiplier_milli: u32) -> Self {
        Self { base, cap, multiplier_milli, jitter: Jitter::Full }
    }

    /// Draws the wait before the `retry`-th retry, counted from 1, from the caller's own generator.
    ///
    /// Every draw advances `rng`. The wait is at most [`Backoff::ceiling`] of the same retry.
    #[must_use = "a wait that is not waited for is no backoff"]
    pub fn delay(&self, retry: u32, rng: &mut Rng) -> Duration {
        let ceiling = self.ceiling(retry);
        match self.jitter {
            Jitter::None => ceiling,
            Jitter::Full => rng.up_to(ceiling),
        }
    }

    /// The longest wait before the `retry`-th retry, counted from 1: `min(cap, base * multiplier^(retry - 1))`.
    ///
    /// Retry 0 is the first attempt, which waits for nothing. Rounded down to whole nanoseconds; grows
    /// in steps until the cap is reached, which takes few for any multiplier of use.
    #[must_use]
    pub fn ceiling(&self, retry: u32) -> Duration {
        if retry == 0 {
            return Duration::ZERO;
        }
        let cap = saturating_nanos(self.cap);
        let cap_fixed = u128::from(cap) << FRACTION_BITS;
        let multiplier = u128::from(self.multiplier_milli.max(ONE_MILLI));
        let mut ceiling = u128::from(saturating_nanos(self.base)) << FRACTION_BITS;
        for _ in 1..retry {
            // Below the cap the ceiling has at most 96 bits and the multiplier 32: the product fits.
            let next = if ceiling < cap_fixed { ceiling * multiplier / u128::from(ONE_MILLI) } else { ceiling };
            if next == ceiling {
                break;
            }
            ceiling = next;
        }
        let nanos = u64::try_from(ceiling >> FRACTION_BITS).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos.min(cap))
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub const fn validate(&self) -> Result<(), BackoffError> {
        if self.base.is_zero() {
            return Err(BackoffError::BaseZero);
        }
        if self.cap.as_nanos() < self.base.as_nanos() {
            return Err(BackoffError::CapBelowBase { base: self.base, cap: self.cap });
        }
        if self.multiplier_milli < ONE_MILLI {
            return Err(BackoffError::MultiplierBelowOne { multiplier_milli: self.multiplier_milli });
        }
        Ok(())
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// A multiplier of 1.
const ONE_MILLI: u32 = 1000;

/// Fractions of a nanosecond that a ceiling keeps while it grows, so that a base of a few nanoseconds grows by
/// small multipliers too.
const FRACTION_BITS: u32 = 32;
