//! What is wrong with a backoff. Decides nothing.

use core::time::Duration;

use thiserror::Error;

/// What is wrong with a [`Backoff`](super::Backoff).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BackoffError {
    /// A base of zero would never grow.
    #[error("base: 0ns is not allowed: must be longer than zero")]
    BaseZero,
    /// The cap is shorter than the first step.
    #[error("cap: {cap:?} is not allowed: must be at least base, which is {base:?}")]
    CapBelowBase {
        /// The configured base.
        base: Duration,
        /// The configured cap.
        cap: Duration,
    },
    /// A base of zero would never grow.
    #[error("throttled_base: 0ns is not allowed: must be longer than zero, or left out")]
    ThrottledBaseZero,
    /// The cap is shorter than the first step after a throttled attempt.
    #[error("cap: {cap:?} is not allowed: must be at least throttled_base, which is {throttled_base:?}")]
    CapBelowThrottledBase {
        /// The configured base of throttled attempts.
        throttled_base: Duration,
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
