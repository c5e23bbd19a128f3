//! The backoffs of the mesh and of its peers, with the numbers that their users know.

use core::time::Duration;

use super::{Backoff, Jitter, Shape};

impl Backoff {
    /// The backoff of the default policy.
    pub(crate) const STANDARD: Self = Self::exponential(ms(100), Duration::from_secs(10));

    /// The same step for every retry, with full jitter.
    #[must_use]
    pub const fn constant(step: Duration) -> Self {
        Self { shape: Shape::Constant, ..Self::exponential(step, step) }
    }

    /// From `base` to `cap` in steps of `base`, with full jitter.
    #[must_use]
    pub const fn linear(base: Duration, cap: Duration) -> Self {
        Self { shape: Shape::Linear, ..Self::exponential(base, cap) }
    }

    /// From `base` to `cap`, doubling, with full jitter.
    #[must_use]
    pub const fn exponential(base: Duration, cap: Duration) -> Self {
        Self {
            shape: Shape::Exponential,
            base,
            throttled_base: None,
            cap,
            multiplier_milli: DOUBLING,
            jitter: Jitter::Full,
        }
    }

    /// From `base` to `cap` with decorrelated jitter.
    #[must_use]
    pub const fn decorrelated(base: Duration, cap: Duration) -> Self {
        Self { jitter: Jitter::Decorrelated, ..Self::exponential(base, cap) }
    }

    /// For callers to whom latency matters more than the callee's load: 50 ms to 5 s, growing by half, full jitter.
    #[must_use]
    pub const fn aggressive() -> Self {
        Self { multiplier_milli: 1500, ..Self::exponential(ms(50), Duration::from_secs(5)) }
    }

    /// For callees that suffer from retries: 500 ms to 15 s, doubling, full jitter.
    #[must_use]
    pub const fn conservative() -> Self {
        Self::exponential(ms(500), Duration::from_secs(15))
    }

    /// The standard mode of AWS's SDKs before 2026: a random part of `min(20 s, 1 s * 2^(k - 1))` (retry specification
    /// 2.0; smithy-rs, `standard.rs`).
    #[must_use]
    pub const fn aws_2024() -> Self {
        Self::exponential(Duration::from_secs(1), Duration::from_secs(20))
    }

    /// The standard mode of AWS's SDKs from November 2026: a random part of `min(20 s, base * 2^(k - 1))`, the base 50 ms,
    /// or 1 s after a throttled attempt (retry specification 2.1; smithy-rs, `standard.rs`). DynamoDB's base is 25 ms.
    #[must_use]
    pub const fn aws_2026() -> Self {
        Self { throttled_base: Some(Duration::from_secs(1)), ..Self::exponential(ms(50), Duration::from_secs(20)) }
    }

    /// gRPC's `min(initial * multiplier^(k - 1), max)` within a fifth (proposal A6, as revised in 2024), with the numbers
    /// of the proposal's example: 100 ms, 2, 1 s. gRPC itself has none: its service configuration must name them.
    ///
    /// Unlike there, the longest waits end at the maximum: see [`Jitter::Proportional`].
    #[must_use]
    pub const fn grpc() -> Self {
        Self { jitter: Jitter::Proportional, ..Self::exponential(ms(100), Duration::from_secs(1)) }
    }

    /// Envoy's: uniform in `[0, 25 ms * (2^k - 1)]`, at most 250 ms (`router_filter.rst`; the maximum is ten times the
    /// base).
    ///
    /// Envoy leaves out the end of the range and cuts its draws off at the maximum, so that the later of them are often
    /// the maximum itself; here the range ends with it.
    #[must_use]
    pub const fn envoy() -> Self {
        Self { shape: Shape::ExponentialSum, ..Self::exponential(ms(25), ms(250)) }
    }

    /// Finagle's `RetryPolicy.tries`: decorrelated from 5 ms to 200 ms (`RetryPolicy.scala`).
    ///
    /// Finagle's first wait is always the base; here it is drawn as the others are, between the base and three times
    /// that, because callers that failed together would come back together.
    #[must_use]
    pub const fn finagle() -> Self {
        Self::decorrelated(ms(5), ms(200))
    }
}

const DOUBLING: u32 = 2000;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
