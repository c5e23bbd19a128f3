//! How much of its weight an instance keeps while it is not at its best.
//!
//! Decides a share of the weight in force out of status, success and latency, so that traffic moves before an instance
//! is out, and does so in few steps, since each makes a new view. Never takes an instance out.

use core::time::Duration;

use super::status::Status;
use crate::service::{ConfigError, Problems};

/// How a score comes about and what follows from it. Numbers of thousandths end in `_milli`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct ScoreConfig {
    /// How a score becomes a factor. Default linear.
    pub weighting: Weighting,
    /// The least factor: 1 to 1000. Default 100. Not 0, which would drain: what gets no requests can never show that it
    /// recovered.
    pub floor_milli: u32,
    /// The factor is a multiple of this where it is linear: 1 to 1000. Default 50.
    pub step_milli: u32,
    /// By how much a score must pass the point where the factor changes: 0 to 500. Default 25.
    pub hysteresis_milli: u32,
    /// The score of a degraded instance: 0 to 1000. Default 500.
    pub degraded_milli: u32,
    /// How many requests must have ended for success and latency to count: at least 1. Default 20.
    pub requests_min: u32,
    /// The share of successes from which nothing is missing: at most 1000. Default 990.
    pub success_full_milli: u32,
    /// The share of successes up to which everything is missing: less than `success_full_milli`. Default 500.
    pub success_none_milli: u32,
    /// Up to how many times the latency of the fleet nothing is missing: at least 1000. Default 1500.
    pub latency_full_milli: u32,
    /// From how many times the latency of the fleet everything is missing: more than `latency_full_milli`. Default 5000.
    pub latency_none_milli: u32,
}

impl ScoreConfig {
    /// The most steps that a stepped weighting may have.
    pub const STEPS_MAX: usize = 16;

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
        for (field, value) in [("floor_milli", self.floor_milli), ("step_milli", self.step_milli)] {
            problems.require((1..=WHOLE).contains(&value), field, value, "must be 1 to 1000");
        }
        let margin = self.hysteresis_milli;
        problems.require(margin <= 500, "hysteresis_milli", margin, "must be 0 to 500");
        problems.require(self.degraded_milli <= WHOLE, "degraded_milli", self.degraded_milli, "must be 0 to 1000");
        problems.require(self.requests_min >= 1, "requests_min", self.requests_min, "must be at least 1");
        let (full, none) = (self.success_full_milli, self.success_none_milli);
        problems.require(full <= WHOLE, "success_full_milli", full, "must be at most 1000");
        problems.require(none < full, "success_none_milli", none, "must be less than success_full_milli");
        let (full, none) = (self.latency_full_milli, self.latency_none_milli);
        problems.require(full >= WHOLE, "latency_full_milli", full, "must be at least 1000");
        problems.require(none > full, "latency_none_milli", none, "must be more than latency_full_milli");
        if let Weighting::Stepped(steps) = &self.weighting {
            self.check_steps(steps, problems);
        }
    }

    fn check_steps(&self, steps: &[Step], problems: &mut Problems) {
        let count = steps.len();
        problems.require((1..=Self::STEPS_MAX).contains(&count), "stepped", count, "must be 1 to 16 steps");
        for step in steps {
            let Step { score_milli, factor_milli } = *step;
            problems.require(score_milli <= WHOLE, "score_milli", score_milli, "must be 0 to 1000");
            let held = (self.floor_milli..=WHOLE).contains(&factor_milli);
            problems.require(held, "factor_milli", factor_milli, "must be floor_milli to 1000");
        }
        for (lower, upper) in steps.iter().zip(steps.iter().skip(1)) {
            let rule = "must be more than that of the step before";
            problems.require(upper.score_milli > lower.score_milli, "score_milli", upper.score_milli, rule);
            let rule = "must be at least that of the step before";
            problems.require(upper.factor_milli >= lower.factor_milli, "factor_milli", upper.factor_milli, rule);
        }
    }

    /// How well an instance does: 1 at its best, 0 at its worst. The worst of what is known of it counts, so that a
    /// score has one cause.
    ///
    /// - Status: 1 of one that is `Healthy` or `Unknown`, `degraded_milli` of one that is `Degraded`, else 0.
    /// - Success: 1 from `success_full_milli`, 0 up to `success_none_milli`, in between in proportion.
    /// - Latency over that of the fleet: 1 up to `latency_full_milli`, 0 from `latency_none_milli`, in between in
    ///   proportion.
    #[must_use]
    pub fn score(&self, signals: &Signals) -> f64 {
        let status = match signals.status {
            Status::Unknown | Status::Healthy => 1.0,
            Status::Degraded => share(self.degraded_milli),
            Status::Unhealthy | Status::Ejected | Status::Probing | Status::Draining | Status::Maintenance => 0.0,
        };
        if signals.ended < self.requests_min.max(1) {
            return status;
        }
        let success = f64::from(signals.succeeded) / f64::from(signals.ended);
        let success = part(success, share(self.success_none_milli), share(self.success_full_milli));
        if signals.latency.is_zero() || signals.fleet_latency.is_zero() {
            return success.min(status);
        }
        let ratio = signals.latency.as_secs_f64() / signals.fleet_latency.as_secs_f64();
        let latency = part(ratio, share(self.latency_none_milli), share(self.latency_full_milli));
        latency.min(success).min(status)
    }

    /// The factor of `score`, in thousandths; it never falls where the score rises.
    fn factor_milli(&self, score: f64) -> u32 {
        let floor = self.floor_milli.clamp(1, WHOLE);
        let factor = match &self.weighting {
            Weighting::Off => WHOLE,
            Weighting::Linear => {
                let step = f64::from(self.step_milli.max(1));
                let exact = f64::from(floor) + score.clamp(0.0, 1.0) * f64::from(WHOLE - floor);
                (libm::round(exact / step) * step) as u32
            }
            Weighting::Stepped(steps) => {
                let reached = steps.iter().rev().find(|step| share(step.score_milli) <= score);
                reached.map_or(floor, |step| step.factor_milli)
            }
        };
        factor.clamp(floor, WHOLE)
    }
}

