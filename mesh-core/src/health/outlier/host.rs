//! One instance as the detector remembers it: its last reading, where its runs count from, how long it is out next.

use core::time::Duration;

use super::config::{Ejection, Growth};
use super::event::Standing;
use super::reading::{Interval, RUNS, Reading};
use crate::service::InstanceKey;
use crate::time::Instant;

#[derive(Debug)]
pub(super) struct Host {
    pub(super) key: InstanceKey,
    pub(super) standing: Standing,
    /// Whether something else keeps requests from it.
    pub(super) aside: bool,
    /// Since when it has been in.
    pub(super) back: Instant,
    /// What the interval counts from: none where it is to be judged only from the next reading on.
    base: Option<Interval>,
    /// For how many sweeps it has counted from there.
    gathered: u32,
    /// The number of the last sweep that had a reading, and what happened between that and the one before.
    pub(super) swept: u64,
    pub(super) interval: Interval,
    /// The counters and the runs of the last reading. Of ten thousand hosts what is read at a sweep has to come from memory:
    /// nothing is kept twice.
    last: Interval,
    last_runs: [u32; RUNS],
    /// Where each run counts from: where it was last found.
    runs_from: [RunMark; RUNS],
    /// How long its last ejection was, without jitter.
    penalty: Duration,
    /// By how much `base_time` is multiplied, where ejections grow in steps.
    steps: u32,
    /// Whether the request that is let through while it is probed is under way.
    pub(super) is_tried: bool,
    /// There was no room to eject it.
    pub(super) refused: bool,
    /// It was found since the last sweep.
    pub(super) found: bool,
}

impl Host {
    pub(super) fn new(now: Instant, key: InstanceKey) -> Self {
        Self {
            key,
            standing: Standing::In,
            aside: false,
            back: now,
            base: Some(Interval::default()),
            gathered: 0,
            swept: 0,
            interval: Interval::default(),
            last: Interval::default(),
            last_runs: [0; RUNS],
            runs_from: [RunMark::default(); RUNS],
            penalty: Duration::ZERO,
            steps: 0,
            is_tried: false,
            refused: false,
            found: false,
        }
    }

    pub(super) fn is_in(&self) -> bool {
        matches!(self.standing, Standing::In)
    }

    /// Whether it is in, and gets no requests all the same.
    pub(super) fn is_in_vain(&self) -> bool {
        self.is_in() && self.aside
    }

    /// Takes the reading of a sweep. Where it is the first since a fresh start, nothing has happened yet. Few attempts are
    /// gathered, for at most so many sweeps more.
    pub(super) fn sweep(&mut self, reading: &Reading, gathers_max: u32) {
        self.notice(reading);
        let Some(base) = self.base else {
            self.begin(reading);
            self.interval = Interval::default();
            return;
        };
        let (base, interval) = match reading.since(&base) {
            Some(interval) => (base, interval),
            None => (Interval::default(), reading.whole()),
        };
        self.interval = interval;
        if reading.attempts().wrapping_sub(base.attempts()) < FEW && self.gathered < gathers_max {
            self.base = Some(base);
            self.gathered += 1;
        } else {
            self.begin(reading);
        }
    }

    /// The next interval counts from `reading`.
    const fn begin(&mut self, reading: &Reading) {
        self.base = Some(reading.whole());
        self.gathered = 0;
    }

    /// What it did up to the last reading has been judged for good, if any of that would be gathered.
    pub(super) const fn let_go(&mut self, gathers_max: u32) {
        if self.base.is_some() && gathers_max > 0 {
            self.base = Some(self.last);
            self.gathered = 0;
        }
    }

    /// Takes the last reading. Of fewer attempts than before, the counters began anew, and the runs do too; as does one that
    /// is shorter than when it was found.
    pub(super) fn notice(&mut self, reading: &Reading) {
        if reading.attempts().wrapping_sub(self.last.attempts()) > u64::MAX / 2 {
            self.runs_from = [RunMark::default(); RUNS];
        }
        for (mark, length) in self.runs_from.iter_mut().zip(reading.runs()) {
            if length < mark.length {
                mark.length = 0;
            }
        }
        (self.last, self.last_runs) = (reading.whole(), reading.runs());
    }

    /// How long a run is by the last reading, since it was last found.
    pub(super) fn run_since_found(&self, run: usize) -> u64 {
        let (mark, length) = (&self.runs_from[run], self.last_runs[run]);
        // After a success it is another one.
        let found = if self.last.successes as u32 == mark.successes { mark.length } else { 0 };
        u64::from(length.saturating_sub(found)).min(self.last.attempts().wrapping_sub(mark.attempts))
    }

    /// From now on a run counts anew.
    pub(super) const fn restart_run(&mut self, run: usize) {
        self.runs_from[run] = RunMark::of(&self.last, self.last_runs[run]);
    }

    /// What happened up to `reading` is no longer held against it.
    pub(super) fn rebase(&mut self, reading: &Reading) {
        self.begin(reading);
        (self.last, self.last_runs) = (reading.whole(), reading.runs());
        self.restart_runs();
    }

    fn restart_runs(&mut self) {
        (0..RUNS).for_each(|run| self.restart_run(run));
    }

    /// It is in again.
    pub(super) fn restore(&mut self, now: Instant, fresh_start: bool) {
        self.standing = Standing::In;
        self.back = now;
        self.restart_runs();
        if fresh_start {
            self.base = None;
        }
    }

    /// How long it is out now, without jitter.
    pub(super) fn next_ejection(&mut self, now: Instant, config: &Ejection) -> Duration {
        let base = config.base_time;
        let max = config.max_time.max(base);
        self.penalty = match config.growth {
            Growth::WithTime => {
                let well = if self.is_in() { now.since(self.back) } else { Duration::ZERO };
                self.penalty.saturating_sub(well).saturating_add(base)
            }
            Growth::EnvoySteps => {
                if base.saturating_mul(self.steps) < max.saturating_add(base) {
                    self.steps = self.steps.saturating_add(1);
                }
                base.saturating_mul(self.steps)
            }
            Growth::GrpcSteps => {
                self.steps = self.steps.saturating_add(1);
                base.saturating_mul(self.steps)
            }
        };
        self.penalty = self.penalty.min(max);
        self.penalty
    }

    /// A sweep has judged: what it was ejected for is forgotten by one step, if it is in.
    pub(super) fn decay(&mut self, now: Instant, growth: Growth, interval: Duration) {
        let rested = match growth {
            Growth::WithTime => false,
            Growth::EnvoySteps => now.since(self.back) >= interval,
            Growth::GrpcSteps => true,
        };
        if rested && self.is_in() {
            self.steps = self.steps.saturating_sub(1);
        }
    }
}

/// Where a run counts from.
#[derive(Clone, Copy, Debug, Default)]
struct RunMark {
    attempts: u64,
    /// The lower half of their number, which is only held against itself.
    successes: u32,
    length: u32,
}

impl RunMark {
    const fn of(counters: &Interval, length: u32) -> Self {
        Self { attempts: counters.attempts(), successes: counters.successes as u32, length }
    }
}

/// Of fewer attempts than that little can be said: half of them failed where one in ten does elsewhere may be an accident (one
/// in a million, by Hoeffding's bound) up to 27 of them.
const FEW: u64 = 50;
