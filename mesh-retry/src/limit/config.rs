//! Which algorithm sets a limit, and over which windows; with the presets of Netflix and Envoy.

use core::fmt::Display;
use core::num::NonZeroU32;
use core::time::Duration;

use mesh_core::service::ConfigError;

use super::algorithm::{
    Aimd, AimdConfig, Algorithm, Gradient, Gradient2, Gradient2Config, GradientConfig, Vegas, VegasConfig,
};

/// How a [`ConcurrencyLimit`](super::ConcurrencyLimit) is set. The default is [`LimitConfig::gradient2`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct LimitConfig {
    /// What moves the limit.
    pub algorithm: AlgorithmConfig,
    /// What it looks at.
    pub window: SampleWindow,
}

/// The algorithms there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum AlgorithmConfig {
    /// A limit that stays: 1 to 16,777,215. Nothing is measured.
    Fixed(NonZeroU32),
    /// One more at a time, a tenth less after a drop.
    Aimd(AimdConfig),
    /// By the length of the queue.
    Vegas(VegasConfig),
    /// By the round trip against a long average.
    Gradient2(Gradient2Config),
    /// By the round trip against one that is measured at low load.
    Gradient(GradientConfig),
}

/// What an algorithm looks at: the requests of a window, which has its length and its number of samples.
///
/// A window that is due and has too few samples waits for more, where Netflix's throws them away: a service that is
/// called seldom has a limit that follows it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct SampleWindow {
    /// How long it lasts at least: at most 1 h. Zero ends it with its last sample. Default 1 s, as Netflix's
    /// `WindowedLimit`.
    #[cfg_attr(feature = "serde", serde(with = "mesh_core::text::duration"))]
    pub length: Duration,
    /// How many samples it has at least: at most 1,000,000. Default 10, as Netflix's.
    pub samples_min: NonZeroU32,
    /// What its round trip is. Default the mean, as Netflix's.
    pub aggregate: Aggregate,
}

/// What stands for the round trips of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Aggregate {
    /// Their mean.
    #[default]
    Mean,
    /// The one below which a share of them lies, to 1/32 of itself.
    Quantile {
        /// The share in thousandths: 1 to 1,000.
        milli: u32,
    },
}

impl LimitConfig {
    /// A limit that stays.
    #[must_use]
    pub const fn fixed(limit: NonZeroU32) -> Self {
        Self { algorithm: AlgorithmConfig::Fixed(limit), window: SampleWindow::EACH }
    }

    /// Netflix's `AIMDLimit` with its defaults, moved by each sample.
    #[must_use]
    pub const fn aimd() -> Self {
        Self { algorithm: AlgorithmConfig::Aimd(AimdConfig::NETFLIX), window: SampleWindow::EACH }
    }

    /// Netflix's `VegasLimit` with its defaults, moved by each sample.
    #[must_use]
    pub const fn vegas() -> Self {
        Self { algorithm: AlgorithmConfig::Vegas(VegasConfig::NETFLIX), window: SampleWindow::EACH }
    }

    /// Netflix's `Gradient2Limit` with its defaults, within a `WindowedLimit` with its: moved once a second.
    #[must_use]
    pub const fn gradient2() -> Self {
        Self { algorithm: AlgorithmConfig::Gradient2(Gradient2Config::NETFLIX), window: SampleWindow::NETFLIX }
    }

    /// Envoy's adaptive concurrency filter with its defaults: the median of 100 ms (`concurrency_update_interval` of the
    /// example in its documentation; it has no default).
    #[must_use]
    pub const fn envoy() -> Self {
        let window = SampleWindow {
            length: Duration::from_millis(100),
            samples_min: NonZeroU32::MIN,
            aggregate: Aggregate::Quantile { milli: 500 },
        };
        Self { algorithm: AlgorithmConfig::Gradient(GradientConfig::ENVOY), window }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.window.validate()?;
        match &self.algorithm {
            AlgorithmConfig::Fixed(limit) => {
                check(*limit <= limits::HIGHEST, "fixed", limit, "must be at most 16777215")
            }
            AlgorithmConfig::Aimd(config) => config.validate(),
            AlgorithmConfig::Vegas(config) => config.validate(),
            AlgorithmConfig::Gradient2(config) => config.validate(),
            AlgorithmConfig::Gradient(config) => config.validate(),
        }
    }
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self::gradient2()
    }
}

