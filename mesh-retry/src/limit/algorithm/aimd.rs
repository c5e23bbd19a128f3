//! Additive increase, multiplicative decrease.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::service::ConfigError;
use mesh_core::time::Instant;

use super::{Algorithm, Sample, Step};
use crate::limit::config::{check, limits};
use crate::sync::{AtomicU32, Ordering};

/// How [`Aimd`] moves. The defaults are Netflix's (concurrency-limits, `AIMDLimit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct AimdConfig {
    /// The limit to begin with: `min` to `max`. Default 20.
    pub initial: NonZeroU32,
    /// The lowest limit. Default 20.
    pub min: NonZeroU32,
    /// The highest limit: at most 16,777,215. Default 200.
    pub max: NonZeroU32,
    /// What is left of the limit after a drop, in thousandths: 500 to 999. Default 900.
    pub backoff_milli: u32,
    /// A round trip that takes longer counts as a drop: longer than zero. Default 5 s.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub timeout: Duration,
}

impl AimdConfig {
    /// Netflix's.
    pub(crate) const NETFLIX: Self = Self {
        initial: limits::TWENTY,
        min: limits::TWENTY,
        max: limits::TWO_HUNDRED,
        backoff_milli: 900,
        timeout: Duration::from_secs(5),
    };

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        limits::validate(self.initial, self.min, self.max)?;
        let backs_off = (500..1_000).contains(&self.backoff_milli);
        check(backs_off, "backoff_milli", self.backoff_milli, "must be 500 to 999")?;
        check(!self.timeout.is_zero(), "timeout", "0s", "must be longer than zero")
    }
}

impl Default for AimdConfig {
    fn default() -> Self {
        Self::NETFLIX
    }
}

/// One more for each sample without a drop, as long as at least half of the limit is in use; nine tenths after a drop.
///
/// `L' = floor(0.9 L)` where anything was dropped or took longer than the timeout; `L + 1` where in-flight · 2 ≥ L.
#[derive(Debug)]
pub struct Aimd {
    config: AimdConfig,
    limit: AtomicU32,
}

impl Aimd {
    /// The algorithm at its initial limit.
    #[must_use]
    pub fn new(config: AimdConfig) -> Self {
        Self { config, limit: AtomicU32::new(config.initial.get()) }
    }
}

impl Algorithm for Aimd {
    fn first(&self) -> Step {
        Step::to(self.limit.load(Ordering::Relaxed))
    }

    fn next(&self, _now: Instant, sample: &Sample) -> Step {
        let limit = self.limit.load(Ordering::Relaxed);
        let AimdConfig { min, max, backoff_milli, timeout, .. } = self.config;
        let next = if sample.dropped || sample.rtt > timeout {
            (u64::from(limit) * u64::from(backoff_milli) / 1_000) as u32
        } else if u64::from(sample.in_flight) * 2 >= u64::from(limit) {
            limit.saturating_add(1)
        } else {
            limit
        };
        let next = next.min(max.get()).max(min.get());
        self.limit.store(next, Ordering::Relaxed);
        Step::to(next)
    }
}
