//! Netflix's gradient of a short round trip against a long average.

use core::num::NonZeroU32;

use mesh_core::service::ConfigError;
use mesh_core::time::Instant;

use super::{Algorithm, Float, Sample, Step, fraction, nanos};
use crate::limit::config::{check, limits};
use crate::sync::{AtomicU32, Ordering};

/// How [`Gradient2`] moves. The defaults are Netflix's (concurrency-limits, `Gradient2Limit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct Gradient2Config {
    /// The limit to begin with: `min` to `max`. Default 20.
    pub initial: NonZeroU32,
    /// The lowest limit. Default 20.
    pub min: NonZeroU32,
    /// The highest limit: at most 16,777,215. Default 200.
    pub max: NonZeroU32,
    /// How much of a new limit is taken over at a time, in thousandths: 1 to 1,000. Default 200.
    pub smoothing_milli: u32,
    /// How many requests may wait at the callee, which is what the limit grows by while there is no delay: 1 to 1,000,000.
    /// Default 4.
    pub queue: u32,
    /// How many samples the long average remembers: 1 to 1,000,000. Default 600.
    pub long_window: u32,
    /// How many samples it is a plain mean of to begin with: 1 to `long_window`. Default 10.
    pub warm_up: u32,
    /// How many times the long average a round trip may be before the limit falls, in thousandths: 1,000 to 100,000. Default
    /// 1,500.
    pub tolerance_milli: u32,
}

impl Gradient2Config {
    /// Netflix's.
    pub(crate) const NETFLIX: Self = Self {
        initial: limits::TWENTY,
        min: limits::TWENTY,
        max: limits::TWO_HUNDRED,
        smoothing_milli: 200,
        queue: 4,
        long_window: 600,
        warm_up: 10,
        tolerance_milli: 1_500,
    };

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        limits::validate(self.initial, self.min, self.max)?;
        let smooths = (1..=1_000).contains(&self.smoothing_milli);
        check(smooths, "smoothing_milli", self.smoothing_milli, "must be 1 to 1000")?;
        check((1..=MILLION).contains(&self.queue), "queue", self.queue, "must be 1 to 1000000")?;
        let remembers = (1..=MILLION).contains(&self.long_window);
        check(remembers, "long_window", self.long_window, "must be 1 to 1000000")?;
        let warms_up = (1..=self.long_window).contains(&self.warm_up);
        check(warms_up, "warm_up", self.warm_up, "must be 1 to long_window")?;
        let tolerates = (1_000..=100_000).contains(&self.tolerance_milli);
        check(tolerates, "tolerance_milli", self.tolerance_milli, "must be 1000 to 100000")
    }
}

impl Default for Gradient2Config {
    fn default() -> Self {
        Self::NETFLIX
    }
}

/// Lets the limit fall as far as round trips are longer than they used to be.
///
/// `g = max(0.5, min(1, tolerance · long / short))`, `L' = (1 - s) L + s (g L + queue)`, kept between the bounds. The long
/// average is a mean of the first samples and then moves by 2 / (window + 1) of the difference; where it is more than
/// twice the short one it loses a twentieth, to come back sooner from an overload. The limit does not move while fewer
/// than half of it are in flight. At a steady ratio `r = tolerance · long / short` between 0.5 and 1 the limit comes to
/// `queue / (1 - r)`.
///
/// As in Netflix's, drops move it only by how long they take: give a service that refuses at once another algorithm.
#[derive(Debug)]
pub struct Gradient2 {
    config: Gradient2Config,
    limit: Float,
    /// The long average of round trips, in nanoseconds.
    long: Float,
    /// The sum of the first samples.
    sum: Float,
    /// How many they are.
    warmed: AtomicU32,
}

impl Gradient2 {
    /// The algorithm at its initial limit.
    #[must_use]
    pub fn new(config: Gradient2Config) -> Self {
        Self {
            config,
            limit: Float::new(f64::from(config.initial.get())),
            long: Float::new(0.0),
            sum: Float::new(0.0),
            warmed: AtomicU32::new(0),
        }
    }

    /// The long average with one more sample.
    fn long_with(&self, short: f64) -> f64 {
        let warmed = self.warmed.load(Ordering::Relaxed);
        let long = if warmed < self.config.warm_up {
            self.warmed.store(warmed + 1, Ordering::Relaxed);
            self.sum.set(self.sum.get() + short);
            self.sum.get() / f64::from(warmed + 1)
        } else {
            let factor = 2.0 / (f64::from(self.config.long_window) + 1.0);
            self.long.get() * (1.0 - factor) + short * factor
        };
        self.long.set(long);
        long
    }
}

impl Algorithm for Gradient2 {
    fn first(&self) -> Step {
        Step::to(self.limit.get() as u32)
    }

    fn next(&self, _now: Instant, sample: &Sample) -> Step {
        let (limit, short) = (self.limit.get(), nanos(sample.rtt));
        let long = self.long_with(short);
        if long / short > DRIFT_MAX {
            self.long.set(long * DRIFT_DECAY);
        }
        if f64::from(sample.in_flight) < limit / 2.0 {
            return Step::to(limit as u32);
        }
        let gradient = (fraction(self.config.tolerance_milli) * long / short).clamp(0.5, 1.0);
        let smoothing = fraction(self.config.smoothing_milli);
        let wanted = limit * gradient + f64::from(self.config.queue);
        let next = limit * (1.0 - smoothing) + wanted * smoothing;
        let next = next.min(f64::from(self.config.max.get())).max(f64::from(self.config.min.get()));
        self.limit.set(next);
        Step::to(next as u32)
    }
}

const MILLION: u32 = 1_000_000;
/// A long average of more than this many short round trips is out of date.
const DRIFT_MAX: f64 = 2.0;
const DRIFT_DECAY: f64 = 0.95;
