//! What becomes of calls while a breaker does not let all of them through.

use mesh_core::time::Instant;

use super::judge::Finding;
use super::transition::Role;
use super::window::Call;
use super::word::Word;
use super::{Breaker, Permit, Reason, Refused, State, Transition, load};
use crate::sync::Ordering;

impl Breaker {
    /// Asks whether a call may be made at `now` as a probe, where the breaker was last seen as `word`.
    #[cold]
    #[inline(never)]
    pub(super) fn permit_probe(&self, now: Instant, mut word: Word) -> Result<Permit, Refused> {
        loop {
            let granted = match word.state() {
                State::Closed | State::Disabled | State::MetricsOnly => {
                    return Ok(Permit { generation: word.generation(), role: Role::Call });
                }
                State::ForcedOpen => return Err(self.refused(word, None)),
                State::Open => {
                    let until = self.open_until(word);
                    if now < until {
                        return Err(self.refused(word, Some(until)));
                    }
                    if let Some(turn) = self.turn_at(now) {
                        return Err(self.refused(word, Some(turn)));
                    }
                    self.half_open_since.fetch_max(now.as_nanos(), Ordering::Relaxed);
                    self.grant(now, word, word.half_opened(), Role::FirstProbe)
                }
                State::HalfOpen if self.has_waited_out(now) => {
                    match self.open(now, word, word, Reason::HalfOpenTimeOver(word.probes())) {
                        Ok(told) => return Err(self.refused_by(word.opened(), told)),
                        Err(changed) => Err(changed),
                    }
                }
                State::HalfOpen if self.rules.has_place(word) => self.grant(now, word, word.granted(), Role::Probe),
                State::HalfOpen if now >= self.lost_at() => self.grant(now, word, word.reclaimed(), Role::Probe),
                State::HalfOpen => return Err(self.refused(word, self.next_chance(word))),
            };
            match granted {
                Ok(permit) => return Ok(permit),
                Err(changed) => word = changed,
            }
        }
    }

    /// Why [`Breaker::permit`] would not let a call through at `now`, for whoever chooses among several callees. Changes
    /// nothing. None as well where asking would bring something about, whatever it would be: a transition, or, once the open
    /// time is over, that a breaker which [shares evidence](Breaker::with_evidence) asks for its turn. The first who asks is
    /// refused there, and what he had asked refuses the others.
    #[must_use]
    pub fn refusal(&self, now: Instant) -> Option<Refused> {
        let word = self.word();
        match word.state() {
            State::Closed | State::Disabled | State::MetricsOnly => None,
            State::ForcedOpen => Some(self.refused(word, None)),
            State::Open => {
                let over = Some(self.open_until(word)).filter(|until| now < *until);
                let until = over.or_else(|| self.evidence.as_ref()?.refusal(now));
                until.map(|at| self.refused(word, Some(at)))
            }
            State::HalfOpen => {
                let asks = self.has_waited_out(now) || self.rules.has_place(word) || now >= self.lost_at();
                (!asks).then(|| self.refused(word, self.next_chance(word)))
            }
        }
    }

    /// Tells how the probe of `generation` ended.
    #[cold]
    #[inline(never)]
    pub(super) fn record_probe(&self, now: Instant, generation: u32, call: Call) -> Option<Transition> {
        let mut word = self.word();
        // A permit of another breaker must not make more ends than there are probes.
        while word.generation() == generation && word.probes().calls < word.given() {
            let ended = word.probe_ended(call.failed, call.slow);
            let told = if self.has_waited_out(now) {
                self.open(now, word, word, Reason::HalfOpenTimeOver(word.probes())).map(Some)
            } else {
                self.decide(now, word, ended)
            };
            match told {
                Ok(transition) => return transition,
                Err(changed) => word = changed,
            }
        }
        None
    }

    /// Goes on from `word` with one more probe ended.
    fn decide(&self, now: Instant, word: Word, ended: Word) -> Result<Option<Transition>, Word> {
        let probes = ended.probes();
        match self.rules.find(probes) {
            Finding::Undecided => self.exchange(word, ended).map(|()| None),
            Finding::Failed => self.open(now, word, ended, Reason::ProbesFailed(probes)).map(Some),
            Finding::Passed => {
                self.exchange(word, ended.closed())?;
                let (from, to) = (State::HalfOpen, State::Closed);
                Ok(Some(Transition { from, to, reason: Reason::ProbesPassed(probes), until: None }))
            }
        }
    }

    /// Gives a place to a call, unless somebody else has changed `word`. The time comes first, so that nobody who sees the
    /// place taken takes it for one that was taken long ago.
    fn grant(&self, now: Instant, word: Word, next: Word, role: Role) -> Result<Permit, Word> {
        self.granted_at.fetch_max(now.as_nanos(), Ordering::Relaxed);
        self.exchange(word, next)?;
        Ok(Permit { generation: next.generation(), role })
    }

    fn refused(&self, word: Word, retry_at: Option<Instant>) -> Refused {
        Refused { state: word.state(), counts: self.counts_of(word, None), retry_at, transition: None }
    }

    /// The refusal of the call that found a half-open time over, and made `opened` of it.
    fn refused_by(&self, opened: Word, told: Transition) -> Refused {
        Refused { transition: Some(told), ..self.refused(opened, told.until) }
    }

    /// Whether a half-open time is over that has come to no decision.
    pub(super) fn has_waited_out(&self, now: Instant) -> bool {
        self.waited_out_at().is_some_and(|end| now >= end)
    }

    /// When a call of a half-open breaker is let through for certain, or it opens, whichever is first.
    pub(super) fn next_chance(&self, word: Word) -> Option<Instant> {
        let lost = (!self.rules.has_place(word)).then(|| self.lost_at());
        [lost, self.waited_out_at()].into_iter().flatten().min()
    }

    fn waited_out_at(&self) -> Option<Instant> {
        self.wait_max.map(|most| load(&self.half_open_since) + most)
    }

    /// When the probes that are under way are taken for lost.
    fn lost_at(&self) -> Instant {
        load(&self.granted_at) + self.lost_after
    }
}
