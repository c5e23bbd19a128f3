//! When requests come: rates, times and bounds.

use core::time::Duration;

use super::Span;
use super::findings::{Findings, Path};
use crate::model::scenario::{Arrivals, RateStep};

/// Checks the arrivals at `path`.
pub(super) fn verify(arrivals: &Arrivals, path: Path<'_>, found: &mut Findings) {
    let path = path.key(arrivals.name());
    match arrivals {
        Arrivals::Poisson { rate } | Arrivals::Uniform { rate } => verify_rate(*rate, path.key("rate"), found),
        Arrivals::Bursts { rate, on, .. } => {
            verify_rate(*rate, path.key("rate"), found);
            found.require(!on.is_zero(), path.key("on"), Span(*on), "must be longer than zero");
        }
        Arrivals::Steps { steps } => verify_steps(steps, path.key("steps"), found),
        Arrivals::Ramp { from, to } => {
            let fit = verify_any_rate(*from, path.key("from"), found) & verify_any_rate(*to, path.key("to"), found);
            found.require(!fit || from + to > 0.0, path.key("to"), to, "from and to cannot both be 0");
        }
        Arrivals::Closed { concurrency, requests, .. } => {
            let rule = format_args!("must be 1 to {USERS_MAX}").to_string();
            let fits = (1..=USERS_MAX).contains(concurrency);
            found.require(fits, path.key("concurrency"), concurrency, rule);
            found.require(*requests > 0, path.key("requests"), requests, "must be at least 1");
        }
        Arrivals::Trace { file, offsets } => verify_trace(file, offsets, path, found),
    }
}

fn verify_rate(rate: f64, path: Path<'_>, found: &mut Findings) {
    found.require(rate.is_finite() && rate > 0.0, path, rate, "must be a finite number above 0");
}

/// A rate that may be 0 for a time.
fn verify_any_rate(rate: f64, path: Path<'_>, found: &mut Findings) -> bool {
    found.require(rate.is_finite() && rate >= 0.0, path, rate, "must be a finite number from 0 up")
}

fn verify_steps(steps: &[RateStep], path: Path<'_>, found: &mut Findings) {
    if !found.require(!steps.is_empty(), path, "[]", "there must be at least one") {
        return;
    }
    let mut fit = true;
    for (at, step) in steps.iter().enumerate() {
        let path = path.item(at);
        fit &= verify_any_rate(step.rate, path.key("rate"), found);
        let before = at.checked_sub(1).map(|before| steps[before].at);
        if let Some(before) = before.filter(|before| *before >= step.at) {
            let rule = format!("must come after the step before it, which is at {before:?}");
            found.refuse(path.key("at"), Span(step.at), rule, None);
        }
    }
    if fit && steps.iter().all(|step| step.rate <= 0.0) {
        found.object(path, "every rate is 0, so no request ever comes", None);
    }
}

fn verify_trace(file: &str, offsets: &[Duration], path: Path<'_>, found: &mut Findings) {
    found.require(!offsets.is_empty(), path.key("file"), file, "no arrivals were loaded from it");
    if let Some(pair) = offsets.windows(2).find(|pair| pair[0] > pair[1]) {
        let message = format!("{:?} comes after {:?}: offsets must be in the order of time", pair[1], pair[0]);
        found.object(path.key("file"), message, None);
    }
}

/// Each user has a counter.
const USERS_MAX: u32 = 1_000_000;
