//! Peak EWMA: of two candidates drawn by weight, the one with the lower latency × (requests in flight / weight + 1), where
//! a weight counts in units of their mean. So weights say how much an instance takes at a time, not how fast it is: among
//! idle ones, which were drawn by weight already, latency alone decides.
//!
//! The latency is Finagle's peak-sensitive moving average (`PeakEwma` of finagle-core's load balancers): a slower
//! answer counts at once, a faster one as time passes, and an instance that is not heard from is forgotten, so that it
//! is tried again. It is learnt from ends and kept in the endpoint; reading it changes nothing, however often it is
//! done.
//!
//! *Failures.* An error that comes in a millisecond is no fast answer. A failed attempt is learnt as the penalty, or as
//! what it took where that is more, as linkerd's load biaser does; no sample takes off more than time does, so that it
//! never makes an instance look better than it was known to be. The penalty fades like any
//! latency: an instance that costs `c` when idle next to others that cost `d` is tried again after
//! `decay × ln(c / d)`, 39 s for 5 s against 100 ms. A check that finds it well forgets the penalty at once.
//!
//! *Instances without an answer.* Finagle gives them one request at a time, so that one whose requests last for hours
//! never gets another; linkerd and tower give them a fixed latency, so that one set too high starves them where
//! everybody answers faster (tower#134). Here an idle one costs nothing, and gets the first request it is drawn for; one
//! that is working on its first requests costs `initial_rtt` for each. So it is never starved, whatever `initial_rtt`
//! is, and the draw caps it at 2/n of the picks.
//!
//! *Requests that are given up.* A caller who goes says nothing of how long the answer would have taken, but that it
//! would have taken longer. An attempt that is cancelled raises the estimate to the time that it took, if that is more,
//! and is no sample otherwise; where nothing is known or left of an instance, it is taken to have `initial_rtt` at
//! least. If nothing at all were learnt, an instance that hangs while its callers give up would be drawn for ever.

use core::time::Duration;

mod decay;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod word;

use super::choices::{Choices, Cost};
use super::{Completion, Draw, Picker};
use crate::balance::endpoint::Endpoint;
use crate::balance::explain::Reason;
use crate::balance::outcome::Outcome;
use crate::balance::view::Lineup;
use crate::service::Problems;
use crate::time::Instant;
use decay::Decay;
use word::{Estimate, Nanos, SHORTEST, learn, learn_no_answer};

pub(in crate::balance) use word::UNMEASURED;

/// The parameters of peak EWMA.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[non_exhaustive]
pub struct PeakEwmaConfig {
    /// The time after which what was observed weighs 1/e of what it did. Default 10 s, as Finagle and linkerd.
    /// Time is told in steps of 1.05 ms, so that decays below some 50 ms are coarse.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub decay: Duration,
    /// The latency taken for an instance that has not answered yet, while it works on its first requests; as long
    /// as it is idle it costs nothing. Default 30 ms, as linkerd. A long one lets in little more than one at a time.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub initial_rtt: Duration,
    /// The latency that a failed attempt is learnt as, where it took less. Default 5 s, as linkerd; 0 learns what
    /// it took, as tower and Finagle do, and lets an instance that fails fast attract 2/n of all requests. So does
    /// a penalty below what the others cost, their latency × (requests in flight + 1).
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub failure_penalty: Duration,
    /// The most that an overloaded instance's `Retry-After` is learnt as. Default 300 s, as linkerd; 0 ignores it.
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub retry_after_max: Duration,
}

impl PeakEwmaConfig {
    pub(in crate::balance) fn check(&self, problems: &mut Problems) {
        let decay = format_args!("{:?}", self.decay).to_string();
        problems.require(!self.decay.is_zero(), "decay", decay, "must be more than 0s");
    }
}

impl Default for PeakEwmaConfig {
    fn default() -> Self {
        Self {
            decay: Duration::from_secs(10),
            initial_rtt: Duration::from_millis(30),
            failure_penalty: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(300),
        }
    }
}

#[derive(Debug)]
pub(in crate::balance) struct PeakEwma {
    choices: Choices,
    /// Of the weights; 1 where all are the same.
    mean: f64,
    decay: Decay,
    initial_rtt: Nanos,
    failure_penalty: Duration,
    retry_after_max: Duration,
}

