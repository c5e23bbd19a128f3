//! What is between clients, servers and the registry.

use serde::{Deserialize, Serialize};

use super::Distribution;

/// What is between clients and servers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Network {
    /// How long a message takes, one way.
    pub latency: Distribution,
    /// The share of messages that are never seen again: 0 to 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub loss: f64,
}

/// How the registry's changes reach the clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Discovery {
    /// From a change in the registry to each client's view.
    pub delay: Distribution,
}

/// The store that the clients' coordinator speaks with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Store {
    /// How long a command or a reply takes, one way.
    pub latency: Distribution,
}

impl Network {
    /// A network without losses.
    #[must_use]
    pub const fn with_latency(latency: Distribution) -> Self {
        Self { latency, loss: 0.0 }
    }
}
