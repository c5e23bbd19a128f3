//! Three servers and a client agent, as in production.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::ConsulServer;
use super::builder::{ConsulBuilder, Role};
use crate::ip;
use crate::server::{ADDRESSES_MAX, POLL, READY_WITHIN, all_ready};

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
        for _ in 0..ADDRESSES_MAX {
            let ips: Vec<Ipv4Addr> = (0..3).map(|_| ip::next()).collect();
            let begin = |ip: Ipv4Addr, role: Role| {
                let mut server = ConsulServer::prepare(builder.clone().role(role), ip);
                server.launch();
                server
            };
            let server = |ip: &Ipv4Addr| begin(*ip, Role::Server { expect: ips.len(), join: ips.clone() });
            let mut cluster = Self {
                servers: ips.iter().map(server).collect(),
                client: begin(ip::next(), Role::Client { join: ips.clone() }),
            };
            if all_ready(cluster.servers.iter_mut().chain([&mut cluster.client])).await {
                return cluster;
            }
        }
        panic!("every address is taken")
    }

    /// Which of the servers leads, waiting for an election.
    ///
    /// # Panics
    /// Where nobody leads within 30 s.
    pub async fn leader(&self) -> usize {
        let elected = tokio::time::timeout(READY_WITHIN, async {
            loop {
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
                tokio::time::sleep(POLL).await;
            }
        });
        elected.await.unwrap_or_else(|_| panic!("no server leads within {:?}", READY_WITHIN))
    }
}
