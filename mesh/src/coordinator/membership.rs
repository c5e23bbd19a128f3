//! A process' part in what the fleet shares for the calls to one service, as these and its owner hold it.

use std::sync::Arc;

use mesh_retry::budget::Budget;
use mesh_retry::coordinator::budget::FleetBudget;
use tokio::sync::watch;

use super::bell::Bell;
use super::slots::SlotsSeat;
use super::votes::Votes;

/// This process' part in what the fleet shares for the calls to one service.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) budget: Option<Membership>,
    pub(crate) slots: Option<SlotsSeat>,
    pub(crate) votes: Option<Arc<Votes>>,
}

/// This process' part in the budget of one service.
#[derive(Debug)]
pub(crate) struct Membership {
    budget: Arc<FleetBudget>,
    bell: Bell,
    /// Closed when the driver has ended.
    ended: watch::Receiver<()>,
}

impl Parts {
    /// Gives back what the process holds. Calls that are still made go by themselves.
    pub(crate) fn leave(&self) {
        if let Some(budget) = &self.budget {
            budget.leave();
        }
        if let Some(slots) = &self.slots {
            slots.leave();
        }
        if let Some(votes) = &self.votes {
            votes.leave();
        }
    }

    /// Waits until that has ended, or is given up.
    pub(crate) async fn left(&self) {
        if let Some(budget) = &self.budget {
            budget.left().await;
        }
        if let Some(votes) = &self.votes {
            votes.left().await;
        }
    }
}

impl Membership {
    pub(super) const fn new(budget: Arc<FleetBudget>, bell: Bell, ended: watch::Receiver<()>) -> Self {
        Self { budget, bell, ended }
    }

    /// What calls ask for retries.
    pub(crate) fn budget(&self) -> Arc<dyn Budget> {
        Arc::<FleetBudget>::clone(&self.budget)
    }

    /// Gives back what the process holds. Calls that are still made go by its own share.
    pub(crate) fn leave(&self) {
        self.bell.close();
    }

    /// Waits until that has ended, or is given up: for two answers of the store at most, of which the first is to what was under
    /// way.
    pub(crate) async fn left(&self) {
        // Nothing is ever sent: it changes when the driver drops its end.
        while self.ended.clone().changed().await.is_ok() {}
    }
}
