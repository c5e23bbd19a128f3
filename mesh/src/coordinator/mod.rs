//! Budgets for retries that the processes of a fleet share: one for each service that is called.
//!
//! Decides nothing: mesh-retry's machine says what to tell the store that all share and what to ask of it, a task carries it
//! there and back, and calls are answered from what the process holds meanwhile.

mod bell;
mod driver;
mod membership;
mod telling;

use std::sync::Arc;

use mesh_cache::Environment;
use mesh_cache::coordinator_store::{CoordinatorStore, state_key};
use mesh_core::recorder::Recorder;
use mesh_core::service::{ConfigError, ServiceName};
use mesh_retry::coordinator::budget::{FleetBudget, FleetBudgetConfig, FleetMachine};
use mesh_retry::coordinator::store::ProcessId;

use bell::Bell;
pub(crate) use driver::FleetDriver;
pub(crate) use membership::Membership;
use telling::Telling;

/// What the budgets of all services are made with.
#[derive(Debug)]
pub(crate) struct Coordination {
    config: FleetBudgetConfig,
    store: Arc<dyn CoordinatorStore>,
    /// What keeps this fleet's budgets from another's in the same store.
    namespace: String,
}

impl Coordination {
    /// What `config` asks for, if it asks for anything, over `store`.
    pub(crate) fn new(
        config: Option<FleetBudgetConfig>,
        store: Option<Arc<dyn CoordinatorStore>>,
        namespace: &str,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(config) = config else { return Ok(None) };
        let store = store.ok_or_else(|| ConfigError::new("calls.fleet", "on", NEEDS_A_STORE))?;
        Ok(Some(Self { config, store, namespace: namespace.to_owned() }))
    }

    /// Takes part in the budget for the calls to `service`, under a name that no other process has; the driver is to be run.
    pub(crate) fn join(
        &self,
        service: &ServiceName,
        environment: &Environment,
        recorder: &Arc<dyn Recorder>,
    ) -> (Membership, FleetDriver) {
        let Environment { clock, entropy, .. } = environment;
        let bell = Bell::default();
        let budget = Arc::new(FleetBudget::new(&self.config, Box::new(bell.clone())));
        let name = state_key(&[&self.namespace, service.as_str(), "retry-budget"]);
        let process = ProcessId::new((u128::from(entropy.next_u64()) << 64) | u128::from(entropy.next_u64()));
        let machine = FleetMachine::new(Arc::clone(&budget), name, process, entropy.next_u64(), clock.now());
        let telling = Telling::new(service.clone(), Arc::clone(recorder));
        let driver = FleetDriver::new(machine, bell.clone(), Arc::clone(&self.store), Arc::clone(clock), telling);
        (Membership::new(budget, bell, driver.ended()), driver)
    }
}

const NEEDS_A_STORE: &str =
    "must come with a store that processes share: see ServiceMeshBuilder::redis and ServiceMeshBuilder::coordinator";
