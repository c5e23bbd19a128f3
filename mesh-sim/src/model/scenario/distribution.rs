//! How long things take, as a law to draw from. How it is drawn is the engine's.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A law of durations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Distribution {
    /// Always the same.
    Constant {
        /// That.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        value: Duration,
    },
    /// Anything between two bounds alike.
    Uniform {
        /// The shortest.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        min: Duration,
        /// The longest.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        max: Duration,
    },
    /// Without memory; the squared coefficient of variation is 1.
    Exponential {
        /// The mean.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        mean: Duration,
    },
    /// The normal law, truncated at 0: draws below 0 are drawn again.
    Normal {
        /// The mean before the truncation.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        mean: Duration,
        /// The standard deviation before the truncation.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        std_dev: Duration,
    },
    /// The logarithm is normal.
    Lognormal {
        /// The median.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        median: Duration,
        /// The standard deviation of the natural logarithm; from 0.
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
        sigma: f64,
    },
    /// A power tail: P(X > x) = (min / x)^alpha.
    Pareto {
        /// The shortest.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        min: Duration,
        /// The exponent, above 0; the mean is finite above 1, the variance above 2.
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        alpha: f64,
    },
    /// One of two exponential phases, with balanced means.
    Hyperexponential {
        /// The mean.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        mean: Duration,
        /// The squared coefficient of variation, at least 1.
        #[cfg_attr(feature = "schema", schemars(range(min = 1.0, max = 1_000_000.0)))]
        cv2: f64,
    },
    /// The sum of exponential stages; the squared coefficient of variation is 1 / stages.
    Erlang {
        /// The mean of the sum.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        mean: Duration,
        /// How many stages, at least 1.
        #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 10_000)))]
        stages: u32,
    },
    /// One of the values, each alike.
    Empirical {
        /// Measured durations.
        #[serde(with = "durations")]
        #[cfg_attr(feature = "schema", schemars(with = "Vec<super::schema::Span>", length(min = 1)))]
        values: Vec<Duration>,
    },
    /// One of several laws.
    Mixture {
        /// The laws and how often each is drawn from.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        parts: Vec<Share>,
    },
}

/// One law of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// How often, relative to the others; above 0.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
    pub weight: f64,
    /// The law.
    pub of: Distribution,
}

impl Distribution {
    /// Always `value`.
    #[must_use]
    pub const fn constant(value: Duration) -> Self {
        Self::Constant { value }
    }

    /// Exponential with this mean.
    #[must_use]
    pub const fn exponential(mean: Duration) -> Self {
        Self::Exponential { mean }
    }

    /// Its name in files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Constant { .. } => "constant",
            Self::Uniform { .. } => "uniform",
            Self::Exponential { .. } => "exponential",
            Self::Normal { .. } => "normal",
            Self::Lognormal { .. } => "lognormal",
            Self::Pareto { .. } => "pareto",
            Self::Hyperexponential { .. } => "hyperexponential",
            Self::Erlang { .. } => "erlang",
            Self::Empirical { .. } => "empirical",
            Self::Mixture { .. } => "mixture",
        }
    }

    /// Its exact mean in nanoseconds; infinite for a Pareto law whose tail is too heavy to have one.
    #[must_use]
    pub fn mean_nanos(&self) -> f64 {
        match self {
            Self::Constant { value: mean }
            | Self::Exponential { mean }
            | Self::Hyperexponential { mean, .. }
            | Self::Erlang { mean, .. } => nanos(*mean),
            Self::Uniform { min, max } => f64::midpoint(nanos(*min), nanos(*max)),
            Self::Normal { mean, std_dev } => truncated_normal_mean(nanos(*mean), nanos(*std_dev)),
            Self::Lognormal { median, sigma } => nanos(*median) * libm::exp(sigma * sigma / 2.0),
            Self::Pareto { alpha, .. } if *alpha <= 1.0 => f64::INFINITY,
            Self::Pareto { min, alpha } => nanos(*min) * alpha / (alpha - 1.0),
            Self::Empirical { values } => values.iter().copied().map(nanos).sum::<f64>() / values.len().max(1) as f64,
            Self::Mixture { parts } => {
                let total: f64 = parts.iter().map(|part| part.weight).sum();
                parts.iter().map(|part| part.weight / total * part.of.mean_nanos()).sum()
            }
        }
    }
}

/// No time at all.
impl Default for Distribution {
    fn default() -> Self {
        Self::constant(Duration::ZERO)
    }
}

fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// The mean of a normal law of which only what is not negative is kept: it rises by the deviation times the inverse
/// Mills ratio (Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions", volume 1, 1994, section 10.1).
fn truncated_normal_mean(mean: f64, std_dev: f64) -> f64 {
    if std_dev <= 0.0 {
        return mean;
    }
    let standardised = mean / std_dev;
    let density = libm::exp(-standardised * standardised / 2.0) / core::f64::consts::TAU.sqrt();
    let kept = libm::erfc(-standardised / core::f64::consts::SQRT_2) / 2.0;
    mean + std_dev * density / kept
}

/// Lists of durations as text.
mod durations {
    use core::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Text(#[serde(with = "mesh_core::text::duration")] Duration);

    pub(super) fn serialize<S: Serializer>(values: &[Duration], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().copied().map(Text))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
        Ok(Vec::<Text>::deserialize(deserializer)?.into_iter().map(|Text(value)| value).collect())
    }
}