impl AlgorithmConfig {
    /// The algorithm, or the limit that stays.
    pub(super) fn build(&self, entropy: u64) -> Result<Box<dyn Algorithm>, NonZeroU32> {
        match *self {
            Self::Fixed(limit) => Err(limit),
            Self::Aimd(config) => Ok(Box::new(Aimd::new(config))),
            Self::Vegas(config) => Ok(Box::new(Vegas::new(config, entropy))),
            Self::Gradient2(config) => Ok(Box::new(Gradient2::new(config))),
            Self::Gradient(config) => Ok(Box::new(Gradient::new(config, entropy))),
        }
    }
}

impl SampleWindow {
    /// One that ends with each sample.
    pub const EACH: Self = Self { length: Duration::ZERO, samples_min: NonZeroU32::MIN, aggregate: Aggregate::Mean };

    /// That of Netflix's `WindowedLimit`.
    const NETFLIX: Self = Self { length: Duration::from_secs(1), samples_min: limits::TEN, aggregate: Aggregate::Mean };

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let length = self.length;
        let is_short = length <= Duration::from_secs(3_600);
        check(is_short, "length", format_args!("{length:?}"), "must be at most 1h")?;
        let samples = self.samples_min;
        check(samples.get() <= 1_000_000, "samples_min", samples, "must be at most 1000000")?;
        match self.aggregate {
            Aggregate::Mean => Ok(()),
            Aggregate::Quantile { milli } => check((1..=1_000).contains(&milli), "milli", milli, "must be 1 to 1000"),
        }
    }
}

impl Default for SampleWindow {
    fn default() -> Self {
        Self::NETFLIX
    }
}

/// Refuses `value` for `field` where it does not fit.
pub(super) fn check(
    fits: bool,
    field: &'static str,
    value: impl Display,
    rule: &'static str,
) -> Result<(), ConfigError> {
    if fits { Ok(()) } else { Err(ConfigError::new(field, value, rule)) }
}

/// The bounds of limits.
pub(super) mod limits {
    use core::num::NonZeroU32;

    use mesh_core::service::ConfigError;

    use super::check;
    use crate::limit::occupancy::LIMIT_MAX;

    pub(in crate::limit) fn validate(initial: NonZeroU32, min: NonZeroU32, max: NonZeroU32) -> Result<(), ConfigError> {
        check(min <= max, "min", min, "must be at most max")?;
        check(max <= HIGHEST, "max", max, "must be at most 16777215")?;
        check((min..=max).contains(&initial), "initial", initial, "must be min to max")
    }

    pub(in crate::limit) const HIGHEST: NonZeroU32 = NonZeroU32::new(LIMIT_MAX).unwrap();
    pub(in crate::limit) const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();
    pub(in crate::limit) const TEN: NonZeroU32 = NonZeroU32::new(10).unwrap();
    pub(in crate::limit) const TWENTY: NonZeroU32 = NonZeroU32::new(20).unwrap();
    pub(in crate::limit) const TWENTY_FIVE: NonZeroU32 = NonZeroU32::new(25).unwrap();
    pub(in crate::limit) const FIFTY: NonZeroU32 = NonZeroU32::new(50).unwrap();
    pub(in crate::limit) const TWO_HUNDRED: NonZeroU32 = NonZeroU32::new(200).unwrap();
    pub(in crate::limit) const THOUSAND: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
    pub(in crate::limit) const ENVOY: NonZeroU32 = NonZeroU32::new(1_024).unwrap();
}
