//! The numbers of a law of durations, and those of the laws within it.

use core::time::Duration;

use super::Span;
use super::findings::{Findings, Path};
use crate::model::scenario::{Distribution, Share};

/// Checks the law at `path`.
pub(super) fn verify(law: &Distribution, path: Path<'_>, found: &mut Findings) {
    let path = path.key(law.name());
    match law {
        Distribution::Constant { .. } | Distribution::Exponential { .. } | Distribution::Normal { .. } => {}
        Distribution::Uniform { min, max } => verify_order(*min, *max, path, found),
        Distribution::Lognormal { sigma, .. } => {
            let holds = (0.0..f64::INFINITY).contains(sigma);
            found.require(holds, path.key("sigma"), sigma, "must be a finite number from 0 up");
        }
        Distribution::Pareto { alpha, .. } => {
            let holds = alpha.is_finite() && *alpha > 0.0;
            found.require(holds, path.key("alpha"), alpha, "must be a finite number above 0");
        }
        Distribution::Hyperexponential { cv2, .. } => {
            let holds = (1.0..=CV2_MAX).contains(cv2);
            found.require(holds, path.key("cv2"), cv2, "must be 1 to 1000000");
        }
        Distribution::Erlang { stages, .. } => {
            let holds = (1..=STAGES_MAX).contains(stages);
            found.require(holds, path.key("stages"), stages, format_args!("must be 1 to {STAGES_MAX}"));
        }
        Distribution::Empirical { values } => {
            found.require(!values.is_empty(), path.key("values"), "[]", "there must be at least one");
        }
        Distribution::Mixture { parts } => verify_parts(parts, path.key("parts"), found),
    }
}

fn verify_order(min: Duration, max: Duration, path: Path<'_>, found: &mut Findings) {
    let rule = format!("must be at most max, which is {max:?}");
    found.require(min <= max, path.key("min"), Span(min), rule);
}

fn verify_parts(parts: &[Share], path: Path<'_>, found: &mut Findings) {
    found.require(!parts.is_empty(), path, "[]", "there must be at least one");
    for (at, part) in parts.iter().enumerate() {
        let (path, weight) = (path.item(at), part.weight);
        let holds = weight.is_finite() && weight > 0.0;
        found.require(holds, path.key("weight"), weight, "must be a finite number above 0");
        verify(&part.of, path.key("of"), found);
    }
}

/// Beyond it the rarer phase is drawn less often than once in a million times.
const CV2_MAX: f64 = 1_000_000.0;
/// A draw takes as many steps; with that many the law is a constant but for a percent.
const STAGES_MAX: u32 = 10_000;
