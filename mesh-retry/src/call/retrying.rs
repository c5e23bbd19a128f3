//! How a call comes to its next attempt: the strategy's wait, what shut gates say, the deadline and the budget.

use core::time::Duration;

use mesh_core::rng::Rng;
use mesh_core::time::Instant;

use super::asking::Answered;
use super::gate::Shut;
use super::machine::{CallMachine, Hedging, State};
use super::terms::{Failed, Terms};
use super::{AttemptKind, Decision, GiveUpReason};
use crate::budget::{After, Extra, Paid};
use crate::classify::{Class, FinalBy};

impl<T: Terms> CallMachine<T> {
    /// Waits before the next attempt, or gives up.
    pub(super) fn retry(&mut self, now: Instant) {
        self.hedging = Hedging::default();
        match self.next_attempt(now) {
            Ok((until, paid, again)) => {
                self.decided.put(match again {
                    None => Decision::Retry { at: until },
                    Some(_) => Decision::Deferred { at: until },
                });
                self.state = State::Waiting { kind: AttemptKind::Retry, until, paid, again };
            }
            Err(reason) => self.give_up(reason),
        }
    }

    /// When the next attempt is made, and what it is paid with.
    fn next_attempt(&mut self, now: Instant) -> Result<(Instant, Option<Paid>, Option<Extra>), GiveUpReason> {
        let wait_of = |shut: Shut| shut.opens_at.map_or(Duration::ZERO, |at| at.since(now));
        let shut = self
            .terms
            .gates()
            .into_iter()
            .flatten()
            .filter_map(|gate| gate.shut(now))
            .max_by_key(|shut| wait_of(*shut));
        if let Some(shut) = shut.filter(|shut| wait_of(*shut) > self.terms.policy().retry_after_max) {
            return Err(GiveUpReason::Shut(shut));
        }
        let deadline = self.deadline();
        let failed = Failed {
            now,
            class: self.last,
            attempts: self.tally.attempts,
            retries: self.tally.retries,
            announced: self.announced,
            left: deadline.map(|deadline| deadline.since(now)),
        };
        // What was answered its classifier has judged; of what was not answered nobody knows whether it was done.
        if self.last.is_none() && !self.terms.may_repeat() {
            return Err(GiveUpReason::Final { by: FinalBy::Idempotency });
        }
        // Most calls never wait, so a generator is made for each wait and not for each call.
        let mut rng = Rng::from_seed(self.entropy.wrapping_add(u64::from(self.tally.attempts)));
        let mut waits = self.waits;
        let drawn = self.terms.retry(&failed, &mut waits, &mut rng)?;
        self.waits = waits;
        // Callers who were all shut out until one moment do not come back all at once.
        let needed = drawn.saturating_add(shut.map_or(Duration::ZERO, wait_of));
        let until = now.after(needed);
        if let Some(deadline) = deadline.filter(|deadline| until >= *deadline) {
            return Err(GiveUpReason::DeadlineTooClose { needed, left: deadline.since(now) });
        }
        let extra = Extra::retry(after(self.last));
        let answered = self.withdraw(now, extra)?;
        let until = self.spread(until, deadline, &mut rng);
        Ok(match answered {
            Answered::Granted(paid) => (until, paid, None),
            Answered::Later => (until, None, Some(extra)),
        })
    }

    /// When a wait ends that would end at `until`, apart from those of others and before the deadline.
    fn spread(&self, until: Instant, deadline: Option<Instant>, rng: &mut Rng) -> Instant {
        let room = deadline.map(|deadline| deadline.since(until));
        let later = until.after(self.terms.spread(room, rng));
        if deadline.is_some_and(|deadline| later >= deadline) { until } else { later }
    }

    /// The wait before an attempt is over.
    pub(super) fn resume(&mut self, now: Instant, kind: AttemptKind, paid: Option<Paid>, again: Option<Extra>) {
        let paid = match again.map(|extra| self.withdraw(now, extra)) {
            None => Ok(paid),
            Some(Ok(Answered::Granted(paid))) => {
                self.decided.put(Decision::Retry { at: now });
                Ok(paid)
            }
            Some(Ok(Answered::Later)) => Err(GiveUpReason::BudgetSilent),
            Some(Err(reason)) => Err(reason),
        };
        match paid {
            Ok(paid) => self.begin(now, kind, paid),
            Err(reason) => self.give_up(reason),
        }
    }
}

/// What makes a call want another attempt after one that ended with `class`, or was timed out.
const fn after(class: Option<Class>) -> After {
    match class {
        None => After::TimedOut,
        Some(Class::Throttled { .. }) => After::Throttled,
        Some(Class::Success | Class::Transient | Class::Unreachable | Class::Permanent | Class::Final { .. }) => {
            After::Transient
        }
    }
}
