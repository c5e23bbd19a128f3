//! Decides whether a call may make one more attempt, from what all calls to a service have done lately.
//!
//! Backoff spreads retries, and only a budget bounds them: while a service is down every call of every client would
//! otherwise be made as often as its policy allows, and the service that comes back meets several times its usual load.
//! A [`Budget`] is asked before a retry or a hedge is waited for, and never for a first attempt.
//!
//! | budget | what it bounds | whose |
//! |---|---|---|
//! | [`TokenBucket`] | extra attempts by a share of the first ones and a trickle with time | the default |
//! | [`WindowBudget`] | the same over a sliding window, with a reserve | Finagle, tower, Linkerd |
//! | [`GrpcThrottle`] | closes when failures outnumber successes by too much | gRPC (proposal A6) |
//! | [`AwsStandard`] | spends a quota that successes earn back | AWS SDKs, standard mode |
//! | [`ConcurrentRetries`] | extra attempts that are under way at once | Envoy |
//!
//! [`BudgetConfig`] is any of them in a configuration file.
//!
//! A budget is data plane: all threads share one value, whose methods take `&self`, lock nothing, wait for nothing and
//! allocate nothing. It reads no clock. Threads may tell it of times in any order; one that goes back brings nothing and
//! takes nothing away.
//!
//! A budget of your own plugs in at [`Budget`]:
//! ```
//! use mesh_retry::Instant;
//! use mesh_retry::budget::{After, Answer, Budget, BudgetKind, Denial, End, Extra, Level, Paid, TokenBucket};
//!
//! /// Retries nothing that took too long, and hands on what else is asked.
//! #[derive(Debug)]
//! struct NoneAfterTimeouts(TokenBucket);
//!
//! impl Budget for NoneAfterTimeouts {
//!     fn deposit(&self, now: Instant) {
//!         self.0.deposit(now);
//!     }
//!     fn withdraw(&self, now: Instant, extra: Extra) -> Answer {
//!         if extra.after == After::TimedOut {
//!             return Answer::Denied(Denial::new(BudgetKind::Custom("none-after-timeouts"), 0, 1000, None));
//!         }
//!         self.0.withdraw(now, extra)
//!     }
//!     fn ended(&self, now: Instant, end: End, paid: Option<Paid>) {
//!         self.0.ended(now, end, paid);
//!     }
//!     fn level(&self, now: Instant) -> Level {
//!         self.0.level(now)
//!     }
//! }
//!
//! let budget = NoneAfterTimeouts(TokenBucket::new(&Default::default()));
//! assert!(budget.withdraw(Instant::ZERO, Extra::retry(After::Transient)).is_granted());
//! assert!(!budget.withdraw(Instant::ZERO, Extra::retry(After::TimedOut)).is_granted());
//! ```
//!
//! # In what order it is told
//!
//! For every attempt of a call, at the time it happens:
//! 1. [`Budget::deposit`], when the first attempt begins; [`Budget::withdraw`] before the wait for each further one.
//! 2. [`Budget::ended`] once for each attempt that was deposited or granted, whether it was made or not: with
//!    [`End::Cancelled`] where a hedge lost or the caller left, and with [`End::NotMade`] where nothing was sent.
//!
//! A retry is asked for after the end of the attempt that failed has been told, so that the failure counts.

mod accrual;
mod answer;
mod aws;
mod concurrent;
mod config;
mod grpc;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod token_bucket;
mod window;

use core::fmt;

use mesh_core::time::Instant;

pub use answer::{Answer, BudgetKind, Denial, Level, Paid};
pub use aws::{AwsConfig, AwsStandard};
pub use concurrent::{ConcurrentConfig, ConcurrentRetries};
pub use config::{BudgetConfig, BudgetError};
pub use grpc::{GrpcThrottle, GrpcThrottleConfig};
pub use token_bucket::{TokenBucket, TokenBucketConfig};
pub use window::{WindowBudget, WindowConfig, WindowRule};

/// Decides whether a call may make one more attempt. Shared by all calls to a service.
///
/// [The module](self) says in what order it is told.
pub trait Budget: fmt::Debug + Send + Sync {
    /// A call makes its first attempt.
    fn deposit(&self, now: Instant);

    /// Asks for one more attempt: a retry, or a hedge. What is granted is paid, whatever the attempt comes to, unless
    /// the budget gives something back in [`Budget::ended`], as for one that was not made.
    fn withdraw(&self, now: Instant, extra: Extra) -> Answer;

    /// An attempt ended; `paid` is what it was granted with, `None` for a first attempt. Of a call that is dropped `now` is
    /// the last time that it was told, which may be long ago.
    fn ended(&self, now: Instant, end: End, paid: Option<Paid>);

    /// What it has, for measurements and explanations. Changes nothing.
    fn level(&self, now: Instant) -> Level;
}

/// What a budget is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Extra {
    /// What the attempt would be.
    pub kind: ExtraKind,
    /// What made the call want it.
    pub after: After,
}

impl Extra {
    /// A retry after an attempt that ended like this.
    #[must_use]
    pub const fn retry(after: After) -> Self {
        Self { kind: ExtraKind::Retry, after }
    }

    /// A hedge: a second attempt while the first is slow.
    #[must_use]
    pub const fn hedge() -> Self {
        Self { kind: ExtraKind::Hedge, after: After::Slow }
    }
}

/// What an attempt beyond the first would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExtraKind {
    /// It takes the place of one that failed.
    Retry,
    /// It runs beside one that is slow.
    Hedge,
}

/// What made a call want one more attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum After {
    /// An attempt failed in a way that another may not.
    Transient,
    /// An attempt took too long and was abandoned; the callee may still be at work on it.
    TimedOut,
    /// The callee asked for fewer attempts.
    Throttled,
    /// An attempt is under way for longer than most.
    Slow,
}

/// How an attempt ended, as far as budgets care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// With success.
    Succeeded,
    /// With a failure that may be retried, or that the callee asked not to retry: an error, no answer in time, a request
    /// for fewer attempts.
    Failed,
    /// With a failure that every attempt would meet alike, and that says nothing of the callee's health.
    Permanent,
    /// Nobody waits for its result any more: a hedge that lost, a caller that gave up. The callee may have worked on it.
    Cancelled,
    /// It was not made after all: there was no instance, a gate was shut, or the caller gave up before it was sent. The
    /// callee has heard nothing of it.
    NotMade,
}
