//! Masters that share the slots, and replicas that take over.

use super::builder::{RedisBuilder, Role};
use super::{RedisServer, Reply};
use crate::server::{READY_WITHIN, Tries, start_all};

/// Three masters with a third of the slots each, and a replica of each where they were asked for.
///
/// It speaks plain text among its nodes.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, in the order of their slots; then their replicas in the same order.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three masters and waits until all of them find the cluster complete.
    ///
    /// # Panics
    /// Where Redis is not installed, or the cluster does not become ready.
    pub async fn start() -> Self {
        Self::start_with(RedisServer::builder()).await
    }

    /// As [`RedisCluster::start`], each of them with the settings of `builder`.
    ///
    /// # Panics
    /// Where Redis is not installed, or the cluster does not become ready.
    pub async fn start_with(builder: RedisBuilder) -> Self {
        Self::start_nodes(builder, MASTERS).await
    }

    /// As [`RedisCluster::start_with`], with a replica of each master that takes over when that is gone for 2 s.
    ///
    /// # Panics
    /// Where Redis is not installed, or the cluster does not become ready.
    pub async fn start_with_replicas(builder: RedisBuilder) -> Self {
        Self::start_nodes(builder, MASTERS * 2).await
    }

    async fn start_nodes(builder: RedisBuilder, count: usize) -> Self {
        let builder = builder.role(Role::Cluster);
        let started = start_all(count, |ip, _| RedisServer::prepare(builder.clone(), ip));
        let cluster = Self { nodes: started.await };
        cluster.introduce().await;
        cluster.assign_slots().await;
        cluster.assign_replicas().await;
        cluster.settle().await;
        cluster
    }

    /// Lets the nodes know each other.
    async fn introduce(&self) {
        for (node, epoch) in self.nodes.iter().zip(1..) {
            // Those that all begin with the same one would have to find others first.
            node.demand(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]).await;
        }
        for other in self.nodes.iter().skip(1) {
            let (ip, port) = (other.ip().to_string(), other.port().to_string());
            self.node(0).demand(&["CLUSTER", "MEET", &ip, &port]).await;
        }
        self.wait_for(&[&self.all_known()]).await;
    }

    async fn assign_slots(&self) {
        let first = |number: usize| number * usize::from(SLOTS) / MASTERS;
        for (number, node) in self.nodes.iter().take(MASTERS).enumerate() {
            let slots = (first(number)..first(number + 1)).map(|slot| slot.to_string());
            let words: Vec<String> = ["CLUSTER", "ADDSLOTS"].map(str::to_owned).into_iter().chain(slots).collect();
            node.demand(&words).await;
        }
    }

    async fn assign_replicas(&self) {
        for (replica, master) in self.nodes.iter().skip(MASTERS).zip(&self.nodes) {
            let id = id(master).await;
            replica.demand(&["CLUSTER", "REPLICATE", &id]).await;
        }
        for replica in self.nodes.iter().skip(MASTERS) {
            replica.wait_until_it_follows().await;
        }
    }

    /// Waits until every node that runs finds the cluster complete: well, of all its nodes, and with an owner of each slot.
    ///
    /// One that was set to serve without all slots is content before it has heard who has them.
    ///
    /// # Panics
    /// Where it does not become so.
    pub async fn settle(&self) {
        self.wait_for(&["cluster_state:ok", &format!("cluster_slots_assigned:{SLOTS}"), &self.all_known()]).await;
    }

    /// What a node says that knows all the others.
    fn all_known(&self) -> String {
        format!("cluster_known_nodes:{}", self.nodes.len())
    }

    /// Waits until every node that runs says all of `lines` of the cluster.
    async fn wait_for(&self, lines: &[&str]) {
        for node in self.running() {
            let mut tries = Tries::within(READY_WITHIN);
            loop {
                let info = node.ask(&["CLUSTER", "INFO"]).await;
                let text = info.as_ref().and_then(Reply::text).unwrap_or_default();
                if lines.iter().all(|line| text.lines().any(|said| said == *line)) {
                    break;
                }
                if !tries.again().await {
                    node.fail(&format!("it does not say {lines:?} but {text}"));
                }
            }
        }
    }

    fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.nodes.iter().filter(|node| node.pid().is_some())
    }

    /// The slot of `key`.
    ///
    /// # Panics
    /// Where no node answers.
    pub async fn slot_of(&self, key: &str) -> u16 {
        for node in self.running() {
            let slot = node.ask(&["CLUSTER", "KEYSLOT", key]).await.and_then(|reply| reply.integer());
            if let Some(slot) = slot.and_then(|slot| slot.try_into().ok()) {
                return slot;
            }
        }
        panic!("no node answers")
    }

    /// Which of the nodes has `slot`, as the first of them that answers has it.
    ///
    /// # Panics
    /// Where no node answers, or nobody has it.
    pub async fn owner_of(&self, slot: u16) -> usize {
        for node in self.running() {
            if let Some(owner) = self.owner_told_by(node, slot).await {
                return owner;
            }
        }
        panic!("no node knows who has slot {slot}")
    }

    async fn owner_told_by(&self, node: &RedisServer, slot: u16) -> Option<usize> {
        let slots = node.ask(&["CLUSTER", "SLOTS"]).await?;
        let bounds = |range: &Reply| Some((range.items().first()?.integer()?, range.items().get(1)?.integer()?));
        let has = |range: &&Reply| bounds(range).is_some_and(|(first, last)| (first..=last).contains(&i64::from(slot)));
        let ip = slots.items().iter().find(has)?.items().get(2)?.items().first()?.text()?;
        self.nodes.iter().position(|node| node.ip().to_string() == ip)
    }

    /// Moves `slot` with its keys to the node `to`, and waits until all nodes know.
    ///
    /// # Panics
    /// Where a node refuses.
    pub async fn migrate_slot(&self, slot: u16, to: usize) {
        self.begin_migration(slot, to).await;
        self.finish_migration(slot, to).await;
    }

    /// Opens `slot` for its move to the node `to`: who asks its owner for a key that is not there is told `ASK`.
    ///
    /// # Panics
    /// Where a node refuses, or `to` has it already.
    pub async fn begin_migration(&self, slot: u16, to: usize) {
        let (from, to) = (self.node(self.owner_of(slot).await), self.node(to));
        let (slot, from_id, to_id) = (slot.to_string(), id(from).await, id(to).await);
        // This order: the owner sends clients away as soon as it knows.
        to.demand(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        from.demand(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
    }

    /// Moves the keys of `slot` to the node `to`, where its move has begun, and the slot after them.
    ///
    /// # Panics
    /// Where a node refuses.
    pub async fn finish_migration(&self, slot: u16, to: usize) {
        let (from, heir) = (self.node(self.owner_of(slot).await), self.node(to));
        let (number, id) = (slot.to_string(), id(heir).await);
        loop {
            let keys = from.demand(&["CLUSTER", "GETKEYSINSLOT", &number, "100"]).await;
            if keys.items().is_empty() {
                break;
            }
            from.demand(&migrate(heir, keys.items())).await;
        }
        // The heir first: were it to be gone now, the slot would have no owner otherwise.
        for node in [heir, from] {
            node.demand(&["CLUSTER", "SETSLOT", &number, "NODE", &id]).await;
        }
        for node in self.running() {
            let mut tries = Tries::within(READY_WITHIN);
            while self.owner_told_by(node, slot).await != Some(to) {
                if !tries.again().await {
                    node.fail("it does not hear of the move");
                }
            }
        }
    }

    fn node(&self, number: usize) -> &RedisServer {
        self.nodes.get(number).unwrap_or_else(|| panic!("there is no node {number}"))
    }
}

/// The command that moves `keys` to `heir`.
fn migrate(heir: &RedisServer, keys: &[Reply]) -> Vec<Vec<u8>> {
    let (ip, port) = (heir.ip().to_string(), heir.port().to_string());
    let mut words = vec!["MIGRATE", &ip, &port, "", "0", "5000"];
    match heir.builder.administrator() {
        Some((Some(user), password)) => words.extend(["AUTH2", user, password]),
        Some((None, password)) => words.extend(["AUTH", password]),
        None => {}
    }
    words.push("KEYS");
    let keys = keys.iter().filter_map(|key| if let Reply::Bulk(key) = key { key.clone() } else { None });
    words.into_iter().map(|word| word.as_bytes().to_vec()).chain(keys).collect()
}

async fn id(node: &RedisServer) -> String {
    let reply = node.demand(&["CLUSTER", "MYID"]).await;
    reply.text().unwrap_or_else(|| node.fail("it has no id")).to_owned()
}

const MASTERS: usize = 3;
const SLOTS: u16 = 16384;
