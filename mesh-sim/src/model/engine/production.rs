//! Calls as production makes them: the library's call machine, on what each client's calls share.

use alloc::sync::Arc;

use mesh_core::balance::Tried;
use mesh_core::time::Instant;
use mesh_retry::breaker::Breaker;
use mesh_retry::budget::{Budget, TokenBucket};
use mesh_retry::call::{CallMachine, GATES_MAX, Gate, Terms};
use mesh_retry::coordinator::budget::FleetBudget;
use mesh_retry::policy::RetryPolicy;

use super::Course;
use super::fleet::{Bells, budgets_of_a_fleet};
use super::random::Streams;
use crate::model::scenario::{BudgetScope, Scenario};

/// What the calls of all clients go by.
#[derive(Debug)]
pub(crate) struct Production {
    policy: RetryPolicy,
    /// One a client, where there are any.
    budgets: Vec<Arc<dyn Budget>>,
    /// The same budgets where the clients share one, and who of them wants its coordinator to look.
    fleet: Option<(Vec<Arc<FleetBudget>>, Bells)>,
    breakers: Vec<Breaker>,
}

impl Production {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let clients = &scenario.clients;
        let count = clients.count.get();
        let Some(budget) = clients.retry.as_ref().and_then(|retry| retry.budget.as_ref()) else {
            return Self::with_budgets(scenario, Vec::new());
        };
        let limits = budget.to_config();
        match budget.scope {
            BudgetScope::Client => {
                let budget = |_| -> Arc<dyn Budget> { Arc::new(TokenBucket::new(&limits)) };
                Self::with_budgets(scenario, (0..count).map(budget).collect())
            }
            BudgetScope::Fleet => {
                let (budgets, bells) = budgets_of_a_fleet(count, limits);
                let shared = budgets.iter().map(|budget| -> Arc<dyn Budget> { Arc::clone(budget) as _ }).collect();
                Self { fleet: Some((budgets, bells)), ..Self::with_budgets(scenario, shared) }
            }
        }
    }

    /// With other budgets than the scenario's, one a client.
    pub(crate) fn with_budgets(scenario: &Scenario, budgets: Vec<Arc<dyn Budget>>) -> Self {
        let clients = &scenario.clients;
        let seeds = Streams::new(scenario.seed, "breaker");
        let breaker = |config, client| Breaker::new(config, seeds.seed(u64::from(client))).ok();
        let breakers = clients.breaker.as_ref().map_or_else(Vec::new, |config| {
            (0..clients.count.get()).filter_map(|client| breaker(config, client)).collect()
        });
        Self { policy: clients.policy(), budgets, fleet: None, breakers }
    }
}

/// What a call of one client goes by.
#[derive(Debug)]
pub(crate) struct ClientTerms<'p> {
    policy: &'p RetryPolicy,
    budget: Option<&'p dyn Budget>,
    breaker: Option<&'p Breaker>,
}

impl Terms for ClientTerms<'_> {
    fn policy(&self) -> &RetryPolicy {
        self.policy
    }

    fn budget(&self) -> Option<&dyn Budget> {
        self.budget
    }

    fn gates(&self) -> [Option<&dyn Gate>; GATES_MAX] {
        [self.breaker.map(|breaker| -> &dyn Gate { breaker }), None, None]
    }
}

impl<'p> Course for &'p Production {
    type Call = CallMachine<ClientTerms<'p>>;

    #[inline]
    fn begin(&self, client: u32, entropy: u64, now: Instant) -> Self::Call {
        let client = client as usize;
        let budget = self.budgets.get(client).map(|budget| &**budget);
        let terms = ClientTerms { policy: &self.policy, budget, breaker: self.breakers.get(client) };
        CallMachine::new(terms, entropy, now)
    }

    #[inline]
    fn tried(call: &Self::Call) -> &Tried {
        call.tried()
    }

    fn fleet(&self) -> Option<(&[Arc<FleetBudget>], &Bells)> {
        self.fleet.as_ref().map(|(budgets, bells)| (&**budgets, bells))
    }

    #[inline]
    fn hedges_denied(call: &Self::Call) -> u32 {
        call.tally().hedges_denied
    }
}
