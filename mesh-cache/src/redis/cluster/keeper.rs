//! Looks after a cluster's topology: asks for it at the start, when a node is lost, when a call makes it doubtful, and
//! every so often; more often while a slot has no node or a node is not connected.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Value};
use mesh_core::rng::Rng;
use tokio::sync::Notify;

use super::merge::Merge;
use super::topology::Topology;
use super::{Map, State};
use crate::env::Environment;
use crate::redis::client::{LinkState, RedisLink};
use crate::redis::connect::Connector;
use crate::redis::event::Relay;
use crate::redis::link::full_jitter;
use crate::redis::url::Node;

/// The one task of a cluster, besides those of its links.
pub(super) struct Keeper {
    pub(super) connector: Arc<Connector>,
    pub(super) environment: Environment,
    pub(super) state: Arc<State>,
    pub(super) merge: Arc<Merge>,
    pub(super) seeds: Vec<Node>,
}

impl Keeper {
    pub(super) async fn run(self) {
        let mut rng = Rng::from_seed(self.environment.entropy.next_u64());
        let mut failures = 0;
        loop {
            let wait = match self.topology().await {
                Some(topology) => {
                    self.take_in(&topology);
                    failures = 0;
                    tokio::time::sleep(REFRESHES_APART).await;
                    self.patience()
                }
                None => {
                    failures += 1;
                    tracing::debug!(failures, "no node of the cluster says which serves what");
                    self.state.nobody_answers();
                    let link = &self.connector.config().link;
                    full_jitter(failures - 1, link.retry, link.retry_max, &mut rng)
                }
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep(wait) => {}
                // Where nobody answers, asking sooner helps nobody.
                () = wanted(&self.state.wanted, &self.merge.lost), if failures == 0 => {}
            }
        }
    }

    /// How long to wait for a reason to ask again: not long while a node is not connected, since another may take over,
    /// nor while a slot has none, since the node that was asked may not have heard yet of the one that has it.
    fn patience(&self) -> Duration {
        let map = self.state.map.load();
        let is_whole =
            map.is_complete() && map.links.iter().all(|(_, link)| matches!(link.state(), LinkState::Up { .. }));
        let period = self.connector.config().cluster_refresh;
        if is_whole { period } else { period.min(REFRESH_UNSETTLED) }
    }

    /// What the first node says that answers: those that are connected, then the seeds.
    async fn topology(&self) -> Option<Topology> {
        let mut cmd = ::redis::cmd("CLUSTER");
        cmd.arg("SLOTS");
        let deadline = self.connector.config().link.ping_deadline;
        let map = self.state.map.load_full();
        for (node, link) in &map.links {
            if matches!(link.state(), LinkState::Up { .. })
                && let Ok(reply) = link.query(&cmd, deadline).await
                && let Some(topology) = Topology::of(&reply, node)
            {
                return Some(topology);
            }
        }
        for node in &self.seeds {
            let asked = tokio::time::timeout(self.connector.config().link.connect_deadline, self.ask(node, &cmd)).await;
            if let Ok(Some(topology)) = asked.map(|reply| reply.and_then(|reply| Topology::of(&reply, node))) {
                return Some(topology);
            }
        }
        None
    }

    async fn ask(&self, node: &Node, cmd: &Cmd) -> Option<Value> {
        let reply = self.connector.ask(node, self.connector.identity(), cmd).await;
        reply.inspect_err(|error| tracing::debug!(%node, ?error, "a node of the cluster does not answer")).ok()
    }

    /// Keeps the links of nodes that stay, begins those of new ones, and ends the others.
    fn take_in(&self, topology: &Topology) {
        let old = self.state.map.load_full();
        let link_to = |node: &Node| {
            let kept = old.links.iter().find(|(known, _)| known == node).map(|(_, link)| link.clone());
            let relay = || Arc::clone(&self.merge) as Arc<dyn Relay>;
            kept.unwrap_or_else(|| RedisLink::over(self.connector.to(node), &self.environment, Some(relay())))
        };
        let links = topology.nodes().iter().map(|node| (node.clone(), link_to(node))).collect();
        self.state.set(Map { topology: Some(topology.clone()), links });
        self.merge.want(topology.nodes().len(), topology.is_complete());
    }
}

async fn wanted(asked: &Notify, lost: &Notify) {
    tokio::select! {
        biased;
        () = asked.notified() => {}
        () = lost.notified() => {}
    }
}

/// How long to wait at least between two questions, so that neither a slot that moves back and forth nor calls that find
/// nobody flood the nodes.
const REFRESHES_APART: Duration = Duration::from_millis(100);
/// How long to wait at most while not every key has a node that is connected: less than a failover takes.
const REFRESH_UNSETTLED: Duration = Duration::from_secs(1);
