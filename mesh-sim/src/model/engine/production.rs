//! Calls as production makes them: the library's call machine, on what each client's calls share.

use mesh_core::balance::Tried;
use mesh_core::time::Instant;
use mesh_retry::budget::{Budget, TokenBucket};
use mesh_retry::call::{CallMachine, Terms};
use mesh_retry::policy::RetryPolicy;

use super::Course;
use crate::model::scenario::Scenario;

/// What the calls of all clients go by.
#[derive(Debug)]
pub(crate) struct Production {
    policy: RetryPolicy,
    /// One a client, where there are any.
    budgets: Vec<Box<dyn Budget>>,
}

impl Production {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let clients = &scenario.clients;
        let budget = clients.retry.as_ref().and_then(|retry| retry.budget.as_ref());
        let budgets = budget.map_or_else(Vec::new, |budget| {
            let config = budget.to_config();
            (0..clients.count.get()).map(|_| -> Box<dyn Budget> { Box::new(TokenBucket::new(&config)) }).collect()
        });
        Self::with_budgets(scenario, budgets)
    }

    /// With other budgets than the scenario's, one a client.
    pub(crate) fn with_budgets(scenario: &Scenario, budgets: Vec<Box<dyn Budget>>) -> Self {
        Self { policy: scenario.clients.policy(), budgets }
    }
}

/// What a call of one client goes by.
#[derive(Debug)]
pub(crate) struct ClientTerms<'p> {
    policy: &'p RetryPolicy,
    budget: Option<&'p dyn Budget>,
}

impl Terms for ClientTerms<'_> {
    fn policy(&self) -> &RetryPolicy {
        self.policy
    }

    fn budget(&self) -> Option<&dyn Budget> {
        self.budget
    }
}

impl<'p> Course for &'p Production {
    type Call = CallMachine<ClientTerms<'p>>;

    #[inline]
    fn begin(&self, client: u32, entropy: u64, now: Instant) -> Self::Call {
        let terms =
            ClientTerms { policy: &self.policy, budget: self.budgets.get(client as usize).map(|budget| &**budget) };
        CallMachine::new(terms, entropy, now)
    }

    #[inline]
    fn tried(call: &Self::Call) -> &Tried {
        call.tried()
    }

    #[inline]
    fn hedges_denied(call: &Self::Call) -> u32 {
        call.tally().hedges_denied
    }
}
