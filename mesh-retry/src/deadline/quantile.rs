//! Decides how long an attempt may take, or how long to wait before a hedge, by how long attempts take as a rule.

use core::time::Duration;

use mesh_core::time::{Instant, saturating_nanos};
use thiserror::Error;

use super::Latencies;
use crate::sync::{AtomicU64, Ordering};

/// A time that follows a quantile of latencies: `quantile * factor`, within `[min, max]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct QuantileRule {
    /// The quantile, in thousandths: 990 is p99. 1 to 1000.
    pub quantile_milli: u32,
    /// What it is multiplied by, in thousandths. At least 1. A timeout needs more than 1000: where latencies rise, it then
    /// grows by this factor each time it is refreshed, until attempts pass.
    pub factor_milli: u32,
    /// The shortest time. At least 1 µs.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub min: Duration,
    /// The longest, and the one in force as long as too little is known. At least `min`.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub max: Duration,
    /// How many latencies must be known. At least 1. Default 100, of which one is beyond p99.
    pub samples_min: u32,
    /// How often the quantile is looked up. At least 1 ms. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub refresh: Duration,
}

/// What is wrong with a [`QuantileRule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QuantileError {
    /// There is no such quantile.
    #[error("quantile_milli: {quantile_milli} is not allowed: must be 1 to 1000")]
    Quantile {
        /// The configured quantile in thousandths.
        quantile_milli: u32,
    },
    /// The time would always be the shortest.
    #[error("factor_milli: 0 is not allowed: must be at least 1, which is 0.001")]
    FactorZero,
    /// The shortest time is too short for any attempt.
    #[error("min: {min:?} is not allowed: must be at least 1us")]
    MinTooShort {
        /// The configured shortest time.
        min: Duration,
    },
    /// The longest time is shorter than the shortest.
    #[error("max: {max:?} is not allowed: must be at least min, which is {min:?}")]
    MaxBelowMin {
        /// The configured shortest time.
        min: Duration,
        /// The configured longest time.
        max: Duration,
    },
    /// A quantile of nothing is none.
    #[error("samples_min: 0 is not allowed: must be at least 1")]
    SamplesZero,
    /// The quantile would be looked up for nearly every request.
    #[error("refresh: {refresh:?} is not allowed: must be at least 1ms")]
    RefreshTooShort {
        /// The configured time from one look to the next.
        refresh: Duration,
    },
}

impl QuantileRule {
    /// For attempt timeouts: p99 times 2, 10 ms to 10 s. One attempt in a hundred takes longer than p99, and few of them
    /// twice as long; those few are the ones that hang.
    #[must_use]
    pub const fn timeout() -> Self {
        Self {
            quantile_milli: 990,
            factor_milli: 2000,
            min: Duration::from_millis(10),
            max: Duration::from_secs(10),
            samples_min: 100,
            refresh: Duration::from_secs(1),
        }
    }

    /// For the delay before a hedge: p95, 1 ms to 1 s. It hedges one attempt in twenty ("The Tail at Scale", Dean and
    /// Barroso, 2013, which defers the second request until the 95th percentile).
    #[must_use]
    pub const fn hedge_delay() -> Self {
        Self {
            quantile_milli: 950,
            factor_milli: 1000,
            min: Duration::from_millis(1),
            max: Duration::from_secs(1),
            ..Self::timeout()
        }
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), QuantileError> {
        let Self { quantile_milli, factor_milli, min, max, samples_min, refresh } = *self;
        if !(1..=1000).contains(&quantile_milli) {
            return Err(QuantileError::Quantile { quantile_milli });
        }
        if factor_milli == 0 {
            return Err(QuantileError::FactorZero);
        }
        if min < MIN {
            return Err(QuantileError::MinTooShort { min });
        }
        if max < min {
            return Err(QuantileError::MaxBelowMin { min, max });
        }
        if samples_min == 0 {
            return Err(QuantileError::SamplesZero);
        }
        if refresh < REFRESH_MIN {
            return Err(QuantileError::RefreshTooShort { refresh });
        }
        Ok(())
    }

    /// The time by the `latencies` known at `now`. Reads them all: for each request there is [`QuantileTime`].
    #[must_use]
    pub fn time(&self, now: Instant, latencies: &Latencies) -> Duration {
        let max = saturating_nanos(self.max);
        if latencies.samples(now) < u64::from(self.samples_min) {
            return Duration::from_nanos(max);
        }
        let time = latencies.quantile(now, self.quantile_milli).map_or(max, |quantile| {
            let product = quantile.as_nanos() * u128::from(self.factor_milli) / 1000;
            u64::try_from(product).unwrap_or(u64::MAX)
        });
        Duration::from_nanos(time.max(saturating_nanos(self.min)).min(max))
    }
}

impl Default for QuantileRule {
    /// [`QuantileRule::timeout`].
    fn default() -> Self {
        Self::timeout()
    }
}

/// The time of a [`QuantileRule`], kept at hand for the calls of all threads. To ask for it costs two reads, and now and
/// then a look at the latencies for one of them; nothing is allocated.
#[derive(Debug)]
pub struct QuantileTime {
    rule: QuantileRule,
    nanos: AtomicU64,
    /// When it is next to be looked up.
    due: AtomicU64,
}

impl QuantileTime {
    /// The time by `rule`, which is its longest until latencies are known.
    ///
    /// # Errors
    /// Those of [`QuantileRule::validate`].
    pub fn new(rule: QuantileRule) -> Result<Self, QuantileError> {
        rule.validate()?;
        Ok(Self { rule, nanos: AtomicU64::new(saturating_nanos(rule.max)), due: AtomicU64::new(0) })
    }

    /// The rule.
    #[must_use]
    pub const fn rule(&self) -> &QuantileRule {
        &self.rule
    }

    /// The time in force at `now`, by `latencies`: always within the rule's `[min, max]`, at most `refresh` old.
    #[must_use]
    pub fn get(&self, now: Instant, latencies: &Latencies) -> Duration {
        let due = self.due.load(Ordering::Relaxed);
        if now.as_nanos() >= due {
            self.refresh(now, due, latencies);
        }
        // Relaxed throughout: a thread that is late sees the time before, which was in force a moment ago.
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    #[cold]
    fn refresh(&self, now: Instant, due: u64, latencies: &Latencies) {
        let next = now.after(self.rule.refresh).as_nanos();
        // One thread looks; the others go on with what there is.
        if self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            let time = self.rule.time(now, latencies);
            self.nanos.store(saturating_nanos(time), Ordering::Relaxed);
        }
    }
}

const MIN: Duration = Duration::from_micros(1);
const REFRESH_MIN: Duration = Duration::from_millis(1);
