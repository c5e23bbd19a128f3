//! How suspicious the silence of something is that sends heartbeats: the phi-accrual failure detector.
//!
//! Decides from the intervals seen so far how unlikely the present silence is (Hayashibara, Défago, Yared and Katayama,
//! The phi accrual failure detector, 2004), in the variant of Akka (`PhiAccrualFailureDetector.scala`): the normal
//! distribution by a logistic approximation, a bootstrap by a guess, a floor under the deviation, and a pause that is
//! acceptable at any time. Never says what follows from a suspicion.

use alloc::collections::VecDeque;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::service::{ConfigError, Problems};
use crate::time::{Instant, saturating_nanos};

/// When a silence becomes suspicious.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct PhiConfig {
    /// At which phi something is suspected: more than 0, at most 100. A silence of phi 8 happens once in 10^8 intervals
    /// if they are normally distributed. Default 8.
    pub threshold: f64,
    /// How many intervals are remembered, at 8 bytes each, which are taken as they come: 1 to 65536. Default 64.
    pub window_max: NonZeroU32,
    /// The least standard deviation that is reckoned with, so that heartbeats like clockwork do not make the first late
    /// one a failure: 1 ms to 1 h. Default 100 ms.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub deviation_min: Duration,
    /// How late a heartbeat may always be, for a pause to collect garbage: at most 1 h. Default 3 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub acceptable_pause: Duration,
    /// The interval to expect before any was seen: 1 ms to 1 h. Default 1 s.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub first_interval: Duration,
}

impl PhiConfig {
    /// What Akka Cluster uses (`akka.cluster.failure-detector` in its `reference.conf`): the default with a window of
    /// 1000 intervals.
    #[must_use]
    pub fn akka_cluster() -> Self {
        Self { window_max: WINDOW_AKKA, ..Self::default() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Every field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = Problems::default();
        self.check(&mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems.into_error()) }
    }

    pub(crate) fn check(&self, problems: &mut Problems) {
        let sane = self.threshold > 0.0 && self.threshold <= 100.0;
        problems.require(sane, "threshold", self.threshold, "must be more than 0 and at most 100");
        problems.require(self.window_max <= WINDOW_BOUND, "window_max", self.window_max, "must be 1 to 65536");
        for (field, value) in [("deviation_min", self.deviation_min), ("first_interval", self.first_interval)] {
            let shown = format_args!("{value:?}").to_string();
            problems.require((SHORTEST..=LONGEST).contains(&value), field, shown, "must be 1ms to 1h");
        }
        let pause = format_args!("{:?}", self.acceptable_pause).to_string();
        problems.require(self.acceptable_pause <= LONGEST, "acceptable_pause", pause, "must be at most 1h");
    }
}

impl Default for PhiConfig {
    fn default() -> Self {
        Self {
            threshold: 8.0,
            window_max: WINDOW_MAX,
            deviation_min: Duration::from_millis(100),
            acceptable_pause: Duration::from_secs(3),
            first_interval: Duration::from_secs(1),
        }
    }
}

/// The detector for one sender of heartbeats.
///
/// The time of suspicion is known in advance ([`PhiAccrual::suspected_at`]), so nobody has to poll phi.
#[derive(Clone, Debug)]
pub struct PhiAccrual {
    config: PhiConfig,
    /// By how many deviations a silence must exceed what is expected to be suspicious.
    deviations: f64,
    window: Window,
    last: Option<Beat>,
}

/// The last heartbeat and what was expected after it.
#[derive(Clone, Copy, Debug)]
struct Beat {
    at: Instant,
    /// The mean interval and the acceptable pause, in nanoseconds.
    expected: f64,
    /// In nanoseconds, more than 0.
    deviation: f64,
    suspected_at: Instant,
}

impl PhiAccrual {
    /// A detector that has heard nothing and suspects nothing. `config` should be valid; with one that is not, nothing
    /// worse happens than suspicions too early or too late.
    #[must_use]
    pub fn new(config: PhiConfig) -> Self {
        let window = Window::new(config.window_max.get() as usize);
        Self { deviations: deviations_of(config.threshold), config, window, last: None }
    }

    /// Takes note of a heartbeat. One from before the last is ignored.
    ///
    /// The first begins the window with two intervals, a quarter shorter and a quarter longer than `first_interval`. An
    /// interval that ended a suspicion is not remembered, or a crash would make the next one harder to see.
    pub fn heartbeat(&mut self, now: Instant) {
        match self.last {
            None => {
                let quarter = self.config.first_interval / 4;
                self.window.push(self.config.first_interval.saturating_sub(quarter));
                self.window.push(self.config.first_interval.saturating_add(quarter));
            }
            Some(last) if now < last.at => return,
            Some(last) if now < last.suspected_at => self.window.push(now.since(last.at)),
            Some(_) => {}
        }
        let expected = self.window.mean() + nanos(self.config.acceptable_pause);
        let deviation = self.window.deviation().max(nanos(self.config.deviation_min)).max(1.0);
        // Rounded up: a moment earlier phi is still below the threshold. Less than 0 saturates at 0.
        let silence = Duration::from_nanos(libm::ceil(expected + self.deviations * deviation) as u64);
        self.last = Some(Beat { at: now, expected, deviation, suspected_at: now + silence });
    }

