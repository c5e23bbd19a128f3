//! Decides when a connection counts as lost, and when the next one is made.
//!
//! The rules, with their reasons (measured on the `redis` crate 1.8.1 and Redis 7.0.15):
//! - On a half-open connection each call times out, for ever, and nothing else tells. So calls that go unanswered one
//!   after the other, or one PING, end the connection. Calls that waited side by side saw one silence and count as one.
//! - An answer to anything proves all that was sent before it, since a connection is a queue: it takes suspicion away.
//! - Waits grow until a connection has stood for a while: a server that accepts and then fails would be hammered else.
//! - A replica's refusal ends the connection, so that sentinels and DNS are asked anew. A busy or full server is still
//!   the right one, and a new connection would meet the same script; that nothing is heard meanwhile is told otherwise.
//!
//! It never sends anything, and never looks at a reply.

mod message;

use std::collections::VecDeque;
use std::time::Duration;

use mesh_core::machine::Machine;
use mesh_core::rng::Rng;
use mesh_core::time::{Instant, Monotonic};

use super::config::LinkConfig;
use super::reason::{ConnectFailure, DownReason, Epoch, Unfit};
pub use message::{LinkCounters, LinkEffect, LinkInput, LinkUpdate, Phase, PingId};

/// Keeps one connection.
///
/// - *Inputs*: [`LinkInput`]; what comes late or names an unknown epoch or PING is ignored and counted.
/// - *Effects*: [`LinkEffect`]; one attempt and one PING at a time.
/// - *Events*: [`LinkUpdate`].
/// - *Timers*: one, for the wait before an attempt, its end, the next PING or its answer.
/// - *Bounds*: [`LinkMachine::EFFECTS_MAX`] effects and [`LinkMachine::EVENTS_MAX`] events wait to be fetched.
#[derive(Debug)]
pub struct LinkMachine {
    config: LinkConfig,
    state: State,
    /// The last attempt's number.
    attempt: Epoch,
    next_ping: u64,
    /// Attempts since the last connection that was stable.
    retries: u32,
    counters: LinkCounters,
    effects: VecDeque<LinkEffect>,
    events: VecDeque<LinkUpdate>,
    clock: Monotonic,
    rng: Rng,
}

#[derive(Debug)]
enum State {
    Resting { until: Instant, suspect: bool },
    Connecting { deadline: Instant, suspect: bool },
    Up { since: Instant, silence: Silence, ping: Ping },
}

/// The time-outs since the last answer.
#[derive(Debug)]
struct Silence {
    timeouts: u32,
    /// A call that was sent before saw a silence that was counted, or an answer, already.
    counts_from: Instant,
}

#[derive(Debug)]
enum Ping {
    Due(Instant),
    Sent { ping: PingId, at: Instant },
}

impl LinkMachine {
    /// How many effects wait to be fetched; of more, the oldest are forgotten. A driver that fetches them after every
    /// input never has more than two.
    pub const EFFECTS_MAX: usize = 16;
    /// How many events wait to be fetched; of more, the oldest are forgotten. A driver that fetches them after every
    /// input never has more than one.
    pub const EVENTS_MAX: usize = 16;

    /// A link that connects for the first time at `now`, with jitter drawn from `seed`.
    #[must_use]
    pub fn new(config: LinkConfig, seed: u64, now: Instant) -> Self {
        let mut machine = Self {
            config,
            state: State::Resting { until: now, suspect: false },
            attempt: Epoch::default(),
            next_ping: 0,
            retries: 0,
            counters: LinkCounters::default(),
            effects: VecDeque::new(),
            events: VecDeque::new(),
            clock: Monotonic::default(),
            rng: Rng::from_seed(seed),
        };
        let now = machine.clock.observe(now);
        machine.connect(now, false);
        machine
    }

