//! What should be known of how the attempts on one instance ended, kept plainly.

use core::time::Duration;

use crate::balance::{Endpoint, Outcome, Tally, Wake, WakeRules};
use crate::time::Instant;

/// The ends of attempts on one incarnation.
#[derive(Debug, Default)]
pub(super) struct Course {
    failures: u32,
    gateway: u32,
    local: u32,
    tally: Tally,
    ticket: Ticket,
}

/// The one request that an instance on probation may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ticket {
    #[default]
    Free,
    /// By the request that was picked then.
    Taken(Instant),
    Ended(bool),
}

impl Course {
    /// Takes the ticket at `now` if it is free.
    pub(super) fn take_ticket(&mut self, now: Instant) -> bool {
        let free = self.has_free_ticket();
        if free {
            self.ticket = Ticket::Taken(now);
        }
        free
    }

    pub(super) fn has_free_ticket(&self) -> bool {
        self.ticket == Ticket::Free
    }

    /// Forgets the runs of failures, and offers the ticket anew.
    pub(super) fn forgive(&mut self) {
        (self.failures, self.gateway, self.local, self.ticket) = (0, 0, 0, Ticket::Free);
    }

    /// An attempt ended, which was placed by the ticket if that was taken at `ticket`.
    pub(super) fn ended(
        &mut self,
        outcome: Outcome,
        took: Duration,
        rules: &WakeRules,
        ticket: Option<Instant>,
    ) -> Wake {
        let before = [self.failures, self.gateway, self.local, self.failures, self.local];
        self.count(outcome, took, rules);
        let (failures, gateway, local) = match outcome {
            Outcome::Success => (0, 0, 0),
            Outcome::Failure => (before[0] + 1, 0, 0),
            Outcome::Overloaded { .. } if rules.overload_fails => (before[0] + 1, before[1] + 1, 0),
            Outcome::Overloaded { .. } => (before[0], before[1], 0),
            Outcome::TimedOut | Outcome::Unreachable if rules.split_local => (before[0], before[1], before[2] + 1),
            Outcome::TimedOut | Outcome::Unreachable => (before[0] + 1, before[1] + 1, before[2] + 1),
            Outcome::Cancelled => (before[0], before[1], before[2]),
        };
        (self.failures, self.gateway, self.local) = (failures, gateway, local);
        if ticket.is_some_and(|at| self.ticket == Ticket::Taken(at)) {
            let is_busy = matches!(outcome, Outcome::Overloaded { .. });
            let says_nothing = is_busy && !rules.overload_fails && !rules.overload_fails_trials;
            let is_free = says_nothing || outcome == Outcome::Cancelled;
            self.ticket = if is_free { Ticket::Free } else { Ticket::Ended(outcome == Outcome::Success) };
        }
        let local_again = rules.split_local.then_some(rules.failures);
        let lengths = [Some(rules.failures), rules.gateway, rules.local, rules.failures_again, local_again];
        let reached = |(length, (before, now)): (Option<core::num::NonZeroU32>, (u32, u32))| {
            length.is_some_and(|length| now > before && now == length.get())
        };
        let asked =
            lengths.into_iter().zip(before.into_iter().zip([failures, gateway, local, failures, local])).any(reached);
        if asked || ticket.is_some() && outcome != Outcome::Cancelled { Wake::Sweep } else { Wake::No }
    }

    fn count(&mut self, outcome: Outcome, took: Duration, rules: &WakeRules) {
        if !rules.tally {
            return;
        }
        let tally = &mut self.tally;
        match outcome {
            Outcome::Success => {
                tally.successes += 1;
                tally.latency_log2_sum += Tally::log2_of(took);
            }
            Outcome::Failure => tally.failures += 1,
            Outcome::Overloaded { .. } => tally.overloaded += 1,
            Outcome::TimedOut => tally.timed_out += 1,
            Outcome::Unreachable => tally.unreachable += 1,
            Outcome::Cancelled => {}
        }
    }

    pub(super) fn check(&self, endpoint: &Endpoint) {
        let runs = endpoint.runs();
        let counted = (runs.failures, runs.gateway, runs.local);
        assert_eq!(counted, (self.failures, self.gateway, self.local), "failures in a row of {}", endpoint.key());
        assert_eq!(endpoint.tally(), self.tally, "the tally of {}", endpoint.key());
        let verdict = if let Ticket::Ended(passed) = self.ticket { Some(passed) } else { None };
        assert_eq!(endpoint.ticket().verdict(), verdict, "how the request on probation to {} ended", endpoint.key());
    }
}
