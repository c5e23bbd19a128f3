//! The policies of the mesh and of its peers, with the numbers that their users know.

use core::num::NonZeroU32;
use core::time::Duration;

use super::{RetryAfter, RetryPolicy};
use crate::backoff::Backoff;

impl RetryPolicy {
    /// For callers to whom latency matters more than the callee's load: 5 attempts, 50 ms to 5 s, growing by
    /// half.
    #[must_use]
    pub const fn aggressive() -> Self {
        Self::preset(5, Backoff::aggressive())
    }

    /// For callees that suffer from retries: 2 attempts, 500 ms to 15 s, doubling.
    #[must_use]
    pub const fn conservative() -> Self {
        Self::preset(2, Backoff::conservative())
    }

    /// For operations that must not be repeated: 1 attempt.
    #[must_use]
    pub const fn never() -> Self {
        Self::preset(1, Backoff::STANDARD)
    }

    /// The standard mode of AWS's SDKs before 2026: 3 attempts, [`Backoff::aws_2024`], an announced wait instead of the
    /// backoff's but at most its cap of 20 s.
    #[must_use]
    pub const fn aws_2024() -> Self {
        Self { retry_after: RetryAfter::InsteadAtMost, ..Self::preset(3, Backoff::aws_2024()) }
    }

    /// The standard mode of AWS's SDKs from November 2026: 3 attempts (DynamoDB's clients make 4), [`Backoff::aws_2026`],
    /// an announced wait within 5 s of the backoff's.
    #[must_use]
    pub const fn aws_2026() -> Self {
        Self { retry_after: RetryAfter::Clamped, ..Self::preset(3, Backoff::aws_2026()) }
    }

    /// gRPC's (proposal A6) with the numbers of its example: 4 attempts, of which gRPC's clients make at most 5 whatever
    /// they are told, and [`Backoff::grpc`]. A pushback is waited for instead, as long as it may say: 2^31 − 1 ms.
    #[must_use]
    pub const fn grpc() -> Self {
        Self {
            retry_after: RetryAfter::Instead,
            retry_after_max: Duration::from_millis(PUSHBACK_MILLIS_MAX),
            ..Self::preset(4, Backoff::grpc())
        }
    }

    /// Envoy's default: one retry (`num_retries`), [`Backoff::envoy`], announced waits ignored.
    #[must_use]
    pub const fn envoy() -> Self {
        Self { retry_after: RetryAfter::Ignored, ..Self::preset(2, Backoff::envoy()) }
    }

    /// Finagle's: [`Backoff::finagle`], announced waits ignored. Finagle leaves the number of attempts to its budget and
    /// to whoever names it (`RetryPolicy.tries`); without a budget that has no bound, so it is 3 here.
    #[must_use]
    pub const fn finagle() -> Self {
        Self { retry_after: RetryAfter::Ignored, ..Self::preset(3, Backoff::finagle()) }
    }

    /// A preset honours announced waits as long as its own longest wait.
    const fn preset(attempts_max: u32, backoff: Backoff) -> Self {
        Self {
            attempts_max: NonZeroU32::MIN.saturating_add(attempts_max.saturating_sub(1)),
            backoff,
            deadline: None,
            attempt_timeout: None,
            retry_after: RetryAfter::OnTop,
            retry_after_max: backoff.cap,
            attempt_timeout_rule: None,
            hedge: None,
        }
    }
}

impl Default for RetryPolicy {
    /// For most callers: 3 attempts, 100 ms to 10 s, doubling.
    fn default() -> Self {
        Self::preset(3, Backoff::STANDARD)
    }
}

/// The longest pushback, a signed number of 32 bits.
const PUSHBACK_MILLIS_MAX: u64 = i32::MAX as u64;
