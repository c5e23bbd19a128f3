//! The scenarios that come with the simulator.

use crate::reading::{self, Read, Unreadable};

/// A scenario that comes with the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shipped {
    /// What it is called.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

impl Shipped {
    /// Reads it.
    ///
    /// # Errors
    /// None: a test reads them all. A scenario of one's own would be refused in the same way.
    pub fn read(&self) -> Result<Read, Unreadable> {
        reading::read(&format!("{}.toml", self.name), self.text)
    }
}

/// All of them, the simplest first.
pub const ALL: &[Shipped] = &[
    Shipped { name: "steady", text: include_str!("../scenarios/steady.toml") },
    Shipped { name: "linkerd-slow-backend", text: include_str!("../scenarios/linkerd-slow-backend.toml") },
    Shipped { name: "black-hole", text: include_str!("../scenarios/black-hole.toml") },
    Shipped { name: "heterogeneous-fleet", text: include_str!("../scenarios/heterogeneous-fleet.toml") },
    Shipped { name: "hashing-churn", text: include_str!("../scenarios/hashing-churn.toml") },
    Shipped { name: "many-by-many", text: include_str!("../scenarios/many-by-many.toml") },
    Shipped { name: "slow-discovery", text: include_str!("../scenarios/slow-discovery.toml") },
    Shipped { name: "gray-failure", text: include_str!("../scenarios/gray-failure.toml") },
    Shipped { name: "correlated-failure", text: include_str!("../scenarios/correlated-failure.toml") },
    Shipped { name: "flapping", text: include_str!("../scenarios/flapping.toml") },
    Shipped { name: "mass-check-failure", text: include_str!("../scenarios/mass-check-failure.toml") },
    Shipped { name: "retry-storm", text: include_str!("../scenarios/retry-storm.toml") },
    Shipped { name: "fleet-budget", text: include_str!("../scenarios/fleet-budget.toml") },
    Shipped { name: "store-outage", text: include_str!("../scenarios/store-outage.toml") },
    Shipped { name: "breaker-trip", text: include_str!("../scenarios/breaker-trip.toml") },
    Shipped { name: "hedging-long-tail", text: include_str!("../scenarios/hedging-long-tail.toml") },
    Shipped { name: "rolling-restart", text: include_str!("../scenarios/rolling-restart.toml") },
];

/// The one called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Shipped> {
    ALL.iter().find(|shipped| shipped.name == name)
}
