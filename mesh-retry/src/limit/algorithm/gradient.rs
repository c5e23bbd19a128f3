//! Envoy's gradient of a round trip against one that is measured at low load from time to time.

use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::service::ConfigError;
use mesh_core::time::Instant;

use super::{Algorithm, Float, Sample, Step, fraction, nanos};
use crate::limit::config::{check, limits};
use crate::limit::due::Due;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// How [`Gradient`] moves. The defaults are those of Envoy's adaptive concurrency filter (`adaptive_concurrency.proto`),
/// but for `min_rtt_interval`, which Envoy has none for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct GradientConfig {
    /// The lowest limit, but for a measurement, and the limit after the first one. Default 3.
    pub min: NonZeroU32,
    /// The highest limit: `min` to 16,777,215. Default 1,000.
    pub max: NonZeroU32,
    /// From one measurement of the round trip at low load to the next: at least 1 ms. Default 60 s, the value of the
    /// example in Envoy's documentation.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub min_rtt_interval: Duration,
    /// By how much of itself that interval is longer at most, at random, in thousandths: at most 1,000. Default 150.
    pub min_rtt_jitter_milli: u32,
    /// How many requests are measured. Default 50.
    pub min_rtt_requests: NonZeroU32,
    /// The limit while they are: at most 16,777,215. Default 3.
    pub min_rtt_concurrency: NonZeroU32,
    /// How much longer than what was measured a round trip may be before the limit falls, in thousandths: at most 10,000.
    /// Default 250.
    pub buffer_milli: u32,
}

impl GradientConfig {
    /// Envoy's.
    pub(crate) const ENVOY: Self = Self {
        min: limits::THREE,
        max: limits::THOUSAND,
        min_rtt_interval: Duration::from_secs(60),
        min_rtt_jitter_milli: 150,
        min_rtt_requests: limits::FIFTY,
        min_rtt_concurrency: limits::THREE,
        buffer_milli: 250,
    };

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        limits::validate(self.min, self.min, self.max)?;
        let interval = self.min_rtt_interval;
        let lasts = interval >= Duration::from_millis(1);
        check(lasts, "min_rtt_interval", format_args!("{interval:?}"), "must be at least 1ms")?;
        let jitter = self.min_rtt_jitter_milli;
        check(jitter <= 1_000, "min_rtt_jitter_milli", jitter, "must be at most 1000")?;
        let concurrency = self.min_rtt_concurrency;
        check(concurrency <= limits::HIGHEST, "min_rtt_concurrency", concurrency, "must be at most 16777215")?;
        check(self.buffer_milli <= 10_000, "buffer_milli", self.buffer_milli, "must be at most 10000")
    }
}

impl Default for GradientConfig {
    fn default() -> Self {
        Self::ENVOY
    }
}

/// Lets the limit grow and fall with the ratio of the round trip at low load to the one of now.
///
/// `g = clamp((1 + buffer) · minRTT / rtt, 0.5, 2)` and `L' = floor(g L + sqrt(g L))`, kept between the bounds
/// (`gradient_controller.cc`): at a steady `g` below 1 the limit comes down to `g / (1 - g)^2`. To measure minRTT the
/// limit is low until enough requests have ended that were let in under it: at first, after each interval, and
/// where five windows in a row have left the limit at its lowest, which is what a minRTT that is too short does.
#[derive(Debug)]
pub struct Gradient {
    config: GradientConfig,
    entropy: u64,
    limit: AtomicU32,
    /// In nanoseconds.
    min_rtt: Float,
    /// 1 while it is measured.
    measuring: AtomicU32,
    measure: Due,
    measured: AtomicU64,
    /// Windows in a row that left the limit at its lowest.
    pinned: AtomicU32,
}

impl Gradient {
    /// The algorithm before its first measurement. `entropy` spreads the times at which clients measure.
    #[must_use]
    pub fn new(config: GradientConfig, entropy: u64) -> Self {
        Self {
            config,
            entropy,
            limit: AtomicU32::new(config.min.get()),
            min_rtt: Float::new(0.0),
            measuring: AtomicU32::new(1),
            measure: Due::at_once(),
            measured: AtomicU64::new(0),
            pinned: AtomicU32::new(0),
        }
    }

    fn measurement(&self) -> Step {
        Step::afresh(self.config.min_rtt_concurrency.get(), self.config.min_rtt_requests)
    }

    /// Takes the round trip for the one at low load, and plans the next measurement.
    fn learn(&self, now: Instant, rtt: f64) {
        self.min_rtt.set(rtt);
        self.measuring.store(0, Ordering::Relaxed);
        let number = self.measured.fetch_add(1, Ordering::Relaxed);
        let interval = self.config.min_rtt_interval;
        let longer = interval.saturating_mul(self.config.min_rtt_jitter_milli) / 1_000;
        let jitter = Rng::from_seed(self.entropy.wrapping_add(number)).up_to(longer);
        self.measure.set(now, interval.saturating_add(jitter));
    }

    fn moved(&self, limit: u32, rtt: f64) -> u32 {
        let buffered = self.min_rtt.get() * (1.0 + fraction(self.config.buffer_milli));
        let scaled = f64::from(limit) * (buffered / rtt).clamp(0.5, 2.0);
        let next = (scaled + libm::sqrt(scaled)) as u32;
        next.min(self.config.max.get()).max(self.config.min.get())
    }

    /// Whether the limit has been at its lowest for too long, with this window.
    fn is_pinned(&self, before: u32, after: u32) -> bool {
        let lowest = self.config.min.get();
        let windows = if before == lowest && after == lowest { self.pinned.load(Ordering::Relaxed) + 1 } else { 0 };
        self.pinned.store(windows, Ordering::Relaxed);
        windows >= PINNED_MAX
    }
}

impl Algorithm for Gradient {
    fn first(&self) -> Step {
        self.measurement()
    }

    fn next(&self, now: Instant, sample: &Sample) -> Step {
        let (limit, rtt) = (self.limit.load(Ordering::Relaxed), nanos(sample.rtt));
        if self.measuring.load(Ordering::Relaxed) == 1 {
            self.learn(now, rtt);
            return Step::to(limit);
        }
        let next = self.moved(limit, rtt);
        self.limit.store(next, Ordering::Relaxed);
        if self.is_pinned(limit, next) || self.measure.has_come(now) {
            self.pinned.store(0, Ordering::Relaxed);
            self.measuring.store(1, Ordering::Relaxed);
            return self.measurement();
        }
        Step::to(next)
    }
}

const PINNED_MAX: u32 = 5;