    /// How suspicious the silence is at `now`: the negative decimal logarithm of the probability that a heartbeat is
    /// still to come, 0 before the first. It never falls while no heartbeat comes.
    ///
    /// With `y = (silence - mean - pause) / deviation` the probability is `1 / (1 + e^x)`, `x = y (1.5976 + 0.070566
    /// y^2)`, so that phi is `log10(1 + e^x)`. Written like this it is finite for any silence; in Akka, which divides by
    /// what underflows, it is infinite from y = 20 or so.
    #[must_use]
    pub fn phi(&self, now: Instant) -> f64 {
        let Some(last) = self.last else { return 0.0 };
        let y = (nanos(now.since(last.at)) - last.expected) / last.deviation;
        let x = y * (LINEAR + CUBIC * y * y);
        let softplus = if x > 0.0 { x + libm::log1p(libm::exp(-x)) } else { libm::log1p(libm::exp(x)) };
        softplus / core::f64::consts::LN_10
    }

    /// Whether the sender is not suspected at `now`: phi is below the threshold. True before the first heartbeat.
    #[must_use]
    pub fn is_available(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now < last.suspected_at)
    }

    /// When the sender is suspected if it stays silent, or since when it is; none before the first heartbeat.
    #[must_use]
    pub fn suspected_at(&self) -> Option<Instant> {
        self.last.map(|last| last.suspected_at)
    }
}

/// The last intervals with their sums, in whole nanoseconds, so that nothing is lost however long it runs.
#[derive(Clone, Debug)]
struct Window {
    intervals: VecDeque<u64>,
    intervals_max: usize,
    sum: u128,
    squares: u128,
}

impl Window {
    const fn new(intervals_max: usize) -> Self {
        Self { intervals: VecDeque::new(), intervals_max, sum: 0, squares: 0 }
    }

    fn push(&mut self, interval: Duration) {
        if self.intervals.len() >= self.intervals_max
            && let Some(oldest) = self.intervals.pop_front().map(u128::from)
        {
            self.sum -= oldest;
            self.squares -= oldest * oldest;
        }
        // No square of a day, 65,536 of them squared again, reaches 2^128.
        let nanos = saturating_nanos(interval.min(DAY));
        self.intervals.push_back(nanos);
        self.sum += u128::from(nanos);
        self.squares += u128::from(nanos) * u128::from(nanos);
    }

    /// In nanoseconds; 0 of nothing.
    fn mean(&self) -> f64 {
        self.sum as f64 / self.count()
    }

    /// The standard deviation of the intervals as a whole population, in nanoseconds.
    fn deviation(&self) -> f64 {
        let scaled = self.squares.saturating_mul(self.intervals.len() as u128);
        let variance = scaled.saturating_sub(self.sum.saturating_mul(self.sum));
        libm::sqrt(variance as f64) / self.count()
    }

    fn count(&self) -> f64 {
        self.intervals.len().max(1) as f64
    }
}

/// The y at which phi reaches `threshold`.
///
/// From `log10(1 + e^x) = threshold` comes `x`, and y is the one real root of `CUBIC y^3 + LINEAR y - x`: for a cubic
/// that only rises, `2 r sinh(asinh(x / (2 CUBIC r^3)) / 3)` with `r = sqrt(LINEAR / (3 CUBIC))`.
fn deviations_of(threshold: f64) -> f64 {
    let scaled = threshold * core::f64::consts::LN_10;
    let x = scaled + libm::log1p(-libm::exp(-scaled));
    let r = libm::sqrt(LINEAR / (3.0 * CUBIC));
    2.0 * r * libm::sinh(libm::asinh(x / (2.0 * CUBIC * r * r * r)) / 3.0)
}

fn nanos(duration: Duration) -> f64 {
    saturating_nanos(duration) as f64
}

/// The coefficients of the logistic approximation of the normal distribution that Akka uses (Bowling, Khasawneh,
/// Kaewkuekool and Cho, A logistic approximation to the cumulative normal distribution, 2009).
const LINEAR: f64 = 1.5976;
const CUBIC: f64 = 0.070_566;
const WINDOW_MAX: NonZeroU32 = NonZeroU32::new(64).unwrap();
const WINDOW_AKKA: NonZeroU32 = NonZeroU32::new(1000).unwrap();
const WINDOW_BOUND: NonZeroU32 = NonZeroU32::new(65_536).unwrap();
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
