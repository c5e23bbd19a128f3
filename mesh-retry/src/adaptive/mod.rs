//! Decides how fast a client may send, from how often it is told to slow down: the rate limiter of AWS SDKs' adaptive mode.
//!
//! Until a callee throttles for the first time nobody waits. From then on every attempt, first ones included, takes its turn
//! in a bucket that fills at a rate: a throttled attempt cuts it to seven tenths of the rate at which replies come, and
//! successes let it grow along a cubic curve, slowly around the rate that was too much and fast beyond it (CUBIC, RFC 9438,
//! as the SDKs have it: smithy-rs `client_rate_limiter.rs`, botocore `retries/adaptive.py`). It never exceeds twice the
//! rate at which replies come.
//!
//! - [`Cubic`] is the rate alone: a plain value in floats, bit for bit that of the SDKs.
//! - [`RateLimiter`] is what threads share: `&self`, no lock, no allocation, `now` passed.
//!
//! An SDK in adaptive mode spends an [`AwsStandard`](crate::budget::AwsStandard) quota as well: the one says how much may be
//! retried, this when.

mod cubic;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod limiter;

pub use cubic::{Cubic, Curve};
pub use limiter::{RateLimiter, WaitTooLong};
