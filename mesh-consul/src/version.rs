//! The agent's version, and what it is too old for.
//!
//! An old agent passes over query parameters that it does not know and answers for the wrong scope with a 200, so what
//! depends on a version is not sent unless the version is known to have it.

use std::fmt;

use serde::Deserialize;

use crate::agent::decode;
use crate::client::Consul;
use crate::error::{Cause, ConsulError, ErrorClass};
use crate::options::QueryOptions;
use crate::request::Request;

/// The version of a Consul agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Major and minor number.
    pub number: (u32, u32),
    /// Whether it is Consul Enterprise.
    pub enterprise: bool,
}

impl Version {
    /// Reads `1.8.7`, `1.17.0+ent`, `v1.20.1-dev`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.trim_start_matches('v').split(|c: char| !c.is_ascii_digit());
        let mut number = || numbers.next()?.parse().ok();
        Some(Self { number: (number()?, number()?), enterprise: text.contains("ent") })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.number;
        write!(f, "{major}.{minor}{}", if self.enterprise { " Enterprise" } else { "" })
    }
}

/// What an agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) version: Option<Version>,
    pub(crate) datacenter: Option<String>,
}

/// Asks the agent who it is; where the token may not read that, its datacenter is the nearest.
pub(crate) async fn probe(consul: &Consul) -> Result<Agent, ConsulError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Itself {
        config: ItsConfig,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct ItsConfig {
        version: String,
        #[serde(default)]
        datacenter: Option<String>,
    }
    let operation = "read agent";
    match consul.send(&Request::get(operation, &["agent", "self"])).await {
        Ok(answer) => {
            let ItsConfig { version, datacenter } = decode::<Itself>(operation, &answer)?.config;
            Ok(Agent { version: Version::parse(&version), datacenter })
        }
        Err(error) if error.class() == ErrorClass::AclDenied => {
            let answer = consul.send(&Request::get("list datacenters", &["catalog", "datacenters"])).await?;
            // Sorted by distance, so the agent's own comes first.
            let datacenters: Vec<String> = decode("list datacenters", &answer)?;
            Ok(Agent { version: None, datacenter: datacenters.into_iter().next() })
        }
        Err(error) => Err(error),
    }
}

impl Consul {
    /// Refuses what this agent would pass over or cannot do, before it is sent.
    pub(crate) async fn verify_supported(&self, options: &QueryOptions) -> Result<(), ConsulError> {
        let config = self.config();
        let needs = [
            ("namespace", options.namespace.is_some() || config.namespace.is_some(), (1, 7), true),
            ("partition", options.partition.is_some() || config.partition.is_some(), (1, 11), true),
            ("peer", options.peer.is_some(), (1, 13), false),
        ];
        for (field, _, since, enterprise) in needs.into_iter().filter(|(_, needed, ..)| *needed) {
            let version = self.version().await?;
            let able = version.is_some_and(|version| version.number >= since && (version.enterprise || !enterprise));
            if !able {
                let edition = if enterprise { "Consul Enterprise" } else { "Consul" };
                let found = version.map_or("an unknown version (agent:read is missing)".to_owned(), |v| v.to_string());
                let reason = format!("{field} needs {edition} {}.{} or later; the agent is {found}", since.0, since.1);
                return Err(ConsulError::new("verify version", Cause::Unsupported(reason.into())));
            }
        }
        Ok(())
    }
}
