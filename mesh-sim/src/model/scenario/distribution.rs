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
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        value: Duration,
    },
    /// Anything between two bounds alike.
    Uniform {
        /// The shortest.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        min: Duration,
        /// The longest.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        max: Duration,
    },
    /// Without memory; the squared coefficient of variation is 1.
    Exponential {
        /// The mean.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        mean: Duration,
    },
    /// The normal law, truncated at 0: draws below 0 are drawn again.
    Normal {
        /// The mean before the truncation.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        mean: Duration,
        /// The standard deviation before the truncation.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        std_dev: Duration,
    },
    /// The logarithm is normal.
    Lognormal {
        /// The median.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        median: Duration,
        /// The standard deviation of the natural logarithm; from 0.
        sigma: f64,
    },
    /// A power tail: P(X > x) = (min / x)^alpha.
    Pareto {
        /// The shortest.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        min: Duration,
        /// The exponent, above 0; the mean is finite above 1, the variance above 2.
        alpha: f64,
    },
    /// One of two exponential phases, with balanced means.
    Hyperexponential {
        /// The mean.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        mean: Duration,
        /// The squared coefficient of variation, at least 1.
        cv2: f64,
    },
    /// The sum of exponential stages; the squared coefficient of variation is 1 / stages.
    Erlang {
        /// The mean of the sum.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        mean: Duration,
        /// How many stages, at least 1.
        stages: u32,
    },
    /// One of the values, each alike.
    Empirical {
        /// Measured durations.
        #[serde(with = "durations")]
        #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
        values: Vec<Duration>,
    },
    /// One of several laws.
    Mixture {
        /// The laws and how often each is drawn from.
        parts: Vec<Share>,
    },
}

/// One law of a mixture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// How often, relative to the others; above 0.
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
}

/// No time at all.
impl Default for Distribution {
    fn default() -> Self {
        Self::constant(Duration::ZERO)
    }
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
