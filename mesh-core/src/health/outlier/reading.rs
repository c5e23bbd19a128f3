//! What is read of an instance, and what happened to it between two readings.

/// What an instance has done so far, as its endpoint counts it.
///
/// The counters are cumulative and may wrap; only their differences are looked at. Each attempt that ended is in
/// exactly one of the first five; cancelled ones in none. The runs are those at the time of reading. An owner that
/// counts while others read counts the attempt first and the run after it: a run longer than all attempts since the
/// instance came back is taken to be so much shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Attempts that went well.
    pub successes: u64,
    /// Attempts answered with an error: remote origin.
    pub failures: u64,
    /// Attempts answered with too much to do.
    pub overloaded: u64,
    /// Attempts without an answer in time: local origin.
    pub timed_out: u64,
    /// Attempts that could not connect, or lost their connection: local origin.
    pub unreachable: u64,
    /// The sum of the logarithms of latencies, of each as [`Tally::log2_of`](crate::balance::Tally::log2_of) has it.
    pub latency_log2_sum: u64,
    /// How many latencies that sum is of.
    pub latency_count: u64,
    /// How many of the last attempts were failures, one after the other. Whether an overloaded one is a failure, says
    /// [`OutlierConfig::overloaded_is_failure`](super::OutlierConfig::overloaded_is_failure), and whether one of local
    /// origin is, [`split_local_origin`](super::OutlierConfig::split_local_origin); one that is not ends the run only
    /// if it is a success.
    pub failures_in_row: u32,
    /// How many of the last attempts were of local origin, one after the other.
    pub local_in_row: u32,
    /// How many of the last attempts were overloaded (503, where that is a failure), one after the other; without the origins
    /// split, also those of local origin: silence, no connection. Any other failure ends this run, also 502 and 504, which
    /// are errors like others here.
    pub gateway_in_row: u32,
}

/// What happened to an instance from one reading to the next, or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) overloaded: u64,
    pub(super) timed_out: u64,
    pub(super) unreachable: u64,
    pub(super) latency_log2_sum: u64,
    pub(super) latency_count: u64,
}

/// Which attempts are judged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// All.
    Any,
    /// Those that were answered, by what was answered.
    Remote,
    /// All, by whether they were answered.
    Local,
}

impl Reading {
    /// How many attempts have ended.
    pub(super) const fn attempts(&self) -> u64 {
        self.whole().attempts()
    }

    /// The lengths of the runs: the gateway's, those of local origin, those of any kind. The more special come first, so that
    /// the cause says most; Envoy looks at the gateway's before any.
    pub(super) const fn runs(&self) -> [u32; RUNS] {
        [self.gateway_in_row, self.local_in_row, self.failures_in_row]
    }

    /// What happened since `before`; nothing is known of it where a counter went back.
    pub(super) fn since(&self, before: &Interval) -> Option<Interval> {
        let difference = |is: u64, was: u64| {
            let difference = is.wrapping_sub(was);
            (difference <= u64::MAX / 2).then_some(difference)
        };
        Some(Interval {
            successes: difference(self.successes, before.successes)?,
            failures: difference(self.failures, before.failures)?,
            overloaded: difference(self.overloaded, before.overloaded)?,
            timed_out: difference(self.timed_out, before.timed_out)?,
            unreachable: difference(self.unreachable, before.unreachable)?,
            latency_log2_sum: difference(self.latency_log2_sum, before.latency_log2_sum)?,
            latency_count: difference(self.latency_count, before.latency_count)?,
        })
    }

    /// The counters: all that happened, where they began at zero.
    pub(super) const fn whole(&self) -> Interval {
        Interval {
            successes: self.successes,
            failures: self.failures,
            overloaded: self.overloaded,
            timed_out: self.timed_out,
            unreachable: self.unreachable,
            latency_log2_sum: self.latency_log2_sum,
            latency_count: self.latency_count,
        }
    }
}

impl Interval {
    /// How many attempts have ended.
    pub(super) const fn attempts(&self) -> u64 {
        let answered = self.successes.wrapping_add(self.failures).wrapping_add(self.overloaded);
        answered.wrapping_add(self.timed_out).wrapping_add(self.unreachable)
    }

    /// How many of the attempts that `origin` looks at went well, and how many failed.
    pub(super) const fn outcomes(&self, origin: Origin, overloaded_is_failure: bool) -> (u64, u64) {
        let overloaded = if overloaded_is_failure { self.overloaded } else { 0 };
        let remote = self.failures.saturating_add(overloaded);
        let local = self.timed_out.saturating_add(self.unreachable);
        match origin {
            Origin::Any => (self.successes, remote.saturating_add(local)),
            Origin::Remote => (self.successes, remote),
            Origin::Local => {
                let answered = self.successes.saturating_add(self.failures).saturating_add(self.overloaded);
                (answered, local)
            }
        }
    }
}

/// How many kinds of runs there are.
pub(super) const RUNS: usize = 3;
