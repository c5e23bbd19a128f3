//! Budgets and slots for retries that the processes of a fleet share, and what they have found out of whom they call: for each
//! service that is called.
//!
//! Decides nothing: mesh-retry's machine says what to tell the store that all share and what to ask of it, a task carries it
//! there and back, and calls are answered from what the process holds meanwhile.

mod asking;
mod bell;
mod driver;
mod home;
mod membership;
mod slots;
mod telling;
mod votes;

use std::sync::Arc;

use mesh_cache::Environment;
use mesh_cache::coordinator_store::{CoordinatorStore, state_key};
use mesh_core::port::Entropy;
use mesh_core::recorder::Recorder;
use mesh_core::service::{ConfigError, ServiceName, Zone};
use mesh_retry::coordinator::budget::{FleetBudget, FleetBudgetConfig, FleetMachine};
use mesh_retry::coordinator::slots::{RetrySlots, SlotsConfig, SlotsMachine};
use mesh_retry::coordinator::store::ProcessId;

use crate::call::CallsConfig;
pub(crate) use asking::ask;
use bell::Bell;
pub(crate) use driver::FleetDriver;
pub(crate) use home::Home;
pub(crate) use membership::{Membership, Parts};
pub(crate) use slots::{SlotsDriver, SlotsSeat};
use telling::{SkewTelling, Telling};
use votes::Voting;
pub(crate) use votes::{Shared, VoterSeat, Voters, Votes};

/// What the budgets, slots and votes of all services are made with.
#[derive(Debug)]
pub(crate) struct Coordination {
    budget: Option<FleetBudgetConfig>,
    slots: Option<SlotsConfig>,
    voting: Option<Voting>,
    store: Arc<dyn CoordinatorStore>,
    /// What keeps this fleet's state from another's in the same store.
    namespace: String,
}

impl Coordination {
    /// What `config` asks for, if it asks for anything, over the store that is at `home`, for a process in `zone`.
    pub(crate) fn new(
        config: &CallsConfig,
        home: &Home,
        (namespace, zone): (&str, Option<&Zone>),
        entropy: &dyn Entropy,
    ) -> Result<Option<Self>, ConfigError> {
        let CallsConfig { fleet: budget, retry_slots: slots, votes, instance_votes, .. } = *config;
        let wanted = [
            ("calls.fleet", budget.map(|budget| budget.reply_within)),
            ("calls.retry_slots", slots.map(|slots| slots.reply_within)),
            ("calls.votes", votes.map(|votes| votes.reply_within)),
            ("calls.instance_votes", instance_votes.map(|votes| votes.reply_within)),
        ];
        let Some(longest) = wanted.into_iter().filter_map(|(_, wait)| wait).max() else { return Ok(None) };
        let field = wanted.into_iter().find_map(|(field, wait)| wait.map(|_| field)).unwrap_or_default();
        let store = home.store(longest)?.ok_or_else(|| ConfigError::new(field, "on", NEEDS_A_STORE))?;
        let voting = Voting::new(config, zone.cloned(), entropy);
        Ok(Some(Self { budget, slots, voting, store, namespace: namespace.to_owned() }))
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
        let process = process(&**entropy);
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
        let store = (Arc::clone(&self.store), config.reply_within);
        // The same store answers the budget, where there is one.
        let measures_skew = self.budget.is_none();
        let skew = measures_skew.then(|| SkewTelling::new(service.clone(), Arc::clone(recorder)));
        let telling = slots::Telling { service: service.clone(), recorder: Arc::clone(recorder), skew };
        let driver = SlotsDriver::new(machine, bell.clone(), store, Arc::clone(clock), telling);
        Some((SlotsSeat::new(slots, bell), driver))
    }

    /// Takes part in the votes on `service` and its instances, where there are some; the voters are to be run.
    pub(crate) fn votes(
        &self,
        service: &ServiceName,
        environment: &Environment,
        recorder: &Arc<dyn Recorder>,
    ) -> Option<(Votes, Voters)> {
        let voting = self.voting.as_ref()?;
        Some(voting.on((service, &self.namespace), &self.store, environment, recorder))
    }
}

/// A name that no other process has.
fn process(entropy: &dyn Entropy) -> ProcessId {
    ProcessId::new((u128::from(entropy.next_u64()) << 64) | u128::from(entropy.next_u64()))
}

/// What is told to whoever configures what there is no store for.
pub(crate) const NEEDS_A_STORE: &str =
    "must come with a store that processes share: see ServiceMeshBuilder::redis and ServiceMeshBuilder::coordinator";
