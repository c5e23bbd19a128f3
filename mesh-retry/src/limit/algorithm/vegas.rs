//! TCP Vegas: the queue is told from the round trip, and kept short.

use core::num::NonZeroU32;

use mesh_core::rng::Rng;
use mesh_core::service::ConfigError;
use mesh_core::time::Instant;

use super::{Algorithm, Float, Sample, Step, nanos};
use crate::limit::config::{check, limits};
use crate::sync::{AtomicU64, Ordering};

/// How [`Vegas`] moves. The defaults are Netflix's (concurrency-limits, `VegasLimit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct VegasConfig {
    /// The limit to begin with: `min` to `max`. Default 20.
    pub initial: NonZeroU32,
    /// The lowest limit. Default 1.
    pub min: NonZeroU32,
    /// The highest limit: at most 16,777,215. Default 1,000.
    pub max: NonZeroU32,
    /// A shorter queue lets the limit rise, as a multiple of log10 of the limit: at most `beta`. Default 3.
    pub alpha: u32,
    /// A longer queue makes it fall, as a multiple of log10 of the limit; 1 to 1,000. Default 6.
    pub beta: u32,
    /// After how many samples the round trip without load is measured anew, as a multiple of the limit: 1 to 1,000,000. A
    /// half of it to all of it, at random. Default 30.
    pub probe_multiplier: u32,
}

impl VegasConfig {
    /// Netflix's.
    pub(crate) const NETFLIX: Self = Self {
        initial: limits::TWENTY,
        min: NonZeroU32::MIN,
        max: limits::THOUSAND,
        alpha: 3,
        beta: 6,
        probe_multiplier: 30,
    };

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        limits::validate(self.initial, self.min, self.max)?;
        check(self.alpha <= self.beta, "alpha", self.alpha, "must be at most beta")?;
        check((1..=1_000).contains(&self.beta), "beta", self.beta, "must be 1 to 1000")?;
        let probes = (1..=1_000_000).contains(&self.probe_multiplier);
        check(probes, "probe_multiplier", self.probe_multiplier, "must be 1 to 1000000")
    }
}

impl Default for VegasConfig {
    fn default() -> Self {
        Self::NETFLIX
    }
}

/// Keeps between alpha and beta requests waiting at the callee.
///
/// With `lg = max(1, floor(log10 L))` and the queue `q = ceil(L (1 - rtt0 / rtt))`: a drop takes `lg` off; else, where
/// in-flight · 2 ≥ L: `q ≤ lg` adds `beta lg`, `q < alpha lg` adds `lg`, `q > beta lg` takes `lg` off.
///
/// Two deviations from Netflix's: a dropped request is no measurement of `rtt0` (one that fails at once would make
/// every other look slow from then on), and a fixed multiple of log10 is all that can be configured.
#[derive(Debug)]
pub struct Vegas {
    config: VegasConfig,
    entropy: u64,
    limit: Float,
    /// The round trip without load in nanoseconds; zero before the first.
    unloaded: Float,
    /// Samples since that was measured.
    since_probe: AtomicU64,
    /// After how many samples it is measured again, as a multiple of the limit.
    probe_after: Float,
    probes: AtomicU64,
}

impl Vegas {
    /// The algorithm at its initial limit. `entropy` spreads the times at which clients measure anew.
    #[must_use]
    pub fn new(config: VegasConfig, entropy: u64) -> Self {
        let vegas = Self {
            config,
            entropy,
            limit: Float::new(f64::from(config.initial.get())),
            unloaded: Float::new(0.0),
            since_probe: AtomicU64::new(0),
            probe_after: Float::new(0.0),
            probes: AtomicU64::new(0),
        };
        vegas.plan_probe();
        vegas
    }

    /// Draws when to measure the round trip without load again: U(0.5, 1) · 30 · L samples from now.
    fn plan_probe(&self) {
        let probe = self.probes.fetch_add(1, Ordering::Relaxed);
        let drawn = 0.5 + 0.5 * Rng::from_seed(self.entropy.wrapping_add(probe)).unit();
        self.probe_after.set(drawn * f64::from(self.config.probe_multiplier));
        self.since_probe.store(0, Ordering::Relaxed);
    }

    /// Takes the round trip for one without load, if it is time to, or if it is the shortest seen.
    fn measures(&self, limit: f64, rtt: f64) -> bool {
        if self.probe_after.get() * limit <= self.since_probe.load(Ordering::Relaxed) as f64 {
            self.plan_probe();
            self.unloaded.set(rtt);
            return true;
        }
        let unloaded = self.unloaded.get();
        let shortest = unloaded == 0.0 || rtt < unloaded;
        if shortest {
            self.unloaded.set(rtt);
        }
        shortest
    }

    fn moved(&self, limit: f64, rtt: f64) -> f64 {
        let log10 = log10(limit);
        let (alpha, beta) = (f64::from(self.config.alpha) * log10, f64::from(self.config.beta) * log10);
        let queue = libm::ceil(limit * (1.0 - self.unloaded.get() / rtt));
        if queue <= log10 {
            limit + beta
        } else if queue < alpha {
            limit + log10
        } else if queue > beta {
            limit - log10
        } else {
            limit
        }
    }
}

impl Algorithm for Vegas {
    fn first(&self) -> Step {
        Step::to(self.limit.get() as u32)
    }

    fn next(&self, _now: Instant, sample: &Sample) -> Step {
        let (limit, rtt) = (self.limit.get(), nanos(sample.rtt));
        self.since_probe.fetch_add(1, Ordering::Relaxed);
        let next = if sample.dropped {
            limit - log10(limit)
        } else if self.measures(limit, rtt) || f64::from(sample.in_flight) * 2.0 < limit {
            limit
        } else {
            self.moved(limit, rtt)
        };
        let next = next.min(f64::from(self.config.max.get())).max(f64::from(self.config.min.get()));
        self.limit.set(next);
        Step::to(next as u32)
    }
}

/// The whole part of log10, and 1 at least. In integers, where log10 of 1,000 is 3.
fn log10(limit: f64) -> f64 {
    f64::from((limit as u32).checked_ilog10().unwrap_or(0).max(1))
}
