//! Decides what a result means for the call: done, worth another attempt, or final.
//!
//! A class says nothing of when or whether a retry follows: that is the call machine's decision. No
//! classifier keeps state or reads a clock.

//!
//! Three questions are asked apart. What happened: a [`Class`], by [`class_of_status`], [`GrpcCode::class`],
//! [`class_of_io`], [`class_of_reset`], or a closure of the user's ([`Classify`]). What the callee may have done:
//! [`Done`]. And whether the request may be done twice: [`Idempotency`], whose [`judge`](Idempotency::judge) brings the
//! three together.

mod announced;
mod date;
mod grpc;
mod http;
mod idempotency;
mod io;
mod reset;

use core::fmt;
use core::time::Duration;

use mesh_core::balance::Outcome;

pub(crate) use announced::whole_number;
pub use announced::{Pushback, parse_amz_retry_after, parse_retry_after};
pub use date::parse_http_date;
pub use grpc::{GrpcCode, GrpcCodes};
pub use http::{class_of_status, done_by_status};
pub use idempotency::{Done, Idempotency, UnsafeRules};
pub use io::{class_of_io, done_by_io};
pub use reset::{class_of_reset, done_by_reset};

/// What the result of an attempt means for the call.
///
/// Exhaustive on purpose: a driver also tells balancer and health what happened, and a class that it does not
/// know would be reported wrongly, so a new one must break its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The call is done.
    Success,
    /// The attempt failed in a way that another one, elsewhere or later, may not.
    Transient,
    /// There was no answer, because there was no connection or it broke; elsewhere or later there may be one.
    Unreachable,
    /// The callee is overloaded and asks for fewer attempts.
    Throttled {
        /// How long the callee asks to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
    /// Every attempt would fail alike.
    Permanent,
    /// Another attempt might end otherwise, but none may be made.
    Final {
        /// How it failed, which is what balancer and health learn.
        failure: Failure,
        /// Who rules that out.
        by: FinalBy,
    },
}

/// How an attempt failed that another one might mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// As [`Class::Transient`].
    Transient,
    /// As [`Class::Unreachable`].
    Unreachable,
    /// As [`Class::Throttled`].
    Throttled {
        /// How long the callee asks to be left alone, where it says so.
        retry_after: Option<Duration>,
    },
}

/// Who rules another attempt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalBy {
    /// The callee, which asked for no retry.
    Callee,
    /// The request: it may have been done, and must not be done twice.
    Idempotency,
    /// The configuration: failures with this code are not retried.
    Code,
}

impl Class {
    /// The same class with the wait that the callee announced, which only [`Class::Throttled`] carries.
    #[must_use]
    pub const fn with_retry_after(self, announced: Option<Duration>) -> Self {
        match self {
            Self::Throttled { .. } => Self::Throttled { retry_after: announced },
            Self::Success | Self::Transient | Self::Unreachable | Self::Permanent | Self::Final { .. } => self,
        }
    }

    /// The same failure with no attempt after it, because `by` rules that out; what was final before stays as it was.
    #[must_use]
    pub const fn final_by(self, by: FinalBy) -> Self {
        match self.failure() {
            Some(failure) => Self::Final { failure, by },
            None => self,
        }
    }

    /// What the balancer learns of the instance that gave such a result.
    ///
    /// A permanent failure is none of the instance's: what it refused for good, every other would refuse as well.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Success | Self::Permanent => Outcome::Success,
            Self::Transient => Outcome::Failure,
            Self::Unreachable => Outcome::Unreachable,
            Self::Throttled { retry_after } => Outcome::Overloaded { retry_after },
            Self::Final { failure, .. } => failure.class().outcome(),
        }
    }

    /// How long the callee asks to be left alone, where it says so.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => retry_after,
            Self::Success | Self::Transient | Self::Unreachable | Self::Permanent | Self::Final { .. } => None,
        }
    }

    /// Whether another attempt may be made, and could end otherwise.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        self.failure().is_some()
    }

    /// How it failed, where another attempt may be made.
    #[must_use]
    pub const fn failure(self) -> Option<Failure> {
        match self {
            Self::Transient => Some(Failure::Transient),
            Self::Unreachable => Some(Failure::Unreachable),
            Self::Throttled { retry_after } => Some(Failure::Throttled { retry_after }),
            Self::Success | Self::Permanent | Self::Final { .. } => None,
        }
    }
}

impl Failure {
    /// The class of it where another attempt may be made.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Transient => Class::Transient,
            Self::Unreachable => Class::Unreachable,
            Self::Throttled { retry_after } => Class::Throttled { retry_after },
        }
    }
}

impl FinalBy {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Callee => "pushed-back",
            Self::Idempotency => "not-idempotent",
            Self::Code => "code-not-retried",
        }
    }
}

impl fmt::Display for FinalBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Callee => "the callee asked for no retry",
            Self::Idempotency => "the request may have been done and is not idempotent",
            Self::Code => "failures with this code are not retried",
        })
    }
}

/// Tells what a result means for the call.
///
/// Any closure `Fn(&Result<T, E>) -> Class` is one.
pub trait Classify<T, E> {
    /// The class of `result`.
    fn classify(&self, result: &Result<T, E>) -> Class;

    /// What the callee may have done of the request that `result` is of, where it failed: asked for operations that may not
    /// be repeated. There is no telling, unless a classifier tells.
    fn done(&self, result: &Result<T, E>) -> Done {
        let _ = result;
        Done::Perhaps
    }
}

impl<T, E, F> Classify<T, E> for F
where
    F: Fn(&Result<T, E>) -> Class,
{
    fn classify(&self, result: &Result<T, E>) -> Class {
        self(result)
    }
}

/// Takes every `Ok` for a success and every `Err` for transient.
///
/// Right for operations that may be repeated. Whoever calls operations that may not needs a classifier of
/// their own, or [`RetryPolicy::never`](crate::policy::RetryPolicy::never).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErrorsAreTransient;

impl<T, E> Classify<T, E> for ErrorsAreTransient {
    fn classify(&self, result: &Result<T, E>) -> Class {
        match result {
            Ok(_) => Class::Success,
            Err(_) => Class::Transient,
        }
    }
}
