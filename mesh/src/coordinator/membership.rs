//! A process' part in a budget, as its calls and its owner hold it.

use std::sync::Arc;

use mesh_retry::budget::Budget;
use mesh_retry::coordinator::budget::FleetBudget;
use tokio::sync::watch;

use super::bell::Bell;

/// This process' part in the budget of one service.
#[derive(Debug)]
pub(crate) struct Membership {
    budget: Arc<FleetBudget>,
    bell: Bell,
    /// Closed when the driver has ended.
    ended: watch::Receiver<()>,
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

    /// Waits until that has ended, or is given up: for one answer of the store at most.
    pub(crate) async fn left(&self) {
        // Nothing is ever sent: it changes when the driver drops its end.
        while self.ended.clone().changed().await.is_ok() {}
    }
}
