//! Decides how much time is left, tells callees of it, and derives timeouts from latencies that were seen.
//!
//! A caller's deadline is worth little where its callees do not know it: they work on for answers that nobody waits for.
//! [`Deadline`] is the value, [`Told`] what travels of it, by the headers of [`header`]. It is told as the time that is left and never as a time of day,
//! as gRPC does, because clocks of two machines differ; what is told is never more than what is left.
//!
//! [`Latencies`] and [`QuantileTime`] are the other source of limits: how long an attempt takes as a rule.
//!
//! Nothing here reads a clock or arms a timer.

pub mod header;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod latency;
mod quantile;
mod told;

use core::time::Duration;

use mesh_core::time::Instant;

pub use header::GrpcTimeout;
pub use latency::{Latencies, LatencyError};
pub use quantile::{QuantileError, QuantileRule, QuantileTime};
pub use told::Told;

/// When a call has to be over: an instant, or never. Of two the earlier is the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

impl Deadline {
    /// No deadline.
    pub const NEVER: Self = Self(Instant::MAX);

    /// The deadline at `instant`; [`Instant::MAX`] is never.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The deadline when `remaining` has passed after `now`; never, where no instant is so late.
    #[must_use]
    pub fn after(now: Instant, remaining: Duration) -> Self {
        Self(now.after(remaining))
    }

    /// The deadline of a callee: so much earlier that its answer is back in time. Of never, never.
    #[must_use]
    pub fn child(self, margin: Duration) -> Self {
        if self == Self::NEVER { self } else { Self(self.0.before(margin)) }
    }

    /// The instant, or `None` for never.
    #[must_use]
    pub fn instant(self) -> Option<Instant> {
        (self != Self::NEVER).then_some(self.0)
    }

    /// How much time is left, zero where none is; `None` for never.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Option<Duration> {
        self.instant().map(|instant| instant.since(now))
    }

    /// Whether no time is left.
    #[must_use]
    pub fn has_passed(self, now: Instant) -> bool {
        self.instant().is_some_and(|instant| now >= instant)
    }

    /// How long an attempt may take that starts at `now` and may take `timeout` by itself: no longer than what is left.
    /// `None` is without limit.
    #[must_use]
    pub fn limit(self, now: Instant, timeout: Option<Duration>) -> Option<Duration> {
        match (self.remaining(now), timeout) {
            (Some(remaining), Some(timeout)) => Some(remaining.min(timeout)),
            (remaining, timeout) => remaining.or(timeout),
        }
    }
}

impl Default for Deadline {
    /// Never.
    fn default() -> Self {
        Self::NEVER
    }
}
