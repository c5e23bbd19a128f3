//! Instances that are tried again with one request at a time, before they get their share of the traffic.
//!
//! A view lists them beside the candidates of its parts. While it lists any, a pick that admits one whose ticket is free
//! goes there; all others go on as if there were none.

use super::context::{PickContext, Route};
use super::facts::Fact;
use super::lineup::Candidates;
use super::outcome::Outcome;
use super::view::View;
use crate::route::Selector;
use crate::sync::{AtomicU8, Ordering};

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
#[derive(Debug)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(FREE))
    }

    /// Takes it, if it is free.
    fn take(&self) -> bool {
        self.0.compare_exchange(FREE, TAKEN, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The request ended; one that was given up says nothing, and another may be sent.
    pub(super) fn give_back(&self, outcome: Outcome) {
        let state = match outcome {
            Outcome::Success | Outcome::Overloaded { .. } => PASSED,
            Outcome::Failure | Outcome::TimedOut | Outcome::Unreachable => FAILED,
            Outcome::Cancelled => FREE,
        };
        // One that has been offered anew meanwhile is another.
        let _ = self.0.compare_exchange(TAKEN, state, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Makes it free.
    pub(crate) fn offer(&self) {
        self.0.store(FREE, Ordering::Relaxed);
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

impl View {
    /// The position of whoever on probation is to get the request, and whose ticket is taken then.
    #[cold]
    pub(super) fn try_probation(&self, context: &PickContext<'_>) -> Option<u32> {
        let Candidates { slots, rows, .. } = &self.probation.candidates;
        let selector = match context.route {
            Route::All => None,
            // A route that this view does not have is refused by the pick that follows.
            Route::Registered(route) => Some(self.probation.selectors.get(route.index())?),
            Route::Selector(selector) => Some(selector),
        };
        (0..).zip(slots.iter().zip(rows.iter())).find_map(|(position, (slot, row))| {
            let (endpoint, fact): (_, &Fact) = (self.endpoint(*slot), self.table.facts.get(*row));
            let admitted = !context.excluded.contains(endpoint.id())
                && selector.is_none_or(|selector| selector.matches(&fact.instance));
            (admitted && endpoint.ticket().take()).then_some(position)
        })
    }
}

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const PASSED: u8 = 2;
const FAILED: u8 = 3;
