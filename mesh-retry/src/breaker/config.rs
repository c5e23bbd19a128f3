//! When a breaker opens, for how long, and how it closes again; with the presets of its well-known peers.

use core::num::NonZeroU32;
use core::time::Duration;

use thiserror::Error;

use super::window::COUNT_MAX;
use super::word::PROBES_MAX;

/// How a breaker decides.
///
/// A threshold of 0 is not looked at; at least one must be. The rates are shares of the calls in the window, compared
/// with `>=` after every call, and only once there are [`calls_min`](Self::calls_min) of them.
///
/// # The default
/// It is meant for calls that are retried and balanced already, where to open costs the callee's healthy part too:
/// * It opens at half of the calls, of at least 20 within 10 s (Hystrix's numbers), or at 20 failures in a row, however
///   long they took: the same evidence, for callers who make too few calls for the rate. At a failure rate just below
///   one half, such a run comes once in 2 million calls; a run of 5 would come once in 62, and undo the rate's threshold.
/// * It has no threshold for slow calls, because no duration fits all callees.
/// * It stays open for 2.5 to 5 s at first, and doubles with every half-open time that fails up to 30 to 60 s: random, so
///   that callers who opened together do not come back together.
/// * It closes when fewer than half of 5 probes fail, the same share that opens it: a callee that is well for most calls
///   must not be kept out by a single failure among its probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct BreakerConfig {
    /// After how many failures in a row it opens. Default 20.
    pub failures_in_row: u32,
    /// Which calls the rates are of. Default 10 buckets of 1 s.
    pub window: WindowKind,
    /// How many calls there must be in the window before a rate says anything: at most 100,000, and never more than the
    /// window can hold. Default 20.
    pub calls_min: NonZeroU32,
    /// The share of failed calls at which it opens, in thousandths: 0 to 1,000. Default 500.
    pub failure_rate_milli: u32,
    /// The share of slow calls at which it opens, in thousandths: 0 to 1,000. Default 0.
    pub slow_rate_milli: u32,
    /// A call is slow that takes longer than this. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub slow_after: Duration,
    /// For how long it is open.
    pub open: OpenTime,
    /// How it closes.
    pub half_open: HalfOpen,
}

/// The calls that the rates are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case", deny_unknown_fields))]
#[non_exhaustive]
pub enum WindowKind {
    /// The last so many.
    Count {
        /// How many: at most 4,095.
        calls: NonZeroU32,
    },
    /// Those of the current bucket and of the ones before it. More than 131,072 are never held: the oldest buckets are
    /// forgotten early then.
    Time {
        /// How many buckets, the current one included: at most 1,000.
        buckets: NonZeroU32,
        /// How long a bucket lasts: 1 ms to 1 h.
        #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
        width: Duration,
    },
}

/// For how long a breaker is open: `min(max, base * growth^n)` after `n` half-open times in a row that failed, with
/// jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct OpenTime {
    /// The first time: 1 ms to 24 h. Default 5 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub base: Duration,
    /// The longest time: `base` to 24 h. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub max: Duration,
    /// The growth from one to the next, in thousandths: 1,000, which is none, to 100,000. It goes on for 31 times.
    /// Default 2,000.
    pub growth_milli: u32,
    /// What is random of it.
    pub jitter: OpenJitter,
}

/// What is random of the time for which a breaker is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum OpenJitter {
    /// Nothing. Breakers that open together ask together whether the callee is well.
    None,
    /// Its second half: uniform between the half and all of it, both included. (Marc Brooker, "Exponential Backoff And
    /// Jitter", AWS Architecture Blog, 2015: "equal jitter".)
    #[default]
    Equal,
}

/// How a half-open breaker decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct HalfOpen {
    /// How many calls are let through until it is decided: 1 to 127. Default 5.
    pub probes: NonZeroU32,
    /// What they must do for it to close.
    pub rule: ProbeRule,
    /// For how long it may be half-open before it opens again undecided: at least 1 ms; `None` for ever. Default `None`.
    #[cfg_attr(
        feature = "serde",
        serde(with = "mesh_core::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    pub wait_max: Option<Duration>,
    /// When all places are taken, and the last one was given so long ago, those still under way are taken for lost: others
    /// get their places, and their ends count for nothing. 1 ms to 24 h, and longer than a call can take. Default 60 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub lost_after: Duration,
}

