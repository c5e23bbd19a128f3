//! Decides when a call that has waited long enough sends a second copy of its request elsewhere.
//!
//! A hedge is sent while the attempts before it are still under way; the first success wins and the others are
//! cancelled (Jeffrey Dean and Luiz André Barroso, "The Tail at Scale", Communications of the ACM 56(2), 2013).
//! Where latencies are independent and `F` is their distribution, a hedge after a delay `d` turns the tail
//! `1 - F(t)` into `(1 - F(t))(1 - F(t - d))` and adds `1 - F(d)` of the load.

use core::num::NonZeroU32;
use core::time::Duration;

use thiserror::Error;

use crate::deadline::{QuantileError, QuantileRule};

/// How a call hedges. The default sends one copy after 50 ms.
///
/// Hedges repeat a request while its first attempt may still be carried out, so they are never sent for
/// operations that may not be repeated: see [`Terms::may_repeat`](crate::call::Terms::may_repeat).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct HedgePolicy {
    /// How long each copy has before the next one is sent.
    pub delay: HedgeDelay,
    /// The most copies under way for one attempt, itself included: 2 to [`COPIES_MAX`]. A retry may be hedged anew.
    pub attempts_max: NonZeroU32,
}

/// How long a copy has before the next one is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
#[non_exhaustive]
pub enum HedgeDelay {
    /// That long; zero sends all copies at once.
    After(#[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))] Duration),
    /// As long as a share of the attempts takes, within bounds. Where nobody measures that, the rule's `max`.
    Quantile(QuantileRule),
}

/// The most copies of one attempt. gRPC's service config allows as many (proposal A6).
pub const COPIES_MAX: u32 = 5;

/// What is wrong with a [`HedgePolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HedgeError {
    /// One copy is no hedge, and a call keeps track of few.
    #[error("attempts_max: {attempts_max} is not allowed: must be 2 to {COPIES_MAX}")]
    AttemptsMax {
        /// The configured number.
        attempts_max: u32,
    },
    /// The rule that the delay follows breaks a rule of its own.
    #[error("delay.quantile.{0}")]
    Quantile(QuantileError),
}

impl HedgePolicy {
    /// Sends a second copy after `delay`.
    #[must_use]
    pub const fn after(delay: Duration) -> Self {
        Self { delay: HedgeDelay::After(delay), attempts_max: NonZeroU32::MIN.saturating_add(1) }
    }

    /// Sends a second copy when the first takes longer than `rule` says: [`QuantileRule::hedge_delay`] hedges what is
    /// slower than 95 % of the attempts.
    #[must_use]
    pub const fn quantile(rule: QuantileRule) -> Self {
        Self { delay: HedgeDelay::Quantile(rule), attempts_max: NonZeroU32::MIN.saturating_add(1) }
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), HedgeError> {
        let attempts_max = self.attempts_max.get();
        if !(2..=COPIES_MAX).contains(&attempts_max) {
            return Err(HedgeError::AttemptsMax { attempts_max });
        }
        match self.delay {
            HedgeDelay::After(_) => Ok(()),
            HedgeDelay::Quantile(rule) => rule.validate().map_err(HedgeError::Quantile),
        }
    }
}

impl Default for HedgePolicy {
    fn default() -> Self {
        Self::after(Duration::from_millis(50))
    }
}

impl HedgeDelay {
    /// The delay, where `time` tells what a rule says.
    pub(crate) fn given(&self, time: impl FnOnce(&QuantileRule) -> Option<Duration>) -> Duration {
        match self {
            Self::After(delay) => *delay,
            Self::Quantile(rule) => time(rule).unwrap_or(rule.max),
        }
    }
}
