//! How a law of durations is drawn from: its parameters worked out, in portable arithmetic.
//!
//! Logarithms and cosines are `libm`'s, whose results are the same on every machine; the other operations are exact
//! in IEEE 754.

use super::random::Bits;
use crate::model::scenario::Distribution;

/// A law of durations in nanoseconds.
#[derive(Clone, Debug)]
pub(super) enum Law {
    Constant(f64),
    Uniform { min: f64, span: f64 },
    Exponential { mean: f64 },
    Normal { mean: f64, std_dev: f64 },
    Lognormal { median: f64, sigma: f64 },
    Pareto { min: f64, exponent: f64 },
    Hyperexponential { first: f64, means: [f64; 2] },
    Erlang { stage: f64, stages: u32 },
    Empirical(Box<[f64]>),
    Mixture(Box<[(f64, Self)]>),
}

impl Law {
    pub(super) fn of(distribution: &Distribution) -> Self {
        let nanos = |duration: &core::time::Duration| duration.as_nanos() as f64;
        match distribution {
            Distribution::Constant { value } => Self::Constant(nanos(value)),
            Distribution::Uniform { min, max } => Self::Uniform { min: nanos(min), span: nanos(max) - nanos(min) },
            Distribution::Exponential { mean } => Self::Exponential { mean: nanos(mean) },
            Distribution::Normal { mean, std_dev } => Self::Normal { mean: nanos(mean), std_dev: nanos(std_dev) },
            Distribution::Lognormal { median, sigma } => Self::Lognormal { median: nanos(median), sigma: *sigma },
            Distribution::Pareto { min, alpha } => Self::Pareto { min: nanos(min), exponent: -1.0 / alpha },
            Distribution::Hyperexponential { mean, cv2 } => {
                let first = f64::midpoint(1.0, ((cv2 - 1.0) / (cv2 + 1.0)).sqrt());
                let means = [nanos(mean) / (2.0 * first), nanos(mean) / (2.0 * (1.0 - first))];
                Self::Hyperexponential { first, means }
            }
            Distribution::Erlang { mean, stages } => {
                Self::Erlang { stage: nanos(mean) / f64::from(*stages), stages: *stages }
            }
            Distribution::Empirical { values } => Self::Empirical(values.iter().map(nanos).collect()),
            Distribution::Mixture { parts } => {
                let total: f64 = parts.iter().map(|part| part.weight).sum();
                let mut sum = 0.0;
                let cumulated = parts.iter().map(|part| {
                    sum += part.weight / total;
                    (sum, Self::of(&part.of))
                });
                Self::Mixture(cumulated.collect())
            }
        }
    }

    /// Whether every draw is zero.
    pub(super) const fn is_zero(&self) -> bool {
        matches!(self, Self::Constant(value) if *value == 0.0)
    }

    /// The next draw, in nanoseconds.
    #[inline]
    pub(super) fn draw(&self, bits: &mut impl Bits) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Exponential { mean } => mean * exponential(bits),
            Self::Uniform { .. }
            | Self::Normal { .. }
            | Self::Lognormal { .. }
            | Self::Pareto { .. }
            | Self::Hyperexponential { .. }
            | Self::Erlang { .. }
            | Self::Empirical(_)
            | Self::Mixture(_) => self.draw_rarer(bits),
        }
    }

    #[inline(never)]
    fn draw_rarer(&self, bits: &mut impl Bits) -> f64 {
        match self {
            Self::Uniform { min, span } => min + span * bits.unit(),
            Self::Normal { mean, std_dev } => {
                let draws = core::iter::repeat_with(|| mean + std_dev * standard_normal(bits));
                draws.take(TRUNCATION_DRAWS_MAX).find(|value| *value >= 0.0).unwrap_or(0.0)
            }
            Self::Lognormal { median, sigma } => median * libm::exp(sigma * standard_normal(bits)),
            Self::Pareto { min, exponent } => min * libm::pow(1.0 - bits.unit(), *exponent),
            Self::Hyperexponential { first, means } => {
                let mean = if bits.unit() < *first { means[0] } else { means[1] };
                mean * exponential(bits)
            }
            Self::Erlang { stage, stages } => (0..*stages).map(|_| stage * exponential(bits)).sum(),
            Self::Empirical(values) => values[mesh_core::rng::scale(bits.bits(), values.len() as u64) as usize],
            Self::Mixture(parts) => {
                let drawn = bits.unit();
                let part = parts.iter().find(|(until, _)| drawn < *until).or(parts.last());
                part.map_or(0.0, |(_, law)| law.draw(bits))
            }
            Self::Constant(_) | Self::Exponential { .. } => self.draw(bits),
        }
    }

    /// The next draw, in whole nanoseconds.
    #[inline]
    pub(super) fn nanos(&self, bits: &mut impl Bits) -> u64 {
        whole(self.draw(bits))
    }
}

/// Rounds to whole nanoseconds; what is no number or negative counts as 0, what is too long as the longest.
#[inline]
pub(super) const fn whole(nanos: f64) -> u64 {
    (nanos + 0.5) as u64
}

/// A draw of the exponential law with mean 1.
#[inline]
pub(super) fn exponential(bits: &mut impl Bits) -> f64 {
    -libm::log(1.0 - bits.unit())
}

/// A draw of the normal law with mean 0 and deviation 1 (Box and Muller, 1958; the second of the pair is not used,
/// so that a draw needs no memory).
fn standard_normal(bits: &mut impl Bits) -> f64 {
    let radius = (2.0 * exponential(bits)).sqrt();
    radius * libm::cos(core::f64::consts::TAU * bits.unit())
}

/// A normal law with a mean from 0 up keeps at least half of its draws: that 64 in a row are lost does not happen.
const TRUNCATION_DRAWS_MAX: usize = 64;
