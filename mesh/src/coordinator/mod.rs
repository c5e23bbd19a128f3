//! Budgets and slots for retries that the processes of a fleet share: those of each service that is called.
//!
//! Decides nothing: mesh-retry's machine says what to tell the store that all share and what to ask of it, a task carries it
//! there and back, and calls are answered from what the process holds meanwhile.

mod bell;
mod driver;
mod home;
mod membership;
mod slots;
mod telling;

use std::sync::Arc;

use mesh_cache::Environment;
use mesh_cache::coordinator_store::{CoordinatorStore, state_key};
use mesh_core::recorder::Recorder;
use mesh_core::service::{ConfigError, ServiceName};
use mesh_retry::coordinator::budget::{FleetBudget, FleetBudgetConfig, FleetMachine};
use mesh_retry::coordinator::slots::{RetrySlots, SlotsConfig, SlotsMachine};
use mesh_retry::coordinator::store::ProcessId;

use crate::call::CallsConfig;
use bell::Bell;
pub(crate) use driver::FleetDriver;
pub(crate) use home::Home;
pub(crate) use membership::Membership;
pub(crate) use slots::{SlotsDriver, SlotsSeat};
use telling::Telling;

/// What the budgets and slots of all services are made with.
#[derive(Debug)]
pub(crate) struct Coordination {
    budget: Option<FleetBudgetConfig>,
    slots: Option<SlotsConfig>,
    store: Arc<dyn CoordinatorStore>,
    /// What keeps this fleet's budgets from another's in the same store.
    namespace: String,
}

impl Coordination {
    /// What `config` asks for, if it asks for anything, over the store that is at `home`.
    pub(crate) fn new(config: &CallsConfig, home: &Home, namespace: &str) -> Result<Option<Self>, ConfigError> {
        let field = match (config.fleet, config.retry_slots) {
            (Some(_), _) => "calls.fleet",
            (None, Some(_)) => "calls.retry_slots",
            (None, None) => return Ok(None),
        };
        let (budget, slots) = (config.fleet, config.retry_slots);
        let waits = [budget.map(|budget| budget.reply_within), slots.map(|slots| slots.reply_within)];
        let store = home.store(waits.into_iter().flatten().max().unwrap_or_default())?;
        let store = store.ok_or_else(|| ConfigError::new(field, "on", NEEDS_A_STORE))?;
        Ok(Some(Self { budget, slots, store, namespace: namespace.to_owned() }))
    }

    /// Takes part in the budget for the calls to `service`, under a name that no other process has, where there is one; the
    /// driver is to be run.
    pub(crate) fn join(
        &self,
        service: &ServiceName,
        environment: &Environment,
        recorder: &Arc<dyn Recorder>,
    ) -> Option<(Membership, FleetDriver)> {
        let config = self.budget?;
        let Environment { clock, entropy, .. } = environment;
        let bell = Bell::default();
        let budget = Arc::new(FleetBudget::new(&config, Box::new(bell.clone())));
        let name = state_key(&[&self.namespace, service.as_str(), "retry-budget"]);
        let process = ProcessId::new((u128::from(entropy.next_u64()) << 64) | u128::from(entropy.next_u64()));
        let machine = FleetMachine::new(Arc::clone(&budget), name, process, entropy.next_u64(), clock.now());
        let telling = Telling::new(service.clone(), Arc::clone(recorder));
        let driver = FleetDriver::new(machine, bell.clone(), Arc::clone(&self.store), Arc::clone(clock), telling);
        Some((Membership::new(budget, bell, driver.ended()), driver))
    }

    /// Takes part in the slots for the retries of calls to `service`, where there are some; the driver is to be run.
    pub(crate) fn slots(
        &self,
        service: &ServiceName,
        environment: &Environment,
        recorder: &Arc<dyn Recorder>,
    ) -> Option<(SlotsSeat, SlotsDriver)> {
        let config = self.slots?;
        let Environment { clock, entropy, .. } = environment;
        let bell = Bell::default();
        let slots = Arc::new(RetrySlots::new(&config, Arc::new(bell.clone())));
        let name = state_key(&[&self.namespace, service.as_str(), "retry-slots"]);
        let machine = SlotsMachine::new(config, name, Arc::clone(&slots), entropy.next_u64(), clock.now());
        let (store, recorder) = (Arc::clone(&self.store), Arc::clone(recorder));
        let store = (store, config.reply_within);
        let driver = SlotsDriver::new(machine, bell.clone(), store, Arc::clone(clock), service.clone(), recorder);
        Some((SlotsSeat::new(slots, bell), driver))
    }
}

/// What is told to whoever configures what there is no store for.
pub(crate) const NEEDS_A_STORE: &str =
    "must come with a store that processes share: see ServiceMeshBuilder::redis and ServiceMeshBuilder::coordinator";