    /// In which state it is.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match &self.state {
            State::Up { .. } => Phase::Up,
            State::Resting { suspect: true, .. } | State::Connecting { suspect: true, .. } => Phase::Suspect,
            State::Resting { suspect: false, .. } => Phase::Down,
            State::Connecting { suspect: false, .. } => Phase::Connecting,
        }
    }

    /// The connection that serves calls, if one does.
    #[must_use]
    pub const fn up(&self) -> Option<Epoch> {
        match &self.state {
            State::Up { .. } => Some(self.attempt),
            State::Resting { .. } | State::Connecting { .. } => None,
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn connect(&mut self, now: Instant, suspect: bool) {
        self.attempt = self.attempt.next();
        self.retries = self.retries.saturating_add(1);
        self.state = State::Connecting { deadline: now + self.config.connect_deadline, suspect };
        self.ask(LinkEffect::Connect { attempt: self.attempt });
    }

    /// Waits, or connects at once where the wait that was drawn is none.
    fn rest(&mut self, now: Instant, suspect: bool) {
        let until = now + self.wait();
        if until <= now {
            return self.connect(now, suspect);
        }
        self.state = State::Resting { until, suspect };
    }

    fn wait(&mut self) -> Duration {
        full_jitter(self.retries.saturating_sub(1), self.config.retry, self.config.retry_max, &mut self.rng)
    }

    fn connected(&mut self, now: Instant) {
        let silence = Silence { timeouts: 0, counts_from: now };
        self.state = State::Up { since: now, silence, ping: Ping::Due(now + self.config.ping_period) };
        count(&mut self.counters.connects);
        self.report(LinkUpdate::Up { epoch: self.attempt });
    }

    fn failed(&mut self, now: Instant, failure: ConnectFailure) {
        count(&mut self.counters.connect_failures);
        self.report(LinkUpdate::StillDown { why: DownReason::Connect(failure) });
        self.rest(now, false);
    }

    fn lose(&mut self, now: Instant, why: DownReason) {
        let State::Up { since, .. } = &self.state else { return };
        if now.since(*since) >= self.config.stable_after {
            self.retries = 1;
        }
        let suspect = matches!(why, DownReason::Silent | DownReason::PingMissed);
        count(&mut self.counters.losses);
        if suspect {
            count(&mut self.counters.silences);
        }
        self.ask(LinkEffect::Abandon { epoch: self.attempt });
        self.report(LinkUpdate::Down { epoch: self.attempt, why });
        self.rest(now, suspect);
    }

    fn timed_out(&mut self, now: Instant, began: Instant, waited: Duration) {
        let State::Up { silence, .. } = &mut self.state else { return };
        if waited < self.config.timeout_counts_from || began < silence.counts_from {
            return;
        }
        silence.timeouts += 1;
        silence.counts_from = now;
        count(&mut self.counters.timeouts);
        if silence.timeouts >= self.config.timeouts_max.get() {
            self.lose(now, DownReason::Silent);
        }
    }

    fn answered(&mut self, now: Instant) {
        if let State::Up { silence, .. } = &mut self.state {
            *silence = Silence { timeouts: 0, counts_from: now };
        }
    }

    fn ponged(&mut self, now: Instant) {
        self.answered(now);
        if let State::Up { ping: ping @ Ping::Sent { .. }, .. } = &mut self.state
            && let Ping::Sent { at, .. } = *ping
        {
            *ping = Ping::Due(at + self.config.ping_period);
        }
    }

    fn unfit(&mut self, now: Instant, unfit: Unfit) {
        count(&mut self.counters.unfit);
        if unfit.ends_the_connection() {
            self.lose(now, DownReason::Unfit(unfit));
        }
    }

    /// Whether `input` is about what this link does now.
    fn concerns(&self, input: &LinkInput) -> bool {
        match input {
            LinkInput::Connected { attempt } | LinkInput::ConnectFailed { attempt, .. } => {
                matches!(self.state, State::Connecting { .. }) && *attempt == self.attempt
            }
            LinkInput::Pong { ping: answered } | LinkInput::Missed { ping: answered } => {
                matches!(&self.state, State::Up { ping: Ping::Sent { ping, .. }, .. } if ping == answered)
            }
            LinkInput::CallTimedOut { epoch, .. }
            | LinkInput::CallAnswered { epoch }
            | LinkInput::Closed { epoch }
            | LinkInput::Unfit { epoch, .. } => self.up() == Some(*epoch),
        }
    }

    fn ask(&mut self, effect: LinkEffect) {
        if self.effects.len() >= Self::EFFECTS_MAX {
            self.effects.pop_front();
        }
        self.effects.push_back(effect);
    }

    fn report(&mut self, update: LinkUpdate) {
        if self.events.len() >= Self::EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(update);
    }
}

impl Machine for LinkMachine {
    type Input = LinkInput;
    type Effect = LinkEffect;
    type Event = LinkUpdate;

    fn handle_input(&mut self, now: Instant, input: Self::Input) {
        let now = self.clock.observe(now);
        if !self.concerns(&input) {
            return count(&mut self.counters.ignored);
        }
        match input {
            LinkInput::Connected { .. } => self.connected(now),
            LinkInput::ConnectFailed { failure, .. } => self.failed(now, failure),
            LinkInput::Pong { .. } => self.ponged(now),
            LinkInput::Missed { .. } => self.lose(now, DownReason::PingMissed),
            LinkInput::CallTimedOut { began, waited, .. } => self.timed_out(now, began, waited),
            LinkInput::CallAnswered { .. } => self.answered(now),
            LinkInput::Closed { .. } => self.lose(now, DownReason::Disconnected),
            LinkInput::Unfit { unfit, .. } => self.unfit(now, unfit),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let now = now.max(self.clock.latest());
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        self.clock.observe(now);
        match &mut self.state {
            State::Resting { suspect, .. } => {
                let suspect = *suspect;
                self.connect(now, suspect);
            }
            State::Connecting { .. } => {
                self.ask(LinkEffect::Cancel { attempt: self.attempt });
                self.failed(now, ConnectFailure::TimedOut);
            }
            State::Up { ping: Ping::Sent { .. }, .. } => self.lose(now, DownReason::PingMissed),
            State::Up { ping: ping @ Ping::Due(_), .. } => {
                let id = PingId(self.next_ping);
                self.next_ping = self.next_ping.saturating_add(1);
                *ping = Ping::Sent { ping: id, at: now };
                self.ask(LinkEffect::Ping { ping: id });
            }
        }
    }

    fn poll_effect(&mut self) -> Option<Self::Effect> {
        self.effects.pop_front()
    }

    fn poll_event(&mut self) -> Option<Self::Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Some(match &self.state {
            State::Resting { until, .. } => *until,
            State::Connecting { deadline, .. } => *deadline,
            State::Up { ping: Ping::Due(at), .. } => *at,
            State::Up { ping: Ping::Sent { at, .. }, .. } => *at + self.config.ping_deadline,
        })
    }
}

/// A wait drawn evenly from zero to `first`, doubled `doublings` times, at most `most` (Brooker, "Exponential Backoff And
/// Jitter", AWS Architecture Blog, 2015: "full jitter").
pub(crate) fn full_jitter(doublings: u32, first: Duration, most: Duration, rng: &mut Rng) -> Duration {
    rng.up_to(first.saturating_mul(1 << doublings.min(DOUBLINGS_MAX)).min(most))
}

fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

/// Beyond, the longest wait is reached from any base that a configuration may have.
const DOUBLINGS_MAX: u32 = 24;
