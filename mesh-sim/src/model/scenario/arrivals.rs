//! When requests come.

use alloc::sync::Arc;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// When requests come, over all clients together. Rates are in requests per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Arrivals {
    /// Independently of each other.
    Poisson {
        /// Requests per second.
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        rate: f64,
    },
    /// Evenly spaced; the first comes at the start.
    Uniform {
        /// Requests per second.
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        rate: f64,
    },
    /// Poisson during "on" periods and nothing during "off" periods, both exponentially long; begins "on".
    Bursts {
        /// The average over both, in requests per second.
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        rate: f64,
        /// The mean length of an "on" period.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        on: Duration,
        /// The mean length of an "off" period.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        off: Duration,
    },
    /// Poisson whose rate changes at times; before the first nothing comes.
    Steps {
        /// The rates, in the order of their times.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        steps: Vec<RateStep>,
    },
    /// Poisson whose rate changes linearly over the duration.
    Ramp {
        /// The rate at the start.
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        from: f64,
        /// The rate at the end of the duration.
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        to: f64,
    },
    /// Users who wait for their answer before they ask again; user u belongs to client u mod count.
    Closed {
        /// How many users in all.
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
        concurrency: u32,
        /// After how many requests in all it ends.
        #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
        requests: u64,
        /// How long a user thinks between an answer and the next request.
        #[serde(default, with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        think: Duration,
    },
    /// At given times.
    Trace {
        /// The file that names them: one offset from the start a line, such as `250ms`.
        file: String,
        /// What the file says, in order; see [`Scenario::load_trace`](super::Scenario::load_trace).
        #[serde(skip)]
        offsets: Arc<[Duration]>,
    },
}

/// A rate from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RateStep {
    /// From when.
    #[serde(with = "mesh_core::text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
    pub at: Duration,
    /// Requests per second from then on.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub rate: f64,
}

impl Arrivals {
    /// Poisson at `rate` requests per second.
    #[must_use]
    pub const fn poisson(rate: f64) -> Self {
        Self::Poisson { rate }
    }

    /// At the times `offsets`, which are counted from the start and sorted.
    #[must_use]
    pub fn at(offsets: impl Into<Arc<[Duration]>>) -> Self {
        Self::Trace { file: String::new(), offsets: offsets.into() }
    }
}

impl Arrivals {
    /// Its name in files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Poisson { .. } => "poisson",
            Self::Uniform { .. } => "uniform",
            Self::Bursts { .. } => "bursts",
            Self::Steps { .. } => "steps",
            Self::Ramp { .. } => "ramp",
            Self::Closed { .. } => "closed",
            Self::Trace { .. } => "trace",
        }
    }

    /// How many requests are expected to come until `duration`; of a closed loop how many there are.
    pub(super) fn expected(&self, duration: Duration) -> f64 {
        self.expected_until(duration, duration)
    }

    /// How many requests are expected to come until `time`, in a run that ends at `duration`.
    pub(super) fn expected_until(&self, time: Duration, duration: Duration) -> f64 {
        let (time, seconds) = (time.min(duration), time.min(duration).as_secs_f64());
        match self {
            Self::Poisson { rate } | Self::Uniform { rate } | Self::Bursts { rate, .. } => rate * seconds,
            Self::Steps { steps } => {
                let ends = steps.iter().skip(1).map(|step| step.at).chain([Duration::MAX]);
                let lasts = |(step, end): (&RateStep, Duration)| {
                    end.min(time).saturating_sub(step.at).as_secs_f64() * step.rate
                };
                steps.iter().zip(ends).map(lasts).sum()
            }
            Self::Ramp { from, to } => {
                let end = duration.as_secs_f64().max(f64::MIN_POSITIVE);
                from * seconds + (to - from) * seconds * seconds / (2.0 * end)
            }
            Self::Closed { requests, .. } => *requests as f64,
            Self::Trace { offsets, .. } => offsets.iter().filter(|offset| **offset < time).count() as f64,
        }
    }

    /// The rate that is offered in the long run, the highest where it changes; none for a closed loop.
    pub(super) fn peak_rate(&self, duration: Duration) -> Option<f64> {
        match self {
            Self::Poisson { rate } | Self::Uniform { rate } | Self::Bursts { rate, .. } => Some(*rate),
            Self::Steps { steps } => {
                let begun = steps.iter().filter(|step| step.at < duration);
                Some(begun.map(|step| step.rate).fold(0.0, f64::max))
            }
            Self::Ramp { from, to } => Some(from.max(*to)),
            Self::Closed { .. } => None,
            Self::Trace { .. } => Some(self.expected(duration) / duration.as_secs_f64().max(f64::MIN_POSITIVE)),
        }
    }
}
