//! Three servers and a client agent, as in production.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::ConsulServer;
use super::builder::{ConsulBuilder, Role};
use crate::server::{READY_WITHIN, Tries, start_all};

/// Three servers that elect a leader, and an agent that keeps nothing but its own registrations.
#[derive(Debug)]
pub struct ConsulCluster {
    /// The servers.
    pub servers: Vec<ConsulServer>,
    /// The agent that a service talks to.
    pub client: ConsulServer,
}

impl ConsulCluster {
    /// Starts all of it and waits until the agent sees itself in the catalogue.
    ///
    /// # Panics
    /// Where Consul is not installed, or the cluster does not become ready.
    pub async fn start() -> Self {
        Self::start_with(ConsulServer::builder()).await
    }

    /// As [`ConsulCluster::start`], each of them with the settings of `builder`.
    ///
    /// # Panics
    /// Where Consul is not installed, or the cluster does not become ready.
    pub async fn start_with(builder: ConsulBuilder) -> Self {
        let started = start_all(SERVERS + 1, |ip, ips| {
            let join: Vec<Ipv4Addr> = ips.iter().take(SERVERS).copied().collect();
            let role = if join.contains(&ip) { Role::Server { expect: SERVERS, join } } else { Role::Client { join } };
            ConsulServer::prepare(builder.clone().role(role), ip)
        });
        let mut servers = started.await;
        let client = servers.pop().unwrap_or_else(|| panic!("there is one more than servers"));
        Self { servers, client }
    }

    /// Which of the servers leads, waiting for an election.
    ///
    /// # Panics
    /// Where nobody leads within 30 s.
    pub async fn leader(&self) -> usize {
        let mut tries = Tries::within(READY_WITHIN);
        while tries.again().await {
            for server in self.servers.iter().filter(|server| server.pid().is_some()) {
                let asked = tokio::time::timeout(Duration::from_secs(1), server.get("/v1/status/leader"));
                let Ok(Ok(reply)) = asked.await else { continue };
                let leads = |server: &ConsulServer| reply.body.contains(&format!("\"{}:", server.ip()));
                if let Some(leader) = self.servers.iter().position(leads)
                    && self.servers.get(leader).is_some_and(|leader| leader.pid().is_some())
                {
                    return leader;
                }
            }
        }
        panic!("no server leads within {READY_WITHIN:?}")
    }
}

const SERVERS: usize = 3;
