//! Decides whether a callee is worth calling at all, for a service or for one of its instances.
//!
//! A [`Breaker`] lets calls through while it is closed, and counts how they end. When they end too badly it opens, and lets
//! none through for a time. Then it is half-open: a few calls, the probes, find out whether to close it or to open it again.
//! What "too badly" means is for a [`BreakerConfig`] to say: failures in a row, the share of failed or of slow calls among
//! the last so many or in the last so long.
//!
//! ```
//! use std::time::Duration;
//!
//! use mesh_retry::Instant;
//! use mesh_retry::breaker::{Breaker, BreakerConfig, State, Verdict};
//!
//! let breaker = Breaker::new(&BreakerConfig::hystrix(), 42)?;
//! let mut now = Instant::ZERO;
//! for _ in 0..20 {
//!     let Ok(permit) = breaker.permit(now) else { unreachable!("it is closed") };
//!     let opened = breaker.record(now, permit, Verdict::Failed(Duration::from_millis(3)));
//!     assert_eq!(opened.is_some(), breaker.state(now) == State::Open);
//! }
//! let Err(refused) = breaker.permit(now) else { unreachable!("it is open") };
//! assert_eq!(refused.retry_at, Some(now + Duration::from_secs(5)));
//!
//! now += Duration::from_secs(5);
//! let Ok(probe) = breaker.permit(now) else { unreachable!("it is half-open") };
//! assert!(probe.is_probe() && breaker.permit(now).is_err());
//! breaker.record(now, probe, Verdict::Succeeded(Duration::from_millis(3)));
//! assert_eq!(breaker.state(now), State::Closed);
//! # Ok::<(), mesh_retry::breaker::BreakerError>(())
//! ```
//!
//! A breaker that shares [evidence](Breaker::with_evidence) with other processes opens earlier while most of them find the
//! callee down, but never without failures of its own; and only one of them tries at a time whether it is well again.
//!
//! # Bounds
//! * Of a half-open time, no more than [`HalfOpen::probes`] permits are out or recorded at any moment, whatever threads do.
//!   A probe that is given back or ignored gives its place back, one that is lost after [`HalfOpen::lost_after`].
//! * What a call that was let through before a transition comes to counts for nothing after it: a [`Permit`] bears the
//!   number of its generation.
//! * A breaker never grows: all that it has is allocated by [`Breaker::new`].
//!
//! # Threads and time
//! Threads share a breaker by reference. It has no lock, and nobody waits for anybody. A closed breaker is read and not
//! written by [`Breaker::permit`], and [`Breaker::record`] writes one word for each counter (two for a window of the last so
//! many calls): see the module of the counters for what "exact" means then. Every transition is one compare-exchange of one
//! word, and told to whoever made it, once.
//!
//! It reads no clock. Threads that have read theirs at slightly different times, and time that goes back, do no harm: a
//! bucket goes on, and a breaker that opens does so at the latest time at which one has opened it. Nothing happens by
//! itself, either: an open breaker is half-open when the first call after its time asks.

mod config;
mod guard;
mod half_open;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod judge;
mod open_time;
mod presets;
mod transition;
mod window;
mod word;

use core::time::Duration;
use std::sync::Arc;

use mesh_core::time::Instant;

use crate::coordinator::votes::Evidence;
use crate::sync::{AtomicU64, Ordering};
pub use config::{BreakerConfig, BreakerError, HalfOpen, OpenJitter, OpenTime, ProbeRule, WindowKind};
pub use guard::Guard;
use judge::Rules;
use transition::Role;
pub use transition::{Counts, Forced, Permit, Reason, Refused, State, Transition, Verdict};
use window::{Call, Counters};
use word::Word;

/// A circuit breaker that threads share. See the [module](self) for what it does.
///
/// Times are written before the word that they belong to is exchanged (release), and read after that word (acquire), so
/// that they are never older than it; and they only rise, so that who comes late cannot put one back.
#[derive(Debug)]
pub struct Breaker {
    /// See [`Word`].
    word: AtomicU64,
    rules: Rules,
    slow_after: Duration,
    open: OpenTime,
    wait_max: Option<Duration>,
    lost_after: Duration,
    seed: u64,
    /// When it was opened last.
    opened_at: AtomicU64,
    /// When it became half-open last.
    half_open_since: AtomicU64,
    /// When a probe was let through last.
    granted_at: AtomicU64,
    counters: Counters,
    evidence: Option<Arc<Evidence>>,
}

