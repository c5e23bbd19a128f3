//! Decides how long a retry waits: a step that grows with the retries, and a draw around or below it.
//!
//! Step k grows with the [`Shape`] and never passes the cap; the [`Jitter`] spreads the calls that failed together
//! (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). No wait is longer than the cap:
//! it is applied before the draw, and to what the draw may add. All arithmetic is in integers, so no number of
//! retries overflows, and the same generator gives the same waits on every machine.
//!
//! It never reads a clock, sleeps or keeps a generator: calls that share a [`Backoff`] share no jitter. What a
//! call has to remember of its waits is in its own [`Waits`].

mod error;
mod presets;
mod waits;

use core::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::time::saturating_nanos;

pub use error::BackoffError;
pub use waits::{Cause, Waits};

/// How long the retries of a call wait.
///
/// The default is that of [`RetryPolicy::default`](crate::policy::RetryPolicy): 100 ms to 10 s, doubling, full
/// jitter. [`Backoff::validate`] names what is wrong with a configuration; the other methods are total, and
/// take a multiplier below 1 as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Backoff {
    /// How the step grows from retry to retry. Default exponential.
    pub shape: Shape,
    /// The step of the first retry; longer than zero.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub base: Duration,
    /// The base after an attempt that the callee throttled, where it is another; longer than zero. Default none.
    #[cfg_attr(
        feature = "serde",
        serde(with = "mesh_core::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    pub throttled_base: Option<Duration>,
    /// What no wait exceeds; at least each base.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub cap: Duration,
    /// The growth of the exponential shapes from one step to the next, in thousandths: 1500 is 1.5. At least 1000.
    pub multiplier_milli: u32,
    /// How the wait is drawn from the step.
    pub jitter: Jitter,
}

/// How the step grows with the retries, before the cap; k counts them from 1, m is the multiplier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Shape {
    /// `base`.
    Constant,
    /// `base * k`.
    Linear,
    /// `base * m^(k - 1)`.
    #[default]
    Exponential,
    /// `base * (1 + m + … + m^(k - 1))`: with a doubling, Envoy's `base * (2^k - 1)`.
    ExponentialSum,
}

/// How a wait is drawn from its step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Jitter {
    /// Waits for the step itself and draws nothing. Callers that fail together come back together.
    None,
    /// Waits for a time uniform in `[0, step]`, both included.
    #[default]
    Full,
    /// Waits for half of the step, and for a time uniform in the other half: `[step / 2, step]`, both included.
    Equal,
    /// Waits for the step within a fifth: uniform in `[0.8 step, 1.2 step]`, the rule of gRPC (proposal A6, as
    /// revised in 2024). Where that would pass the cap, the range ends with the cap; to cut the draw off instead
    /// would have half of the callers wait for the cap itself.
    Proportional,
    /// Waits for a time uniform in `[base, 3 * previous wait]`, at most the cap; the first in `[base, 3 * base]`.
    /// The waits grow by themselves: shape and multiplier mean nothing here. From a third of the cap on a part
    /// of the waits is the cap itself, as in the published rule (AWS Architecture Blog, 2015).
    Decorrelated,
}

impl Backoff {
    /// Draws the wait before the next retry of the call that keeps `waits`, from that call's own generator.
    ///
    /// `cause` is how the attempt before ended. The wait is at most [`Backoff::ceiling`] of the same retry. Every
    /// draw advances `rng`, and `waits` is the retry further.
    #[must_use = "a wait that is not waited for is no backoff"]
    pub fn delay(&self, waits: &mut Waits, cause: Cause, rng: &mut Rng) -> Duration {
        let (base, cap) = (self.base_after(cause), saturating_nanos(self.cap));
        let step = self.step(waits.retries().saturating_add(1), base);
        let wait = match self.jitter {
            Jitter::None => step,
            Jitter::Full => between(0, step, rng),
            Jitter::Equal => between(step - step / 2, step, rng),
            Jitter::Proportional => between(step - step / FIFTH, step.saturating_add(step / FIFTH).min(cap), rng),
            Jitter::Decorrelated => between(base, waits.previous_nanos().max(base).saturating_mul(3), rng),
        };
        let wait = wait.min(cap);
        waits.note(wait);
        Duration::from_nanos(wait)
    }

