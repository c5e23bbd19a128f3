//! Decides how much a call may retry: how many attempts, how long they wait and how long they may take.
//!
//! A policy is plain data. It holds no generator and no counter, so one value serves any number of calls, and
//! a copy of it behaves like the original.

mod announced;
mod presets;

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::rng::Rng;
use thiserror::Error;

use crate::backoff::{Backoff, BackoffError, Cause, Waits};
use crate::call::{Failed, GiveUpReason};
use crate::classify::Class;
use crate::deadline::{QuantileError, QuantileRule};
use crate::hedge::{HedgeError, HedgePolicy};

pub use announced::{RetryAfter, RetryAfterTooLong};

/// How a call retries.
///
/// [`RetryPolicy::validate`] names what is wrong with a configuration. The presets set neither a deadline nor
/// an attempt timeout: both depend on the callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The most attempts in all, the first one included.
    pub attempts_max: NonZeroU32,
    /// How long the retries wait.
    pub backoff: Backoff,
    /// How long the call may take in all, retries and waits included, from its start; `None` for ever.
    #[cfg_attr(
        feature = "serde",
        serde(with = "mesh_core::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    pub deadline: Option<Duration>,
    /// How long one attempt may take; `None` as long as the deadline allows.
    #[cfg_attr(
        feature = "serde",
        serde(with = "mesh_core::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    pub attempt_timeout: Option<Duration>,
    /// How long one attempt may take by how long attempts take as a rule, where somebody measures that; the shorter of
    /// this and `attempt_timeout` counts. `None` for no such limit.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub attempt_timeout_rule: Option<QuantileRule>,
    /// What becomes of a wait that the callee announced. Default: it is waited for, and a draw of the backoff on top.
    pub retry_after: RetryAfter,
    /// The longest wait announced by a callee that is waited for. By default the call gives up on a longer one: to come
    /// back earlier than told would add to an overload.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub retry_after_max: Duration,
    /// Copies of an attempt that takes long; `None` for none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub hedge: Option<HedgePolicy>,
}

/// What is wrong with a [`RetryPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The backoff breaks a rule of its own.
    #[error("backoff.{0}")]
    Backoff(BackoffError),
    /// The rule of the attempt timeout breaks a rule of its own.
    #[error("attempt_timeout_rule.{0}")]
    AttemptTimeoutRule(QuantileError),
    /// The hedges break a rule of their own.
    #[error("hedge.{0}")]
    Hedge(HedgeError),
    /// No attempt could start.
    #[error("deadline: 0ns is not allowed: must be longer than zero, or left out")]
    DeadlineZero,
    /// No attempt could end.
    #[error("attempt_timeout: 0ns is not allowed: must be longer than zero, or left out")]
    AttemptTimeoutZero,
}

impl RetryPolicy {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), PolicyError> {
        self.backoff.validate().map_err(PolicyError::Backoff)?;
        if self.deadline.is_some_and(|deadline| deadline.is_zero()) {
            return Err(PolicyError::DeadlineZero);
        }
        if self.attempt_timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(PolicyError::AttemptTimeoutZero);
        }
        if let Some(Err(error)) = self.attempt_timeout_rule.map(|rule| rule.validate()) {
            return Err(PolicyError::AttemptTimeoutRule(error));
        }
        self.hedge.map_or(Ok(()), |hedge| hedge.validate().map_err(PolicyError::Hedge))
    }

    /// How long to wait before another attempt, or why there is none, as [`Terms::retry`](crate::call::Terms::retry) asks.
    ///
    /// The wait is that of [`RetryPolicy::wait`].
    ///
    /// # Errors
    /// No attempts are left, or what was announced is longer than `retry_after_max`.
    pub fn retry(&self, failed: &Failed, waits: &mut Waits, rng: &mut Rng) -> Result<Duration, GiveUpReason> {
        if failed.retries.saturating_add(1) >= self.attempts_max.get() {
            return Err(GiveUpReason::AttemptsExhausted { attempts_max: self.attempts_max });
        }
        let cause = match failed.class {
            Some(Class::Throttled { .. }) => Cause::Throttled,
            Some(Class::Success | Class::Transient | Class::Unreachable | Class::Permanent | Class::Final { .. })
            | None => Cause::Failed,
        };
        self.wait(waits, cause, failed.announced, rng).map_err(GiveUpReason::from)
    }
}
