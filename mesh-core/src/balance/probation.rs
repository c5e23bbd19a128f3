//! Instances that are tried again with one request at a time, before they get their share of the traffic.
//!
//! A view lists them beside the candidates of its parts. While it lists any, a pick that admits one whose ticket is free
//! goes there; all others go on as if there were none.

use super::context::{PickContext, Route};
use super::facts::Fact;
use super::lineup::Candidates;
use super::outcome::Outcome;
use super::runs::WakeRules;
use super::view::View;
use crate::route::Selector;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

/// Stands for the part of a view with the instances on probation.
pub(super) const PROBATION: u32 = u32::MAX;

/// The instances on probation of a view, in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Probation {
    pub(super) candidates: Candidates,
    /// The selectors of the registered routes; none where nobody is on probation.
    pub(super) selectors: Box<[Selector]>,
}

/// Who has the one request that an instance on probation gets, and how it ended.
///
/// A request is known by when it was picked: one of a probation that is over, which ends while another is under way, says
/// nothing of that.
#[derive(Debug)]
pub(crate) struct Ticket(AtomicU64);

impl Ticket {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(FREE))
    }

    /// Takes it for a request that is picked at `started`, if it is free.
    fn take(&self, started: Instant) -> bool {
        self.0.compare_exchange(FREE, taken(started), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The request that was picked at `started` ended; one that was given up says nothing, and another may be sent. Too much
    /// to do is never a proof of health: an instance that answers everything so would come back again and again.
    pub(super) fn give_back(&self, started: Instant, outcome: Outcome, rules: &WakeRules) {
        let state = match outcome {
            Outcome::Success => PASSED,
            Outcome::Overloaded { .. } if !(rules.overload_fails || rules.overload_fails_trials) => FREE,
            Outcome::Overloaded { .. } | Outcome::Failure | Outcome::TimedOut | Outcome::Unreachable => FAILED,
            Outcome::Cancelled => FREE,
        };
        // One that has been offered anew meanwhile is another.
        let _ = self.0.compare_exchange(taken(started), state, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Makes it free.
    pub(crate) fn offer(&self) {
        self.0.store(FREE, Ordering::Relaxed);
    }

    /// When the request was picked that has it, and has not ended.
    pub(crate) fn taken_at(&self) -> Option<Instant> {
        self.0.load(Ordering::Relaxed).checked_sub(TAKEN).map(Instant::from_nanos)
    }

    /// Whether the request passed; none while there is no answer.
    pub(crate) fn verdict(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            PASSED => Some(true),
            FAILED => Some(false),
            _ => None,
        }
    }
}

/// That a request has it which was picked at `started`.
fn taken(started: Instant) -> u64 {
    started.as_nanos().saturating_add(TAKEN)
}

impl View {
    /// The position of whoever on probation is to get the request, and whose ticket is taken then.
    #[cold]
    pub(super) fn try_probation(&self, now: Instant, context: &PickContext<'_>) -> Option<u32> {
        let Candidates { slots, rows, .. } = &self.probation.candidates;
        let selector = match context.route {
            Route::All => None,
            // A route that this view does not have is refused by the pick that follows.
            Route::Registered(route) => Some(self.probation.selectors.get(route.index())?),
            Route::Selector(selector) => Some(selector),
        };
        (0..).zip(slots.iter().zip(rows.iter())).find_map(|(position, (slot, row))| {
            let (endpoint, fact): (_, &Fact) = (self.endpoint(*slot), self.table.facts.get(*row));
            let admitted =
                !context.keeps_out(now, endpoint) && selector.is_none_or(|selector| selector.matches(&fact.instance));
            (admitted && endpoint.ticket().take(now)).then_some(position)
        })
    }
}

const FREE: u64 = 0;
const PASSED: u64 = 1;
const FAILED: u64 = 2;
/// What is as much or more is a time.
const TAKEN: u64 = 3;
