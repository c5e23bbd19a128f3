//! Decides what becomes of a wait that the callee announced.

use core::time::Duration;

use mesh_core::rng::Rng;
use thiserror::Error;

use super::RetryPolicy;
use crate::backoff::{Cause, Waits};

/// What a policy makes of a wait that the callee announced: `Retry-After`, a pushback, `x-amz-retry-after`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum RetryAfter {
    /// Waits as long as announced, and for a draw of the backoff on top: callers who were all told the same wait do not
    /// come back all at once. Gives up on one that is longer than `retry_after_max`.
    #[default]
    OnTop,
    /// Waits as long as announced and draws nothing; the backoff begins anew, so that the next wait is that of a first
    /// retry (gRPC, proposal A6). Gives up on one that is longer than `retry_after_max`.
    Instead,
    /// Waits as long as announced, at most `retry_after_max` (AWS, retry specification 2.0).
    InsteadAtMost,
    /// Waits as long as announced, but no shorter than a draw of the backoff and no longer than 5 s more than that (AWS,
    /// retry specification 2.1; smithy-rs, `standard.rs`).
    Clamped,
    /// Waits for a draw of the backoff, whatever was announced (Envoy, unless `rate_limited_retry_back_off` is set).
    Ignored,
}

/// A callee asked to be left alone for longer than the policy waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the callee asked for a wait of {announced:?} and the policy allows {max:?}")]
#[non_exhaustive]
pub struct RetryAfterTooLong {
    /// What the callee asked for.
    pub announced: Duration,
    /// The policy's limit.
    pub max: Duration,
}

impl RetryPolicy {
    /// How long the next retry of the call that keeps `waits` waits, from that call's own generator.
    ///
    /// `cause` is how the attempt before ended, `announced` the wait that its answer announced. Where none was, the wait is
    /// at most the backoff's cap; otherwise at most that and `retry_after_max`, or 5 s more than the cap.
    ///
    /// # Errors
    /// The callee asked for more than the policy waits. `waits` and `rng` are as before.
    pub fn wait(
        &self,
        waits: &mut Waits,
        cause: Cause,
        announced: Option<Duration>,
        rng: &mut Rng,
    ) -> Result<Duration, RetryAfterTooLong> {
        let Some(announced) = announced else { return Ok(self.backoff.delay(waits, cause, rng)) };
        let max = self.retry_after_max;
        let too_long = announced > max;
        match self.retry_after {
            RetryAfter::OnTop | RetryAfter::Instead if too_long => Err(RetryAfterTooLong { announced, max }),
            RetryAfter::OnTop => Ok(announced.saturating_add(self.backoff.delay(waits, cause, rng))),
            RetryAfter::Instead => {
                waits.restart();
                Ok(announced)
            }
            RetryAfter::InsteadAtMost => {
                // The backoff is a retry further all the same, as it is there.
                let _ = self.backoff.delay(waits, cause, rng);
                Ok(announced.min(max))
            }
            RetryAfter::Clamped => {
                let drawn = self.backoff.delay(waits, cause, rng);
                Ok(announced.clamp(drawn, drawn.saturating_add(CLAMP)))
            }
            RetryAfter::Ignored => Ok(self.backoff.delay(waits, cause, rng)),
        }
    }
}

/// By how much a clamped wait may be longer than the backoff's.
const CLAMP: Duration = Duration::from_secs(5);