/// What the probes must do for a breaker to close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum ProbeRule {
    /// All end well. The first that fails opens the breaker again, and where slow calls are looked at, so does the first
    /// that is slow.
    NoneFails,
    /// Stay below the same rates that open the breaker, judged from the `min(calls_min, probes)`-th end on.
    #[default]
    Rates,
}

/// What is wrong with a [`BreakerConfig`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BreakerError {
    /// A number breaks its rule.
    #[error("{field}: {value} is not allowed: {rule}")]
    Number {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u32,
        /// The rule.
        rule: &'static str,
    },
    /// A duration breaks its rule.
    #[error("{field}: {value:?} is not allowed: {rule}")]
    Time {
        /// The field.
        field: &'static str,
        /// Its value.
        value: Duration,
        /// The rule.
        rule: &'static str,
    },
    /// No threshold is looked at.
    #[error(
        "failures_in_row, failure_rate_milli, slow_rate_milli: 0 for all of them is not allowed: it would never open"
    )]
    NeverOpens,
    /// The probes are to be judged by rates, and there is none.
    #[error("half_open.rule: rates is not allowed: failure_rate_milli and slow_rate_milli are both 0")]
    NoRates,
}

impl BreakerConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), BreakerError> {
        self.window.validate()?;
        let calls_min = self.calls_min.get();
        number("calls_min", calls_min, calls_min <= CALLS_MIN_MAX, "must be at most 100000")?;
        let (failure, slow) = (self.failure_rate_milli, self.slow_rate_milli);
        number("failure_rate_milli", failure, failure <= 1000, "must be at most 1000, which is all calls")?;
        number("slow_rate_milli", slow, slow <= 1000, "must be at most 1000, which is all calls")?;
        if self.failures_in_row == 0 && failure == 0 && slow == 0 {
            return Err(BreakerError::NeverOpens);
        }
        self.open.validate()?;
        self.half_open.validate()?;
        if self.half_open.rule == ProbeRule::Rates && failure == 0 && slow == 0 {
            return Err(BreakerError::NoRates);
        }
        Ok(())
    }
}

impl WindowKind {
    fn validate(self) -> Result<(), BreakerError> {
        match self {
            Self::Count { calls } => {
                number("window.count.calls", calls.get(), calls.get() <= COUNT_MAX, "must be at most 4095")
            }
            Self::Time { buckets, width } => {
                number("window.time.buckets", buckets.get(), buckets.get() <= 1000, "must be at most 1000")?;
                time("window.time.width", width, MILLI <= width && width <= HOUR, "must be 1ms to 1h")
            }
        }
    }
}

impl OpenTime {
    fn validate(self) -> Result<(), BreakerError> {
        let Self { base, max, growth_milli, .. } = self;
        time("open.base", base, MILLI <= base && base <= DAY, "must be 1ms to 24h")?;
        time("open.max", max, base <= max && max <= DAY, "must be at least open.base, and at most 24h")?;
        let fits = (1000..=100_000).contains(&growth_milli);
        number("open.growth_milli", growth_milli, fits, "must be 1000, which is no growth, to 100000")
    }
}

impl HalfOpen {
    fn validate(self) -> Result<(), BreakerError> {
        let probes = self.probes.get();
        number("half_open.probes", probes, probes <= PROBES_MAX, "must be at most 127")?;
        let wait = self.wait_max.unwrap_or(MILLI);
        time("half_open.wait_max", wait, wait >= MILLI, "must be at least 1ms, or left out")?;
        let lost = self.lost_after;
        time("half_open.lost_after", lost, MILLI <= lost && lost <= DAY, "must be 1ms to 24h")
    }
}

const fn number(field: &'static str, value: u32, holds: bool, rule: &'static str) -> Result<(), BreakerError> {
    if holds { Ok(()) } else { Err(BreakerError::Number { field, value, rule }) }
}

const fn time(field: &'static str, value: Duration, holds: bool, rule: &'static str) -> Result<(), BreakerError> {
    if holds { Ok(()) } else { Err(BreakerError::Time { field, value, rule }) }
}

const CALLS_MIN_MAX: u32 = 100_000;
const MILLI: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
