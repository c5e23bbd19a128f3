//! Follows one service by blocking queries: decides what to ask next, when, and what an answer means.
//!
//! The rules, each with its reason in `facts` of Consul (measured on 1.8.7, or its documentation of blocking queries):
//! - A return is no proof of a change: contents are compared, never indices.
//! - After any failure the next query does not block: an agent that restarted may have the same index and other
//!   contents, and one whose index fell would keep an old one waiting.
//! - An index that falls, or is missing, is not blocked on.
//! - A return before its time without a change is what an agent that shuts down sends: the next query blocks briefly.
//! - Queries are a token bucket of two; failures back off by their class.
//! - While the answering server knows no leader, instances that vanish are not believed to be gone. Where it is behind
//!   another that answered before, the leader is asked: a follower hears of a commit up to a heartbeat late, and of one
//!   whose leader died at that moment only from the next leader.
//!
//! It never sends anything and never looks inside an instance.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::machine::Machine;
use mesh_core::rng::Rng;
use mesh_core::snapshot::Snapshot;
use mesh_core::time::{Instant, Monotonic};

use super::config::WatchConfig;
use super::pace::Pace;
use crate::error::{Cause, ConsulError};
use crate::index::Index;

/// Follows one service.
///
/// - *Inputs*: [`WatchInput`]; late and unknown answers are ignored and counted.
/// - *Effects*: [`WatchEffect`], one query at a time.
/// - *Events*: [`WatchUpdate`].
/// - *Timers*: one, for the answer that is waited for or the pause that is made.
/// - *Bounds*: one effect and [`WatchMachine::EVENTS_MAX`] events wait to be fetched.
#[derive(Debug)]
pub struct WatchMachine {
    config: WatchConfig,
    mode: WatchMode,
    state: State,
    index: Option<Index>,
    served: Option<Arc<Snapshot>>,
    /// The highest index of what was believed since the leader was last asked.
    newest: Option<Index>,
    /// An answer that is not believed at once, until the leader was asked.
    doubted: Option<(WatchAnswer, Doubt)>,
    wary: bool,
    pace: Pace,
    next_op: u64,
    ignored: u64,
    effect: Option<WatchEffect>,
    events: VecDeque<WatchUpdate>,
    clock: Monotonic,
    rng: Rng,
}

/// How a service is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WatchMode {
    /// By blocking queries.
    #[default]
    Blocking,
    /// By reads every so often.
    Polling,
}

/// Identifies one query of one watch; the answer carries it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(u64);

/// What a watch asks of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEffect {
    /// Ask for the service's instances.
    Query {
        /// Goes into the answer.
        op: QueryId,
        /// Block until the index exceeds this one, for at most so long; read at once without.
        block: Option<(Index, Duration)>,
        /// Ask the leader, whatever consistency was chosen.
        strict: bool,
        /// How long the answer is waited for; the watch gives up by itself then.
        timeout: Duration,
    },
}

/// What the world tells a watch.
#[derive(Clone, Debug)]
pub enum WatchInput {
    /// A query's answer.
    Answered {
        /// From the effect.
        op: QueryId,
        /// What came.
        result: Result<WatchAnswer, ConsulError>,
    },
    /// How the service is followed from the next query on.
    Mode(WatchMode),
}

/// A successful answer.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchAnswer {
    /// The index, where the answer had one.
    pub index: Option<Index>,
    /// Whether the server that answered knows a leader.
    pub known_leader: bool,
    /// How long ago it heard from the leader.
    pub last_contact: Duration,
    /// The instances.
    pub snapshot: Arc<Snapshot>,
}

/// What a watch reports.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchUpdate {
    /// The instances, for the first time or because they changed.
    Changed(Arc<Snapshot>),
    /// Consul was heard and nothing changed.
    Confirmed,
    /// Consul was heard, but what it lists lacks instances, and the server that answered knows no leader or is behind
    /// another that answered before: what was known before still counts.
    Held,
    /// Consul could not be heard, or its answer could not be used.
    Failed(ConsulError),
}