impl Breaker {
    /// A closed breaker that decides like `config`. Breakers with the same `seed` are open for the same times; give each
    /// its own.
    ///
    /// # Errors
    /// Those of [`BreakerConfig::validate`].
    pub fn new(config: &BreakerConfig, seed: u64) -> Result<Self, BreakerError> {
        Self::build(config, seed, None)
    }

    /// Like [`Breaker::new`], and shares what other processes have found: while these are a quorum, fewer failures in a row
    /// open it ([`VotesConfig::lowered_to`](crate::coordinator::votes::VotesConfig::lowered_to)), but never without a failure
    /// of its own; and it becomes half-open only when it is this process's turn to probe.
    ///
    /// # Errors
    /// Those of [`BreakerConfig::validate`].
    pub fn with_evidence(config: &BreakerConfig, seed: u64, evidence: Arc<Evidence>) -> Result<Self, BreakerError> {
        Self::build(config, seed, Some(evidence))
    }

    fn build(config: &BreakerConfig, seed: u64, evidence: Option<Arc<Evidence>>) -> Result<Self, BreakerError> {
        config.validate()?;
        let rules = Rules::of(config);
        let window = rules.has_rates().then_some(config.window);
        Ok(Self {
            word: AtomicU64::new(Word::CLOSED.0),
            rules,
            slow_after: config.slow_after,
            open: config.open,
            wait_max: config.half_open.wait_max,
            lost_after: config.half_open.lost_after,
            seed,
            opened_at: AtomicU64::new(0),
            half_open_since: AtomicU64::new(0),
            granted_at: AtomicU64::new(0),
            counters: Counters::new(rules.failures_in_row > 0 || evidence.is_some(), window),
            evidence,
        })
    }

    /// Asks whether a call may be made at `now`.
    ///
    /// # Errors
    /// That it may not, with when to ask again.
    #[inline]
    pub fn permit(&self, now: Instant) -> Result<Permit, Refused> {
        let word = self.word();
        if word.admits_all() {
            return Ok(Permit { generation: word.generation(), role: Role::Call });
        }
        self.permit_probe(now, word)
    }

    /// Tells how the call with `permit` ended, which it did at `now`; returns the transition that this brought about.
    ///
    /// What was let through before a transition counts for nothing after it.
    #[inline]
    pub fn record(&self, now: Instant, permit: Permit, verdict: Verdict) -> Option<Transition> {
        let call = match verdict {
            Verdict::Succeeded(took) => Call { failed: false, slow: took > self.slow_after },
            Verdict::Failed(took) => Call { failed: true, slow: took > self.slow_after },
            Verdict::Ignored => {
                self.give_back(permit);
                return None;
            }
        };
        match permit.role {
            Role::Call => self.record_call(now, permit.generation, call),
            Role::Probe | Role::FirstProbe => self.record_probe(now, permit.generation, call),
        }
    }

    /// Takes back the permit of a call that was given up, or never made: a probe's place is free again.
    pub fn give_back(&self, permit: Permit) {
        let mut word = self.word();
        while permit.is_probe() && word.generation() == permit.generation {
            match self.exchange(word, word.given_back()) {
                Ok(()) => return,
                Err(changed) => word = changed,
            }
        }
    }

    /// Keeps the breaker in a state until the next order; returns the transition, unless it is in that state already.
    /// Everything counted is forgotten.
    pub fn force(&self, state: Forced) -> Option<Transition> {
        let to = match state {
            Forced::Open => State::ForcedOpen,
            Forced::Disabled => State::Disabled,
            Forced::MetricsOnly => State::MetricsOnly,
        };
        let mut word = self.word();
        while word.state() != to {
            match self.exchange(word, word.forced(to)) {
                Ok(()) => return Some(ordered(word, to)),
                Err(changed) => word = changed,
            }
        }
        None
    }

    /// Closes the breaker, whatever its state; everything counted is forgotten.
    pub fn reset(&self) -> Transition {
        let mut word = self.word();
        loop {
            match self.exchange(word, word.closed()) {
                Ok(()) => return ordered(word, State::Closed),
                Err(changed) => word = changed,
            }
        }
    }