    /// The longest wait before the `retry`-th retry, counted from 1, after an attempt that ended by `cause`.
    ///
    /// Retry 0 is the first attempt, which waits for nothing. Rounded down to whole nanoseconds; at most the
    /// cap; grows in steps until it is reached, which takes few for any multiplier of use.
    #[must_use]
    pub fn ceiling(&self, retry: u32, cause: Cause) -> Duration {
        let cap = saturating_nanos(self.cap);
        let step = self.step(retry, self.base_after(cause));
        let ceiling = match self.jitter {
            Jitter::None | Jitter::Full | Jitter::Equal => step,
            Jitter::Proportional => step.saturating_add(step / FIFTH),
            // The wait before may have begun with the other base.
            Jitter::Decorrelated if retry > 0 => {
                let base = Cause::ALL.into_iter().map(|cause| self.base_after(cause)).max().unwrap_or(0);
                base.saturating_mul(3_u64.checked_pow(retry).unwrap_or(u64::MAX))
            }
            Jitter::Decorrelated => 0,
        };
        Duration::from_nanos(ceiling.min(cap))
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
        if let Some(throttled_base) = self.throttled_base {
            if throttled_base.is_zero() {
                return Err(BackoffError::ThrottledBaseZero);
            }
            if self.cap.as_nanos() < throttled_base.as_nanos() {
                return Err(BackoffError::CapBelowThrottledBase { throttled_base, cap: self.cap });
            }
        }
        if self.multiplier_milli < ONE_MILLI {
            return Err(BackoffError::MultiplierBelowOne { multiplier_milli: self.multiplier_milli });
        }
        Ok(())
    }

    fn base_after(&self, cause: Cause) -> u64 {
        saturating_nanos(match (cause, self.throttled_base) {
            (Cause::Throttled, Some(throttled_base)) => throttled_base,
            (Cause::Throttled, None) | (Cause::Failed, _) => self.base,
        })
    }

    /// Step `retry` in nanoseconds, at most the cap.
    fn step(&self, retry: u32, base: u64) -> u64 {
        if retry == 0 {
            return 0;
        }
        let (cap, multiplier) = (saturating_nanos(self.cap), self.multiplier_milli.max(ONE_MILLI));
        let step = match self.shape {
            Shape::Constant => base,
            Shape::Linear => base.saturating_mul(u64::from(retry)),
            // The sum of equal steps, which would take for ever to add up one by one.
            Shape::ExponentialSum if multiplier == ONE_MILLI => base.saturating_mul(u64::from(retry)),
            Shape::Exponential => grown(base, 0, cap, multiplier, retry),
            Shape::ExponentialSum => grown(base, base, cap, multiplier, retry),
        };
        step.min(cap)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::STANDARD
    }
}

/// A number of nanoseconds uniform in `[from, to]`, both included; `from` where `to` is less.
fn between(from: u64, to: u64, rng: &mut Rng) -> u64 {
    let drawn = rng.up_to(Duration::from_nanos(to.saturating_sub(from)));
    from.saturating_add(saturating_nanos(drawn))
}

/// What `first` comes to when it is multiplied by `multiplier` thousandths `retry - 1` times and `added` is added each
/// time, until it passes `cap`.
fn grown(first: u64, added: u64, cap: u64, multiplier: u32, retry: u32) -> u64 {
    let fixed = |nanos: u64| u128::from(nanos) << FRACTION_BITS;
    let (cap, added, mut step) = (fixed(cap), fixed(added), fixed(first));
    for _ in 1..retry {
        // Below the cap the step has at most 96 bits and the multiplier 32: the product fits, and leaves room.
        let next = if step < cap { step * u128::from(multiplier) / u128::from(ONE_MILLI) + added } else { step };
        if next == step {
            break;
        }
        step = next;
    }
    u64::try_from(step >> FRACTION_BITS).unwrap_or(u64::MAX)
}

/// A multiplier of 1.
const ONE_MILLI: u32 = 1000;

/// The part of its step by which a proportional wait may be off.
const FIFTH: u64 = 5;

/// Fractions of a nanosecond that a step keeps while it grows, so that a base of a few nanoseconds grows by
/// small multipliers too.
const FRACTION_BITS: u32 = 32;
