//! A breaker as one would write it for a single thread, with lists in the place of packed words.

use std::time::Duration;

use mesh_retry::Instant;
use mesh_retry::breaker::{
    BreakerConfig, Counts, Forced, OpenJitter, ProbeRule, Reason, State, Transition, Verdict, WindowKind,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) bucket: u64,
    pub(crate) failed: bool,
    pub(crate) slow: bool,
}

/// A permit of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    pub(crate) generation: u64,
    pub(crate) is_probe: bool,
}

/// Why a state was left, with the numbers: those of [`Reason`], which tests cannot build.
pub(crate) type Why = (&'static str, (u32, u32, u32));

/// From, to, and why.
pub(crate) type Told = (State, State, Why);

#[derive(Debug)]
pub(crate) struct Model {
    config: BreakerConfig,
    pub(crate) state: State,
    generation: u64,
    level: u32,
    calls: Vec<Ended>,
    run: u32,
    bucket: u64,
    /// Places of the present half-open time: whose permits have not come back.
    out: u32,
    probes: Vec<Ended>,
    opened_at: Instant,
    pub(crate) until: Instant,
    since: Instant,
    granted_at: Instant,
}

impl Model {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: State::Closed,
            generation: 0,
            level: 0,
            calls: Vec::new(),
            run: 0,
            bucket: 0,
            out: 0,
            probes: Vec::new(),
            opened_at: Instant::ZERO,
            until: Instant::ZERO,
            since: Instant::ZERO,
            granted_at: Instant::ZERO,
        }
    }

    /// Lets a call through, or not; and what came of asking.
    pub(crate) fn permit(&mut self, now: Instant) -> (Option<Pass>, Option<Told>) {
        match self.state {
            State::ForcedOpen => (None, None),
            State::Open if now < self.until => (None, None),
            State::Open => {
                let told = (State::Open, State::HalfOpen, ("open-time-over", (0, 0, 0)));
                self.go(State::HalfOpen);
                (self.out, self.probes) = (0, Vec::new());
                self.since = self.since.max(now);
                (self.grant(now), Some(told))
            }
            State::HalfOpen if self.waited_out(now) => {
                let why = ("half-open-time-over", numbers(&self.probes));
                (None, Some(self.open(now, why)))
            }
            State::HalfOpen if self.is_full() && now < self.lost_at() => (None, None),
            State::HalfOpen => {
                if self.is_full() {
                    self.generation += 1;
                    self.out = 0;
                }
                (self.grant(now), None)
            }
            State::Closed | State::Disabled | State::MetricsOnly | _ => {
                (Some(Pass { generation: self.generation, is_probe: false }), None)
            }
        }
    }

    pub(crate) fn record(&mut self, now: Instant, pass: Pass, verdict: Verdict) -> Option<Told> {
        let (failed, took) = match verdict {
            Verdict::Succeeded(took) => (false, took),
            Verdict::Failed(took) => (true, took),
            Verdict::Ignored => {
                self.give_back(pass);
                return None;
            }
        };
        if pass.generation != self.generation {
            return None;
        }
        let slow = took > self.config.slow_after;
        if pass.is_probe {
            return self.probe_ended(now, Ended { bucket: 0, failed, slow });
        }
        self.pass_time(now);
        self.calls.push(Ended { bucket: self.bucket, failed, slow });
        self.run = if failed { self.run + 1 } else { 0 };
        let why = self.why()?;
        match self.state {
            State::Closed => Some(self.open(now, why)),
            State::MetricsOnly => {
                self.forget();
                Some((State::MetricsOnly, State::MetricsOnly, why))
            }
            State::Disabled | _ => None,
        }
    }

    pub(crate) fn give_back(&mut self, pass: Pass) {
        if pass.is_probe && pass.generation == self.generation {
            self.out -= 1;
        }
    }

    pub(crate) fn force(&mut self, forced: Forced) -> Option<Told> {
        let to = match forced {
            Forced::Open => State::ForcedOpen,
            Forced::Disabled => State::Disabled,
            Forced::MetricsOnly | _ => State::MetricsOnly,
        };
        (self.state != to).then(|| self.order(to))
    }

    pub(crate) fn order(&mut self, to: State) -> Told {
        let from = self.state;
        self.forget();
        self.level = 0;
        self.probes.clear();
        self.state = to;
        (from, to, ("ordered", (0, 0, 0)))
    }

    /// The state that a call meets.
    pub(crate) fn state_at(&self, now: Instant) -> State {
        match self.state {
            State::Open if now >= self.until => State::HalfOpen,
            State::HalfOpen if self.waited_out(now) => State::Open,
            State::Closed | State::Open | State::HalfOpen | _ => self.state,
        }
    }

    pub(crate) fn next_transition_at(&self) -> Option<Instant> {
        match self.state {
            State::Open => Some(self.until),
            State::HalfOpen => {
                let waited = self.config.half_open.wait_max.map(|most| self.since + most);
                let lost = self.is_full().then(|| self.lost_at());
                [waited, lost].into_iter().flatten().min()
            }
            State::Closed | State::ForcedOpen | State::Disabled | State::MetricsOnly | _ => None,
        }
    }

    /// Calls, failed, slow, and the run.
    pub(crate) fn counts(&mut self, now: Instant) -> ((u32, u32, u32), u32) {
        match self.state {
            State::HalfOpen => return (numbers(&self.probes), 0),
            State::Open if !self.probes.is_empty() => return (numbers(&self.probes), 0),
            State::Closed | State::Disabled | State::MetricsOnly => self.pass_time(now),
            State::Open | State::ForcedOpen | _ => {}
        }
        (numbers(&self.window()), if self.config.failures_in_row > 0 { self.run } else { 0 })
    }

    /// How many permits of the present half-open time are out or have ended.
    pub(crate) fn given(&self) -> u32 {
        self.out + self.probes.len() as u32
    }

    /// The shortest and the longest time that it is to be open now.
    pub(crate) fn open_bounds(&self) -> (Instant, Instant) {
        let open = &self.config.open;
        let mut longest = open.base.as_nanos();
        for _ in 0..self.level {
            longest = longest.min(open.max.as_nanos()) * u128::from(open.growth_milli) / 1000;
        }
        let longest = Duration::from_nanos(longest.min(open.max.as_nanos()) as u64);
        let shortest = if open.jitter == OpenJitter::None { longest } else { longest / 2 };
        (self.opened_at + shortest, self.opened_at + longest)
    }

    fn probe_ended(&mut self, now: Instant, ended: Ended) -> Option<Told> {
        if self.waited_out(now) {
            let why = ("half-open-time-over", numbers(&self.probes));
            return Some(self.open(now, why));
        }
        self.out -= 1;
        self.probes.push(ended);
        let (calls, failed, slow) = numbers(&self.probes);
        let rates = &self.config;
        let probes = rates.half_open.probes.get();
        let (is_over, is_bad) = match rates.half_open.rule {
            ProbeRule::NoneFails => {
                let is_bad = failed > 0 || (rates.slow_rate_milli > 0 && slow > 0);
                (is_bad || calls == probes, is_bad)
            }
            ProbeRule::Rates | _ => {
                (calls >= self.calls_min().min(probes), self.rate_why((calls, failed, slow)).is_some())
            }
        };
        if !is_over {
            return None;
        }
        if is_bad {
            return Some(self.open(now, ("probes-failed", (calls, failed, slow))));
        }
        let told = (State::HalfOpen, State::Closed, ("probes-passed", (calls, failed, slow)));
        self.order(State::Closed);
        Some(told)
    }

    fn grant(&mut self, now: Instant) -> Option<Pass> {
        self.granted_at = self.granted_at.max(now);
        self.out += 1;
        Some(Pass { generation: self.generation, is_probe: true })
    }

    fn open(&mut self, now: Instant, why: Why) -> Told {
        let from = self.state;
        self.level = if from == State::HalfOpen { (self.level + 1).min(31) } else { 0 };
        self.opened_at = self.opened_at.max(now);
        self.go(State::Open);
        (from, State::Open, why)
    }

    fn go(&mut self, state: State) {
        self.generation += 1;
        self.state = state;
    }

    fn forget(&mut self) {
        self.generation += 1;
        self.calls.clear();
        self.run = 0;
    }

    fn why(&self) -> Option<Why> {
        let runs = self.config.failures_in_row;
        if runs > 0 && self.run >= runs {
            return Some(("failures-in-row", (self.run, 0, 0)));
        }
        let window = numbers(&self.window());
        if window.0 < self.calls_min() { None } else { self.rate_why(window) }
    }

    fn rate_why(&self, window: (u32, u32, u32)) -> Option<Why> {
        let (calls, failed, slow) = window;
        let reaches = |part: u32, rate: u32| rate > 0 && calls > 0 && part * 1000 >= rate * calls;
        if reaches(failed, self.config.failure_rate_milli) {
            Some(("failure-rate", window))
        } else {
            reaches(slow, self.config.slow_rate_milli).then_some(("slow-rate", window))
        }
    }

    fn calls_min(&self) -> u32 {
        match self.config.window {
            WindowKind::Count { calls } => self.config.calls_min.min(calls).get(),
            WindowKind::Time { .. } | _ => self.config.calls_min.get(),
        }
    }

    fn window(&self) -> Vec<Ended> {
        if self.config.failure_rate_milli == 0 && self.config.slow_rate_milli == 0 {
            return Vec::new();
        }
        match self.config.window {
            WindowKind::Count { calls } => {
                let first = self.calls.len().saturating_sub(calls.get() as usize);
                self.calls[first..].to_vec()
            }
            WindowKind::Time { buckets, .. } => {
                let is_in = |call: &&Ended| call.bucket + u64::from(buckets.get()) > self.bucket;
                self.calls.iter().filter(is_in).copied().collect()
            }
            _ => panic!("a window that the model does not know"),
        }
    }

    fn pass_time(&mut self, now: Instant) {
        if let WindowKind::Time { width, .. } = self.config.window {
            self.bucket = self.bucket.max(now.as_nanos() / width.as_nanos() as u64);
        }
    }

    fn waited_out(&self, now: Instant) -> bool {
        self.config.half_open.wait_max.is_some_and(|most| now >= self.since + most)
    }

    fn is_full(&self) -> bool {
        self.given() >= self.config.half_open.probes.get()
    }

    fn lost_at(&self) -> Instant {
        self.granted_at + self.config.half_open.lost_after
    }
}

/// The real transition as the model would tell it.
pub(crate) fn told(transition: Transition) -> Told {
    let numbers = match transition.reason {
        Reason::FailuresInRow { failures } => (failures, 0, 0),
        Reason::FailureRate(counts) | Reason::SlowRate(counts) => plain(counts),
        Reason::ProbesPassed(counts) | Reason::ProbesFailed(counts) => plain(counts),
        Reason::HalfOpenTimeOver(counts) => plain(counts),
        Reason::OpenTimeOver | Reason::Ordered | _ => (0, 0, 0),
    };
    (transition.from, transition.to, (transition.reason.name(), numbers))
}

fn plain(counts: Counts) -> (u32, u32, u32) {
    (counts.calls, counts.failed, counts.slow)
}

fn numbers(calls: &[Ended]) -> (u32, u32, u32) {
    let count = |of: fn(&Ended) -> bool| calls.iter().filter(|call| of(call)).count() as u32;
    (calls.len() as u32, count(|call| call.failed), count(|call| call.slow))
}