impl PeakEwma {
    pub(super) fn build(config: &PeakEwmaConfig, lineup: &Lineup<'_>) -> Self {
        Self {
            choices: Choices::build(2, lineup),
            mean: mean_weight(lineup),
            decay: Decay::over(config.decay),
            initial_rtt: Nanos::of(config.initial_rtt),
            failure_penalty: config.failure_penalty,
            retry_after_max: config.retry_after_max,
        }
    }

    /// The latency that the end of an attempt is learnt as.
    fn sample(&self, completion: &Completion) -> Option<Nanos> {
        let penalty = match completion.outcome {
            Outcome::Cancelled => return None,
            Outcome::Success => Duration::ZERO,
            Outcome::Failure | Outcome::TimedOut | Outcome::Unreachable | Outcome::Overloaded { retry_after: None } => {
                self.failure_penalty
            }
            Outcome::Overloaded { retry_after: Some(wait) } => self.failure_penalty.max(wait.min(self.retry_after_max)),
        };
        Some(Nanos::of(completion.latency().max(penalty)))
    }

    #[inline]
    fn cost(&self, lineup: &Lineup<'_>, position: usize, now: Instant) -> LatencyCost {
        let endpoint = lineup.endpoint(position);
        let in_flight = lineup.in_flight(position);
        let (nanos, known) = match Estimate::read(endpoint.latency_word(), now, &self.decay) {
            Estimate::Measured(latency) => (latency.value(), true),
            Estimate::Faded => (SHORTEST, false),
            Estimate::Unmeasured if in_flight == 0 => (0.0, false),
            Estimate::Unmeasured => (self.initial_rtt.value(), false),
        };
        let share = if self.choices.is_weighted() { self.mean / f64::from(lineup.weight(position)) } else { 1.0 };
        let requests = f64::from(in_flight) * share + 1.0;
        LatencyCost { nanos: nanos * requests, is_blank: !known && in_flight == 0 }
    }
}

impl Picker for PeakEwma {
    fn pick(&self, draw: &mut Draw<'_>) -> Option<usize> {
        draw.because(Reason::Lowest);
        let now = draw.now();
        self.choices.pick(draw, |lineup, at| self.cost(lineup, at, now))
    }

    fn finish(&self, endpoint: &Endpoint, completion: &Completion) {
        if let Some(sample) = self.sample(completion) {
            learn(endpoint.latency_cell(), sample, completion.now, &self.decay);
        }
    }

    fn abandon(&self, endpoint: &Endpoint, started: Instant, now: Option<Instant>) {
        let now = now.unwrap_or(started);
        learn_no_answer(endpoint.latency_cell(), now.since(started), self.initial_rtt, now, &self.decay);
    }

    fn latency(&self, endpoint: &Endpoint, now: Instant) -> Option<Duration> {
        match Estimate::read(endpoint.latency_word(), now, &self.decay) {
            Estimate::Unmeasured => None,
            Estimate::Faded => Some(Duration::from_nanos(SHORTEST as u64)),
            Estimate::Measured(latency) => Some(latency.to_duration()),
        }
    }
}

/// The mean of the weights, where they differ.
fn mean_weight(lineup: &Lineup<'_>) -> f64 {
    if !lineup.weights_differ() {
        return 1.0;
    }
    (0..lineup.len()).map(|at| f64::from(lineup.weight(at))).sum::<f64>() / lineup.len() as f64
}

/// Latency × (requests in flight / weight + 1), in nanoseconds: finite, and 0 only for an idle instance that has not
/// answered yet.
#[derive(Clone, Copy, Debug)]
struct LatencyCost {
    nanos: f64,
    is_blank: bool,
}

impl Cost for LatencyCost {
    #[inline]
    fn below(&self, other: &Self) -> bool {
        self.nanos < other.nanos
    }

    fn value(&self) -> f64 {
        self.nanos
    }

    #[inline]
    fn is_blank(&self) -> bool {
        self.is_blank
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::lineup::{Candidates, Table};

    #[test]
    fn what_was_cancelled_is_no_sample_even_if_somebody_hands_it_in() {
        let (table, candidates) = (Table::default(), Candidates::default());
        let nobody = Lineup::new(&table, &candidates, 0);
        let picker = PeakEwma::build(&PeakEwmaConfig::default(), &nobody);
        let ended = |outcome| Completion { started: Instant::ZERO, now: Instant::from_millis(7), outcome };
        assert_eq!(picker.sample(&ended(Outcome::Cancelled)), None);
        assert_eq!(picker.sample(&ended(Outcome::Success)), Some(Nanos::of(Duration::from_millis(7))));
    }
}