    /// The state that a call meets at `now`: an open breaker whose time is over counts as half-open, and a half-open one
    /// that has waited too long as open. One that shares evidence may refuse it all the same, as open, until it is its turn
    /// to find out.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let word = self.word();
        let state = word.state();
        if state == State::Open && now >= self.open_until(word) {
            State::HalfOpen
        } else if state == State::HalfOpen && self.has_waited_out(now) {
            State::Open
        } else {
            state
        }
    }

    /// When its state will change by the passing of time alone, or a half-open one will let a call through that it does not
    /// now: it may be past, when nobody has asked since. None where neither will happen.
    #[must_use]
    pub fn next_transition_at(&self) -> Option<Instant> {
        let word = self.word();
        match word.state() {
            State::Open => Some(self.open_until(word)),
            State::HalfOpen => self.next_chance(word),
            State::Closed | State::ForcedOpen | State::Disabled | State::MetricsOnly => None,
        }
    }

    /// What it has counted at `now`: the window while every call goes through, the probes that have ended while half-open,
    /// and what it was opened for while open.
    #[must_use]
    pub fn counts(&self, now: Instant) -> Counts {
        let word = self.word();
        let now = word.admits_all().then_some(now.as_nanos());
        self.counts_of(word, now)
    }
}

impl Breaker {
    fn record_call(&self, now: Instant, generation: u32, call: Call) -> Option<Transition> {
        let current = || self.word().generation() == generation;
        let counts = self.counters.record(Word::tag_of(generation), now.as_nanos(), call, &current)?;
        let reason = self.rules.reason_to_open(counts).or_else(|| self.reason_by_evidence(now, counts))?;
        self.open_for(now, generation, reason)
    }

    /// Why it is to open where others have found so too, if it is.
    #[inline]
    fn reason_by_evidence(&self, now: Instant, counts: Counts) -> Option<Reason> {
        let evidence = self.evidence.as_ref().filter(|_| counts.failures_in_row > 0)?;
        let failures = counts.failures_in_row;
        evidence.lowered_to(now).filter(|lowered| failures >= *lowered).map(|_| Reason::Evidence { failures })
    }

    /// When to ask again, where it is not this process's turn to try.
    fn turn_at(&self, now: Instant) -> Option<Instant> {
        self.evidence.as_ref()?.may_probe(now).err()
    }

    /// Opens the breaker for `reason` unless it has left `generation`, or only tells that it would.
    #[cold]
    fn open_for(&self, now: Instant, generation: u32, reason: Reason) -> Option<Transition> {
        let word = self.word();
        if word.generation() != generation {
            return None;
        }
        let from = word.state();
        match from {
            State::Closed => self.open(now, word, word, reason).ok(),
            State::MetricsOnly => {
                self.exchange(word, word.forced(from)).ok()?;
                Some(Transition { from, to: from, reason, until: None })
            }
            State::Disabled | State::Open | State::HalfOpen | State::ForcedOpen => None,
        }
    }

    /// Opens the breaker with the probes that have `ended`, if any, unless somebody else has changed `word`.
    fn open(&self, now: Instant, word: Word, ended: Word, reason: Reason) -> Result<Transition, Word> {
        self.opened_at.fetch_max(now.as_nanos(), Ordering::Relaxed);
        let opened = ended.opened();
        self.exchange(word, opened)?;
        let until = Some(self.open_until(opened));
        Ok(Transition { from: word.state(), to: State::Open, reason, until })
    }

    fn open_until(&self, word: Word) -> Instant {
        load(&self.opened_at) + self.open.time(word.level(), self.seed, word.generation())
    }

    fn counts_of(&self, word: Word, now: Option<u64>) -> Counts {
        let probes = word.probes();
        match word.state() {
            State::HalfOpen => probes,
            State::Open if probes.calls > 0 => probes,
            State::Closed | State::Open | State::ForcedOpen | State::Disabled | State::MetricsOnly => {
                self.counters.counts(word.tag(), now)
            }
        }
    }

    #[inline]
    fn word(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    /// Puts `next` in the place of `word`, or returns what somebody else has put there.
    fn exchange(&self, word: Word, next: Word) -> Result<(), Word> {
        let exchanged = self.word.compare_exchange(word.0, next.0, Ordering::AcqRel, Ordering::Acquire);
        exchanged.map(|_| ()).map_err(Word)
    }
}

fn load(time: &AtomicU64) -> Instant {
    Instant::from_nanos(time.load(Ordering::Relaxed))
}

const fn ordered(from: Word, to: State) -> Transition {
    Transition { from: from.state(), to, reason: Reason::Ordered, until: None }
}
