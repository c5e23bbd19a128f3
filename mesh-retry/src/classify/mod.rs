//! Decides what a result means for the call: done, worth another attempt, or final.
//!
//! A class says nothing of when or whether a retry follows: that is the call machine's decision. No
//! classifier keeps state or reads a clock.

mod http;

use core::time::Duration;

use mesh_core::balance::Outcome;

pub use http::{class_of_status, parse_retry_after};

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
}

impl Class {
    /// The same class with the wait that the callee announced, which only [`Class::Throttled`] carries.
    #[must_use]
    pub const fn with_retry_after(self, announced: Option<Duration>) -> Self {
        match self {
            Self::Throttled { .. } => Self::Throttled { retry_after: announced },
            Self::Success | Self::Transient | Self::Unreachable | Self::Permanent => self,
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
        }
    }

    /// How long the callee asks to be left alone, where it says so.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => retry_after,
            Self::Success | Self::Transient | Self::Unreachable | Self::Permanent => None,
        }
    }

    /// Whether another attempt could end otherwise.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Unreachable | Self::Throttled { .. })
    }
}

/// Tells what a result means for the call.
///
/// Any closure `Fn(&Result<T, E>) -> Class` is one.
pub trait Classify<T, E> {
    /// The class of `result`.
    fn classify(&self, result: &Result<T, E>) -> Class;
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

/// TEMPORARY until retry-a.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Idempotency {
    /// yes
    #[default]
    Idempotent,
    /// no
    NotIdempotent,
}
impl Idempotency {
    /// hedges
    pub const fn allows_hedges(self) -> bool {
        matches!(self, Self::Idempotent)
    }
    /// retries
    pub const fn allows_retry(self, class: Option<Class>) -> bool {
        matches!(self, Self::Idempotent) || matches!(class, Some(Class::Throttled { .. }))
    }
}