impl Default for ScoreConfig {
    fn default() -> Self {
        Self {
            weighting: Weighting::default(),
            floor_milli: 100,
            step_milli: 50,
            hysteresis_milli: 25,
            degraded_milli: 500,
            requests_min: 20,
            success_full_milli: 990,
            success_none_milli: 500,
            latency_full_milli: 1500,
            latency_none_milli: 5000,
        }
    }
}

/// How a score becomes a factor of the weight in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Weighting {
    /// Not at all: the factor is always 1000.
    Off,
    /// In proportion, from `floor_milli` at 0 to 1000 at 1, in steps of `step_milli`.
    #[default]
    Linear,
    /// As the steps say, which rise in both numbers: the last whose score is reached counts, and `floor_milli` where
    /// none is. 1 to 16 of them.
    Stepped(Vec<Step>),
}

/// From a score of `score_milli` the factor is `factor_milli`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Step {
    /// The least score: 0 to 1000.
    pub score_milli: u32,
    /// The factor: `floor_milli` to 1000.
    pub factor_milli: u32,
}

/// What is known of an instance, of the last interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signals {
    /// Its status.
    pub status: Status,
    /// How many requests ended.
    pub ended: u32,
    /// How many of them succeeded.
    pub succeeded: u32,
    /// Its latency; 0 where it is not known.
    pub latency: Duration,
    /// The median of the fleet's latencies; 0 where it is not known.
    pub fleet_latency: Duration,
}

impl Signals {
    /// Nothing but a status.
    #[must_use]
    pub const fn new(status: Status) -> Self {
        Self { status, ended: 0, succeeded: 0, latency: Duration::ZERO, fleet_latency: Duration::ZERO }
    }
}

/// The factor in force of one instance. Begins whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthWeight {
    factor_milli: u32,
}

impl HealthWeight {
    /// The factor in force: thousandths of the instance's weight, `floor_milli` to 1000.
    ///
    /// Also an instance that is out has one of at least the floor: whether it is picked is for its status to say, and
    /// where all are out and any may be picked, none is to be left out.
    #[must_use]
    pub const fn factor_milli(self) -> u32 {
        self.factor_milli
    }

    /// Reckons the factor anew; returns it where it changed.
    ///
    /// It changes where the score is past the point between two factors by `hysteresis_milli`, and goes all the way
    /// then. The best and the worst score have their factors at once, or an instance at its best could be stuck below.
    pub fn update(&mut self, config: &ScoreConfig, signals: &Signals) -> Option<u32> {
        let score = config.score(signals);
        let margin = share(config.hysteresis_milli);
        let lowest = if score >= 1.0 { config.factor_milli(1.0) } else { config.factor_milli(score - margin) };
        let highest = if score <= 0.0 { config.factor_milli(0.0) } else { config.factor_milli(score + margin) };
        if (lowest..=highest).contains(&self.factor_milli) {
            return None;
        }
        let factor = config.factor_milli(score);
        self.factor_milli = factor;
        Some(factor)
    }
}

impl Default for HealthWeight {
    fn default() -> Self {
        Self { factor_milli: WHOLE }
    }
}

/// The share of its weight, in thousandths (1 to 1000), that an instance has `elapsed` after its start, while it warms
/// up for `window`.
///
/// `max(min_percent / 100, time_factor^(1 / aggression))` with `time_factor = max(elapsed, 1 s) / window`, as Envoy's
/// slow start mode has it, rounded to the nearest thousandth. `aggression` is more than 0: 1 is linear, more rises
/// early, less rises late; what is no such number counts as 1. `min_percent` is 0 to 100; Envoy's default is 10.
#[must_use]
pub fn slow_start(elapsed: Duration, window: Duration, aggression: f64, min_percent: u32) -> u32 {
    if elapsed >= window {
        return WHOLE;
    }
    let aggression = if aggression.is_finite() && aggression > 0.0 { aggression } else { 1.0 };
    let time_factor = elapsed.max(Duration::from_secs(1)).as_secs_f64() / window.as_secs_f64();
    let grown = libm::pow(time_factor, 1.0 / aggression).max(f64::from(min_percent) / 100.0);
    (libm::round(grown * f64::from(WHOLE)) as u32).clamp(1, WHOLE)
}

/// Where `value` is on the way from `none` to `full`: 0 to 1.
fn part(value: f64, none: f64, full: f64) -> f64 {
    ((value - none) / (full - none)).clamp(0.0, 1.0)
}

fn share(milli: u32) -> f64 {
    f64::from(milli) / f64::from(WHOLE)
}

const WHOLE: u32 = 1000;
