//! What a simulation is made of: the same values whether a file says them or a program.
//!
//! The shapes are those of scenario files, version 1. Everything here is plain data; [`Scenario::validate`] says
//! what is impossible about it, and the engine refuses what was not found valid.

mod arrivals;
mod budget;
mod checks;
mod clients;
mod distribution;
mod expect;
mod fault;
#[cfg(feature = "schema")]
mod schema;
mod servers;
mod trace;
mod validate;
mod world;

use core::time::Duration;

use mesh_core::balance::Strategy;
use serde::{Deserialize, Serialize};

pub use arrivals::{Arrivals, RateStep};
pub use budget::{BudgetScope, RetryBudget};
pub use checks::HealthChecks;
pub(crate) use clients::Threads;
pub use clients::{BackoffShape, CancelMode, ClientZone, Clients, Hedge, Keys, Retry};
pub use distribution::{Distribution, Share};
pub use expect::{Bound, Expectation};
pub use fault::{Direction, Fault, FaultKind, Target};
pub use servers::{Discipline, ServerGroup};
pub use trace::TraceError;
pub use world::{Discovery, Network, Store};

/// A simulation: servers, clients, what happens to them, and the strategies to compare.
///
/// ```
/// use std::time::Duration;
/// use mesh_sim::model::scenario::{Arrivals, Distribution, Scenario, ServerGroup};
///
/// let service = Distribution::exponential(Duration::from_millis(10));
/// let scenario = Scenario::new("ten-servers", Duration::from_secs(30), Arrivals::poisson(800.0))
///     .servers(ServerGroup::new("api", 10, service));
/// assert_eq!(scenario.servers.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Scenario {
    /// The version of the format: 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1)))]
    pub version: u32,
    /// What it is called: lower-case letters, digits and hyphens.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[a-z0-9-]{1,100}$")))]
    pub name: String,
    /// What it teaches.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What all randomness is derived from.
    #[serde(default = "one")]
    pub seed: u64,
    /// When arrivals stop; what is in flight then is drained and still counted.
    #[serde(with = "mesh_core::text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Span"))]
    pub duration: Duration,
    /// Requests that arrive before are simulated and not measured.
    #[serde(default, with = "mesh_core::text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "schema::Span"))]
    pub warmup: Duration,
    /// The strategies to compare, each in a run of its own.
    #[cfg_attr(feature = "schema", schemars(schema_with = "schema::strategies"))]
    pub strategies: Vec<Strategy>,
    /// The servers, in groups of identical ones.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub servers: Vec<ServerGroup>,
    /// Those who call.
    pub clients: Clients,
    /// What is between clients and servers.
    #[serde(default)]
    pub network: Network,
    /// How the registry's changes reach the clients.
    #[serde(default)]
    pub discovery: Discovery,
    /// The store that the clients' coordinator speaks with.
    #[serde(default)]
    pub store: Store,
    /// What goes wrong, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What must come out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
}

impl Scenario {
    /// The version of the format that this crate reads.
    pub const VERSION: u32 = 1;

    /// A scenario with one client, no servers yet and the default strategy.
    #[must_use]
    pub fn new(name: impl Into<String>, duration: Duration, arrivals: Arrivals) -> Self {
        Self {
            version: Self::VERSION,
            name: name.into(),
            description: String::new(),
            seed: 1,
            duration,
            warmup: Duration::ZERO,
            strategies: Vec::new(),
            servers: Vec::new(),
            clients: Clients::new(arrivals),
            network: Network::default(),
            discovery: Discovery::default(),
            store: Store::default(),
            faults: Vec::new(),
            expect: Vec::new(),
        }
    }

    /// Adds a group of servers.
    #[must_use]
    pub fn servers(mut self, group: ServerGroup) -> Self {
        self.servers.push(group);
        self
    }

    /// Adds a strategy to compare.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategies.push(strategy);
        self
    }

    /// Sets who calls.
    #[must_use]
    pub fn clients(mut self, clients: Clients) -> Self {
        self.clients = clients;
        self
    }

    /// Sets how long requests are simulated before they are measured.
    #[must_use]
    pub const fn warmup(mut self, warmup: Duration) -> Self {
        self.warmup = warmup;
        self
    }

    /// Sets what all randomness is derived from.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets what is between clients and servers.
    #[must_use]
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Adds an expectation.
    #[must_use]
    pub fn expect(mut self, expectation: Expectation) -> Self {
        self.expect.push(expectation);
        self
    }

    /// How many servers there are in all groups.
    #[must_use]
    pub fn server_count(&self) -> u64 {
        self.servers.iter().map(|group| u64::from(group.count)).sum()
    }
}

const fn one() -> u64 {
    1
}