#[derive(Debug)]
enum State {
    Resting { until: Instant, strict: bool },
    Asking { op: QueryId, began: Instant, deadline: Instant, block: Option<(Index, Duration)>, strict: bool },
}

impl WatchMachine {
    /// How many updates wait to be fetched; of more, the oldest are forgotten. A driver that fetches them after every
    /// input never has more than one.
    pub const EVENTS_MAX: usize = 16;

    /// A watch that asks for the first time at `now`, with jitter drawn from `seed`.
    #[must_use]
    pub fn new(config: WatchConfig, mode: WatchMode, seed: u64, now: Instant) -> Self {
        let mut machine = Self {
            pace: Pace::default(),
            config,
            mode,
            state: State::Resting { until: now, strict: false },
            index: None,
            served: None,
            newest: None,
            doubted: None,
            wary: false,
            next_op: 0,
            ignored: 0,
            effect: None,
            events: VecDeque::new(),
            clock: Monotonic::default(),
            rng: Rng::from_seed(seed),
        };
        let now = machine.clock.observe(now);
        machine.ask(now, false);
        machine
    }

    /// How many answers came late or to nothing that was asked.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// How the service is followed.
    #[must_use]
    pub const fn mode(&self) -> WatchMode {
        self.mode
    }

    fn ask(&mut self, now: Instant, strict: bool) {
        let wait = if self.wary { self.config.wait.min(WARY_WAIT) } else { self.config.wait };
        let block = self.index.filter(|_| self.mode == WatchMode::Blocking && !strict).map(|index| (index, wait));
        let timeout = if block.is_some() { self.config.patience() } else { self.config.answer_within };
        let op = QueryId(self.next_op);
        self.next_op = self.next_op.saturating_add(1);
        self.pace.asked(now, &self.config);
        self.state = State::Asking { op, began: now, deadline: now + timeout, block, strict };
        self.effect = Some(WatchEffect::Query { op, block, strict, timeout });
    }

    fn rest(&mut self, until: Instant, strict: bool) {
        self.effect = None;
        self.state = State::Resting { until, strict };
    }

    fn answered(&mut self, now: Instant, answer: WatchAnswer) {
        let State::Asking { began, block, strict, .. } = &self.state else { return };
        let (strict, block, began) = (*strict, *block, *began);
        self.pace.succeeded();
        if let Some(doubt) = self.doubt(&answer).filter(|_| !strict) {
            self.doubted = Some((answer, doubt));
            return self.rest(self.pace.next(now, &self.config), true);
        }
        self.doubted = None;
        // The leader's word stands, also where it fell behind what was said before a restore.
        self.newest = if strict { answer.index } else { self.newest.max(answer.index) };
        let early = block.is_some_and(|(_, wait)| now.since(began) < wait);
        let (index, outcome) = (answer.index, self.believe(answer));
        self.wary = early && outcome == Outcome::Same;
        self.pace.told_of_change(!self.wary);
        // What was not believed will not change again when a leader is found, so it is not blocked on.
        let held = outcome == Outcome::Held;
        self.index = index.and_then(|index| index.after(block.map(|(last, _)| last))).filter(|_| !held && !strict);
        let next = self.pace.next(now, &self.config);
        let until = match (self.mode, index) {
            (WatchMode::Polling, _) | (WatchMode::Blocking, None) => now + self.poll_rest(),
            (WatchMode::Blocking, Some(_)) if held => next.max(now + self.config.idle_interval),
            (WatchMode::Blocking, Some(_)) => next,
        };
        if until > now { self.rest(until, false) } else { self.ask(now, false) }
    }

