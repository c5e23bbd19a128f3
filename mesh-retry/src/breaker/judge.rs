//! When a breaker opens, and what half-open comes to: pure functions of the numbers.

use super::config::{BreakerConfig, ProbeRule, WindowKind};
use super::transition::{Counts, Reason};
use super::word::Word;

/// The thresholds, as they are compared with each call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// 0 where they are not looked at, as with the rates.
    pub(super) failures_in_row: u32,
    calls_min: u32,
    failure_rate_milli: u32,
    slow_rate_milli: u32,
    probes: u32,
    probe_rule: ProbeRule,
}

/// What the probes that have ended say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Undecided,
    Passed,
    Failed,
}

impl Rules {
    /// The rules of `config`. A window of some calls can never hold more, so that is the most that it takes to judge.
    pub(super) const fn of(config: &BreakerConfig) -> Self {
        let calls_min = match config.window {
            WindowKind::Count { calls } => least(config.calls_min.get(), calls.get()),
            WindowKind::Time { .. } => config.calls_min.get(),
        };
        Self {
            failures_in_row: config.failures_in_row,
            calls_min,
            failure_rate_milli: config.failure_rate_milli,
            slow_rate_milli: config.slow_rate_milli,
            probes: config.half_open.probes.get(),
            probe_rule: config.half_open.rule,
        }
    }

    /// Whether calls are counted in a window at all.
    pub(super) const fn has_rates(&self) -> bool {
        self.failure_rate_milli > 0 || self.slow_rate_milli > 0
    }

    /// Why a closed breaker is to open that counts this, if it is.
    #[inline]
    pub(super) fn reason_to_open(&self, counts: Counts) -> Option<Reason> {
        if self.failures_in_row > 0 && counts.failures_in_row >= self.failures_in_row {
            return Some(Reason::FailuresInRow { failures: counts.failures_in_row });
        }
        if counts.calls < self.calls_min {
            None
        } else if reaches(counts.failed, counts.calls, self.failure_rate_milli) {
            Some(Reason::FailureRate(counts))
        } else if reaches(counts.slow, counts.calls, self.slow_rate_milli) {
            Some(Reason::SlowRate(counts))
        } else {
            None
        }
    }

    /// Whether there is a place for one more probe.
    pub(super) const fn has_place(&self, word: Word) -> bool {
        word.given() < self.probes
    }

    /// What the probes of a half-open time say that have ended.
    pub(super) fn find(&self, ended: Counts) -> Finding {
        let Counts { calls, failed, slow, .. } = ended;
        match self.probe_rule {
            ProbeRule::NoneFails if failed > 0 || (self.slow_rate_milli > 0 && slow > 0) => Finding::Failed,
            ProbeRule::NoneFails if calls < self.probes => Finding::Undecided,
            ProbeRule::NoneFails => Finding::Passed,
            ProbeRule::Rates if calls < least(self.calls_min, self.probes) => Finding::Undecided,
            ProbeRule::Rates
                if reaches(failed, calls, self.failure_rate_milli) || reaches(slow, calls, self.slow_rate_milli) =>
            {
                Finding::Failed
            }
            ProbeRule::Rates => Finding::Passed,
        }
    }
}

/// Whether `part` of `calls` is at least the share `rate_milli`, which is looked at unless it is 0. Exact: the shares
/// are not rounded.
#[inline]
fn reaches(part: u32, calls: u32, rate_milli: u32) -> bool {
    rate_milli > 0 && calls > 0 && u64::from(part) * 1000 >= u64::from(rate_milli) * u64::from(calls)
}

const fn least(one: u32, other: u32) -> u32 {
    if one < other { one } else { other }
}
