//! How a call asks for its attempts: past the deadline, the gates and the budget, and copies of them in their time.

use core::time::Duration;

use mesh_core::rng::mix;
use mesh_core::time::Instant;

use super::copies::{Copy, Passes, Stage};
use super::gate::{AttemptEnd, Shut};
use super::machine::{CallMachine, Hedging, State};
use super::terms::Terms;
use super::{AttemptId, AttemptKind, Decision, GiveUpReason};
use crate::budget::{Answer, Extra, Paid};

impl<T: Terms> CallMachine<T> {
    /// Makes an attempt that is no hedge, and sets the time of its hedges.
    pub(super) fn begin(&mut self, now: Instant, kind: AttemptKind, paid: Option<Paid>) {
        self.state = State::Attempting;
        self.announced = None;
        self.hedging = Hedging::default();
        if let Err(reason) = self.ask(now, kind, paid) {
            self.give_up(reason);
            return;
        }
        if let Some(hedge) = self.terms.policy().hedge.filter(|_| self.terms.may_repeat()) {
            let delay = hedge.delay.given(|rule| self.terms.time(now, rule));
            self.hedging = Hedging { next: Some(now.after(delay)), left: hedge.attempts_max.get().saturating_sub(1) };
            self.hedge_while_due(now);
        }
    }

    /// Asks for an attempt, if the deadline leaves any time for it and every gate is open.
    pub(super) fn ask(&mut self, now: Instant, kind: AttemptKind, paid: Option<Paid>) -> Result<(), GiveUpReason> {
        let admitted = self.overdue(now).map_or_else(|| self.admit(now).map_err(GiveUpReason::Shut), Err);
        let passes = match admitted {
            Ok(passes) => passes,
            Err(reason) => {
                self.settle(now, AttemptEnd::NotMade, paid);
                return Err(reason);
            }
        };
        self.asked = self.asked.saturating_add(1);
        self.tally.count(kind);
        let id = AttemptId::from_number(self.asked);
        let copy = Copy { id, number: self.tally.attempts, kind, stage: Stage::Asked, began: now, paid, passes };
        if !self.copies.put(copy) {
            self.tally.uncount(kind);
            self.release(now, &copy, AttemptEnd::NotMade);
        }
        Ok(())
    }

    /// Passes every gate, or none.
    fn admit(&self, now: Instant) -> Result<Passes, Shut> {
        let mut passes = Passes::default();
        for (at, gate) in self.terms.gates().iter().enumerate() {
            let Some(gate) = gate else { continue };
            match gate.admit(now, mix(self.entropy ^ self.asked ^ (at as u64) << GATE_SHIFT)) {
                Ok(pass) => passes.put(at, pass),
                Err(shut) => {
                    self.leave(now, &passes, AttemptEnd::NotMade, Duration::ZERO);
                    return Err(shut);
                }
            }
        }
        Ok(passes)
    }

    /// Tells the gates that were passed how the attempt ended.
    pub(super) fn leave(&self, now: Instant, passes: &Passes, end: AttemptEnd, took: Duration) {
        for (at, gate) in self.terms.gates().iter().enumerate() {
            if let (Some(gate), Some(pass)) = (gate, passes.of(at)) {
                gate.ended(now, pass, end, took);
            }
        }
    }

    /// Tells gates and budget how an attempt ended.
    pub(super) fn release(&self, now: Instant, copy: &Copy, end: AttemptEnd) {
        self.leave(now, &copy.passes, end, now.since(copy.began));
        self.settle(now, end, copy.paid);
    }

    pub(super) fn settle(&self, now: Instant, end: AttemptEnd, paid: Option<Paid>) {
        if let Some(budget) = self.terms.budget() {
            budget.ended(now, end.of_budget(), paid);
        }
    }

    /// Sends the copies whose time has come.
    pub(super) fn hedge_while_due(&mut self, now: Instant) {
        while self.hedging.next.is_some_and(|next| next <= now) {
            self.hedge(now);
        }
    }

    /// Sends one more copy of the current attempt, if the budget pays for it and the gates let it pass.
    pub(super) fn hedge(&mut self, now: Instant) {
        let paid = match self.withdraw(now, Extra::hedge()) {
            Ok(Answered::Granted(paid)) => Ok(paid),
            // By the time that it answers, the copies that are under way have.
            Ok(Answered::Later) => Err(GiveUpReason::BudgetSilent),
            Err(reason) => Err(reason),
        };
        match paid.and_then(|paid| self.ask(now, AttemptKind::Hedge, paid)) {
            Ok(()) => {
                self.decided.put(Decision::Hedge { at: now });
                self.hedging.left = self.hedging.left.saturating_sub(1);
                let delay = self.terms.policy().hedge.map(|hedge| hedge.delay.given(|rule| self.terms.time(now, rule)));
                self.hedging.next = delay.filter(|_| self.hedging.left > 0).map(|delay| now.after(delay));
            }
            Err(reason) => {
                self.tally.hedges_denied = self.tally.hedges_denied.saturating_add(1);
                self.decided.put(Decision::NoHedge(reason));
                self.hedging = Hedging::default();
            }
        }
    }

    pub(super) fn withdraw(&self, now: Instant, extra: Extra) -> Result<Answered, GiveUpReason> {
        let Some(budget) = self.terms.budget() else { return Ok(Answered::Granted(None)) };
        match budget.withdraw(now, extra) {
            Answer::Granted(paid) => Ok(Answered::Granted(Some(paid))),
            Answer::Later => Ok(Answered::Later),
            Answer::Denied(denial) => Err(GiveUpReason::Budget(denial)),
        }
    }
}

/// What a budget gave, if there is one.
pub(super) enum Answered {
    Granted(Option<Paid>),
    Later,
}

/// Where the number of a gate stands in what it draws from, above the number of the attempt.
const GATE_SHIFT: u32 = 56;