    /// Why the leader is to be asked before `answer` is believed.
    fn doubt(&self, answer: &WatchAnswer) -> Option<Doubt> {
        if answer.known_leader && answer.last_contact > self.config.last_contact_max {
            return Some(Doubt::OutOfTouch);
        }
        // A server that lags behind the one that answered before: it has yet to hear of who is missing.
        let lags = self.newest.is_some_and(|newest| answer.index.is_some_and(|index| index < newest));
        let shrunk = || self.served.as_ref().is_some_and(|served| shrinks(served, &answer.snapshot));
        (lags && shrunk()).then_some(Doubt::Behind)
    }

    /// Takes in what an answer lists, or holds on to what was known.
    fn believe(&mut self, answer: WatchAnswer) -> Outcome {
        let unsure = !answer.known_leader || answer.last_contact > self.config.last_contact_max;
        let same = self.served.as_ref().is_some_and(|served| *served == answer.snapshot);
        if same {
            self.report(WatchUpdate::Confirmed);
            return Outcome::Same;
        }
        if unsure && self.served.as_ref().is_some_and(|served| shrinks(served, &answer.snapshot)) {
            self.report(WatchUpdate::Held);
            return Outcome::Held;
        }
        self.served = Some(Arc::clone(&answer.snapshot));
        self.report(WatchUpdate::Changed(answer.snapshot));
        Outcome::Changed
    }

    fn failed(&mut self, now: Instant, error: ConsulError) {
        self.index = None;
        self.wary = false;
        let wait = self.pace.after_failure(&error, &self.config, &mut self.rng);
        match self.doubted.take() {
            // The leader does not answer: what is old is better than nothing.
            Some((answer, Doubt::OutOfTouch)) => _ = self.believe(answer),
            // What is older than what is known is not.
            Some((_, Doubt::Behind)) => self.report(WatchUpdate::Held),
            None => self.report(WatchUpdate::Failed(error)),
        }
        self.rest(now + wait, false);
    }

    fn poll_rest(&mut self) -> Duration {
        self.config.poll_interval.saturating_add(self.rng.up_to(self.config.poll_interval / 10))
    }

    fn report(&mut self, update: WatchUpdate) {
        if self.events.len() >= Self::EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(update);
    }
}

/// Why an answer is not believed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// The server that gave it has not heard from the leader for long.
    OutOfTouch,
    /// It lacks instances that an answer of a higher index had.
    Behind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Same,
    Changed,
    Held,
}

/// Whether an instance of `old` is missing from `new`.
fn shrinks(old: &Snapshot, new: &Snapshot) -> bool {
    old.iter().any(|entry| new.get(entry.key()).is_none())
}

impl Machine for WatchMachine {
    type Input = WatchInput;
    type Effect = WatchEffect;
    type Event = WatchUpdate;

    fn handle_input(&mut self, now: Instant, input: Self::Input) {
        let now = self.clock.observe(now);
        match input {
            WatchInput::Mode(mode) => self.mode = mode,
            WatchInput::Answered { op: answered, result } => match &self.state {
                State::Asking { op, .. } if *op == answered => match result {
                    Ok(answer) => self.answered(now, answer),
                    Err(error) => self.failed(now, error),
                },
                State::Asking { .. } | State::Resting { .. } => self.ignored = self.ignored.saturating_add(1),
            },
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = now.max(self.clock.latest());
        match &self.state {
            State::Resting { until, strict } if *until <= now => {
                let strict = *strict;
                self.clock.observe(now);
                self.ask(now, strict);
            }
            State::Asking { began, deadline, .. } if *deadline <= now => {
                let waited = deadline.since(*began);
                self.clock.observe(now);
                self.failed(now, ConsulError::new("read health", Cause::Timeout(waited)));
            }
            State::Resting { .. } | State::Asking { .. } => {}
        }
    }

    fn poll_effect(&mut self) -> Option<Self::Effect> {
        self.effect.take()
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Resting { until, .. } => Some(*until),
            State::Asking { deadline, .. } => Some(*deadline),
        }
    }
}

/// How long a query blocks after one that returned early for no reason: an agent that shuts down answers so, and one
/// that starts again may have the same index.
const WARY_WAIT: Duration = Duration::from_secs(2);
