//! When the next request comes, in an open loop. It never depends on what became of the ones before.

use alloc::sync::Arc;
use core::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::time::{Instant, saturating_nanos};

use super::law::{exponential, whole};
use crate::model::scenario::{Arrivals, RateStep};

/// The times of an open loop's arrivals, one after the other.
#[derive(Debug)]
pub(super) struct Process {
    rng: Rng,
    end: Instant,
    shape: Shape,
}

/// Times are in nanoseconds and rates in requests per nanosecond, but for the rate of evenly spaced ones: in requests
/// per second, as it was given, times that are whole nanoseconds are met exactly.
#[derive(Debug)]
enum Shape {
    Poisson {
        rate: f64,
        last: f64,
    },
    Uniform {
        rate: f64,
        made: u64,
    },
    Bursts {
        rate: f64,
        on: f64,
        off: f64,
        last: f64,
        on_until: f64,
    },
    /// Poisson of a changing rate: the k-th comes when the rate has added up to the sum of k exponentials.
    Steps {
        pieces: Box<[Piece]>,
        sum: f64,
    },
    Ramp {
        from: f64,
        slope: f64,
        sum: f64,
    },
    Trace {
        offsets: Arc<[Duration]>,
        next: usize,
    },
    Nothing,
}

/// A stretch of constant rate: from when, at what rate, and what the rate has added up to before it.
#[derive(Debug)]
struct Piece {
    at: f64,
    rate: f64,
    before: f64,
}

impl Process {
    /// The arrivals until `duration`; nothing for a closed loop, whose arrivals follow from the answers.
    pub(super) fn new(arrivals: &Arrivals, duration: Duration, rng: Rng) -> Self {
        let end = Instant::ZERO + duration;
        let nanos = |duration: Duration| duration.as_nanos() as f64;
        let mut process = Self { rng, end, shape: Shape::Nothing };
        process.shape = match arrivals {
            Arrivals::Poisson { rate } => Shape::Poisson { rate: rate * PER_NANO, last: 0.0 },
            Arrivals::Uniform { rate } => Shape::Uniform { rate: *rate, made: 0 },
            Arrivals::Bursts { rate, on, off } => {
                let (on, off) = (nanos(*on), nanos(*off));
                let on_until = on * exponential(&mut process.rng);
                Shape::Bursts { rate: rate * PER_NANO * (on + off) / on, on, off, last: 0.0, on_until }
            }
            Arrivals::Steps { steps } => Shape::Steps { pieces: pieces(steps), sum: 0.0 },
            Arrivals::Ramp { from, to } => {
                Shape::Ramp { from: from * PER_NANO, slope: (to - from) * PER_NANO / nanos(duration), sum: 0.0 }
            }
            Arrivals::Trace { offsets, .. } => Shape::Trace { offsets: Arc::clone(offsets), next: 0 },
            Arrivals::Closed { .. } => Shape::Nothing,
        };
        process
    }

    /// The time of the next arrival, unless that is at the end or later.
    pub(super) fn next(&mut self) -> Option<Instant> {
        let Self { rng, end, shape } = self;
        let at = match shape {
            Shape::Poisson { rate, last } => {
                *last += exponential(rng) / *rate;
                *last
            }
            Shape::Uniform { rate, made } => {
                *made += 1;
                (*made - 1) as f64 * NANOS / *rate
            }
            Shape::Bursts { rate, on, off, last, on_until } => {
                let mut at = *last + exponential(rng) / *rate;
                // The exponential law has no memory: a gap that an "off" period cuts short begins anew after it.
                while at >= *on_until && *on_until < end.as_nanos() as f64 {
                    let start = *on_until + *off * exponential(rng);
                    *on_until = start + *on * exponential(rng);
                    at = start + exponential(rng) / *rate;
                }
                *last = at;
                at
            }
            Shape::Steps { pieces, sum } => {
                *sum += exponential(rng);
                let piece = pieces.iter().rev().find(|piece| piece.before <= *sum)?;
                // A last stretch without arrivals ends them.
                if piece.rate <= 0.0 {
                    return None;
                }
                piece.at + (*sum - piece.before) / piece.rate
            }
            Shape::Ramp { from, slope, sum } => {
                *sum += exponential(rng);
                // The root of from·t + slope·t²/2 = sum, in the form that loses no digits when the slope is small.
                let under = *from * *from + 2.0 * *slope * *sum;
                if under < 0.0 {
                    return None;
                }
                2.0 * *sum / (*from + under.sqrt())
            }
            Shape::Trace { offsets, next } => {
                let offset = offsets.get(*next)?;
                *next += 1;
                return Some(Instant::from_nanos(saturating_nanos(*offset))).filter(|at| at < end);
            }
            Shape::Nothing => return None,
        };
        Some(Instant::from_nanos(whole(at))).filter(|at| at < end)
    }
}

fn pieces(steps: &[RateStep]) -> Box<[Piece]> {
    let (mut at, mut rate, mut sum) = (0.0, 0.0, 0.0);
    let piece = |step: &RateStep| {
        let start = step.at.as_nanos() as f64;
        sum += rate * (start - at);
        (at, rate) = (start, step.rate * PER_NANO);
        Piece { at, rate, before: sum }
    };
    steps.iter().map(piece).collect()
}

/// From requests per second to requests per nanosecond.
const PER_NANO: f64 = 1e-9;
/// A second in nanoseconds.
const NANOS: f64 = 1e9;
