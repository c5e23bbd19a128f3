//! A Redis cluster: one link to each primary, and calls that go to the one that serves their key.
//!
//! Decides which link a call goes to, and follows one redirection of a server's. It never sends a command twice that may
//! have been carried out: a redirection says that it was not.

mod keeper;
mod merge;
mod slot;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::{Cmd, Pipeline, Value};
use arc_swap::ArcSwap;
use mesh_core::port::Clock;
use mesh_core::service::ConfigError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use self::keeper::Keeper;
use self::merge::Merge;
use super::client::{LinkState, LinkStats, RedisLink};
use super::config::RedisConfig;
use super::connect::Connector;
use super::error::{Redirect, RedisError};
use super::event::LinkEvents;
use super::reason::{ConnectFailure, DownReason, Epoch};
use super::script::Script;
use super::url::Node;
use crate::env::Environment;
pub use slot::{SLOTS, slot_of};
pub(crate) use topology::Topology;

/// A cluster, reached over one link to each primary. Cheap to clone; the links end with the last clone.
///
/// A key's call fails at once while its node is not connected or its slot has none; those of other nodes go on. Which
/// nodes there are is asked anew when one is lost, when one says that a slot has moved or that the cluster is down, and
/// when a call finds nobody to serve its key. Replicas are not used.
#[derive(Clone, Debug)]
pub struct RedisCluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Arc<State>,
    merge: Arc<Merge>,
    clock: Arc<dyn Clock>,
    keeper: JoinHandle<()>,
}

/// What the calls and the keeper share.
#[derive(Debug)]
struct State {
    map: ArcSwap<Map>,
    /// Counts how often the nodes were asked, whether or not one said which of them serves what.
    version: watch::Sender<u64>,
    wanted: Notify,
    /// Whether nobody said which node serves what when last asked.
    lost: AtomicBool,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Map {
    topology: Option<Topology>,
    /// In the order of the topology's nodes.
    links: Vec<(Node, RedisLink)>,
}

/// A command, and how to teach the server the script that it runs.
#[derive(Clone, Copy)]
struct Order<'a> {
    cmd: &'a Cmd,
    script: Option<&'a Script>,
}

impl RedisCluster {
    /// Begins to look for the nodes, in a task of its own; must be called within a tokio runtime.
    ///
    /// # Errors
    /// What is wrong with `config`, the files that it names included.
    pub fn start(config: RedisConfig, environment: &Environment, scripts: &[Script]) -> Result<Self, ConfigError> {
        config.validate()?;
        if !config.is_cluster() {
            return Err(ConfigError::new("url", &config.url, "must begin with redis-cluster or rediss-cluster"));
        }
        let seeds = config.url.nodes().to_vec();
        let clock = Arc::clone(&environment.clock);
        let merge = Arc::new(Merge::new(config.events_max.get(), Arc::clone(&clock)));
        let connector = Arc::new(Connector::new(config, environment, scripts)?);
        let state = Arc::new(State {
            map: ArcSwap::default(),
            version: watch::Sender::new(0),
            wanted: Notify::new(),
            lost: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let (kept, merged) = (Arc::clone(&state), Arc::clone(&merge));
        let keeper = Keeper { connector, environment: environment.clone(), state: kept, merge: merged, seeds };
        let keeper = tokio::spawn(keeper.run());
        Ok(Self { inner: Arc::new(Inner { state, merge, clock, keeper }) })
    }

    /// Asks `cmd` of the node that serves `key`, and follows one redirection; all within `deadline`.
    ///
    /// # Errors
    /// Why there is no reply, or the error that the server replied.
    pub async fn query(&self, key: &[u8], cmd: &Cmd, deadline: Duration) -> Result<Value, RedisError> {
        self.carry_out(key, Order { cmd, script: None }, deadline).await
    }

    /// As [`RedisLink::pipeline`], on the node that serves `key`; all keys must be in its slot. Follows no redirection:
    /// some of the commands may have been carried out.
    ///
    /// # Errors
    /// Why there are no replies.
    pub async fn pipeline(
        &self,
        key: &[u8],
        pipeline: &Pipeline,
        deadline: Duration,
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        let state = &self.inner.state;
        let link = state.serving(slot_of(key)).await?;
        let replies = state.heed(link.pipeline(pipeline, deadline).await)?;
        Ok(replies.into_iter().map(|reply| state.heed(reply)).collect())
    }

    /// As [`RedisLink::invoke`], on the node that serves the first of `keys`; all must be in one slot.
    ///
    /// # Errors
    /// Why there is no reply, or the error that the server replied.
    pub async fn invoke<K: AsRef<[u8]>>(
        &self,
        script: &Script,
        keys: &[K],
        args: impl ::redis::ToRedisArgs,
        deadline: Duration,
    ) -> Result<Value, RedisError> {
        let key = keys.first().ok_or(RedisError::Unsendable)?.as_ref();
        let cmd = script.call(keys, args);
        self.carry_out(key, Order { cmd: &cmd, script: Some(script) }, deadline).await
    }

    /// Whether calls are served, of any key at all.
    #[must_use]
    pub fn state(&self) -> LinkState {
        match self.inner.merge.up() {
            Ok(epoch) => LinkState::Up { epoch },
            Err(since) => LinkState::Down { since, why: self.inner.state.why_down() },
        }
    }

    /// Waits until the calls of all keys are served, or the cluster is closed: for ever where a slot stays without a node.
    ///
    /// # Errors
    /// That it is closed.
    pub async fn ready(&self) -> Result<Epoch, RedisError> {
        let mut versions = self.inner.state.version.subscribe();
        loop {
            versions.mark_unchanged();
            if self.inner.state.closed.load(Ordering::Relaxed) {
                return Err(RedisError::Down { why: DownReason::Closed });
            }
            let map = self.inner.state.map.load_full();
            let all = async {
                for (_, link) in &map.links {
                    link.ready().await?;
                }
                Ok::<(), RedisError>(())
            };
            tokio::select! {
                biased;
                ready = all, if map.is_complete() => {
                    ready?;
                    if let Ok(epoch) = self.inner.merge.up() {
                        return Ok(epoch);
                    }
                    // One was lost meanwhile, or is connected and busy, of which nobody is woken.
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                // Its sender is this cluster's own.
                _ = versions.changed() => {}
            }
        }
    }

    /// Reads what happens from now on, beginning with whether calls are served.
    ///
    /// The loss of any node is a [`LinkEvent::Down`](super::event::LinkEvent::Down) of the whole, with an `Up` of a new
    /// epoch behind it where others serve calls. Not all is heard then: see [`RedisCluster::hears_all`].
    #[must_use]
    pub fn events(&self) -> LinkEvents {
        self.inner.merge.hub.subscribe()
    }

    /// Whether the changes of all keys are told: not while a primary is not connected, or it is not known who serves a
    /// slot, though others serve calls.
    #[must_use]
    pub fn hears_all(&self) -> bool {
        self.inner.merge.is_whole()
    }

    /// What happened on each of the links so far.
    #[must_use]
    pub fn stats(&self) -> Vec<(Node, LinkStats)> {
        self.inner.state.map.load().links.iter().map(|(node, link)| (node.clone(), link.stats())).collect()
    }

    /// Ends all connections and waits until they are closed; calls fail from then on, of every clone.
    pub async fn close(&self) {
        self.inner.keeper.abort();
        let map = self.inner.end();
        for (_, link) in &map.links {
            link.close().await;
        }
    }

    async fn carry_out(&self, key: &[u8], order: Order<'_>, deadline: Duration) -> Result<Value, RedisError> {
        let state = &self.inner.state;
        let until = self.inner.clock.now() + deadline;
        let slot = slot_of(key);
        let from = state.serving(slot).await?;
        let told = match state.heed(order.on(&from, deadline).await) {
            Err(told @ (RedisError::Moved(_) | RedisError::Ask(_))) => told,
            reply => return reply,
        };
        let left = || until.since(self.inner.clock.now());
        let asking = matches!(told, RedisError::Ask(_));
        let link = tokio::time::timeout(left(), state.link_to(&told, slot, &from)).await.unwrap_or(Err(told))?;
        state.heed(if asking { order.asking(&link, left()).await } else { order.on(&link, left()).await })
    }
}

impl Order<'_> {
    async fn on(&self, link: &RedisLink, deadline: Duration) -> Result<Value, RedisError> {
        match self.script {
            Some(script) => link.taught(script, self.cmd, deadline).await,
            None => link.query(self.cmd, deadline).await,
        }
    }

    /// As [`Order::on`], of a node that the slot is only on its way to.
    async fn asking(&self, link: &RedisLink, deadline: Duration) -> Result<Value, RedisError> {
        let mut pipeline = ::redis::pipe();
        if let Some(script) = self.script {
            pipeline.add_command(script.load());
        }
        pipeline.cmd("ASKING").add_command(self.cmd.clone());
        let mut replies = link.pipeline(&pipeline, deadline).await?;
        replies.pop().unwrap_or(Err(RedisError::Hostile))
    }
}

impl Map {
    /// Whether it is known who serves each slot.
    fn is_complete(&self) -> bool {
        self.topology.as_ref().is_some_and(Topology::is_complete)
    }

    /// The link to the node that serves `slot`.
    fn owner(&self, slot: u16) -> Option<&RedisLink> {
        let owner = self.topology.as_ref()?.owner(slot)?;
        self.links.get(owner).map(|(_, link)| link)
    }

    /// The links to those who may serve `slot` after a redirection: the node that it names, then who is said to.
    fn heirs(&self, redirect: Option<&Redirect>, slot: u16) -> impl Iterator<Item = &RedisLink> {
        let named = redirect.and_then(|redirect| redirect.node.as_ref());
        let named = self.links.iter().find(|(node, _)| named == Some(node)).map(|(_, link)| link);
        named.into_iter().chain(self.owner(slot))
    }
}

impl State {
    /// The link to the node that serves `slot`.
    fn link(&self, slot: u16) -> Result<RedisLink, RedisError> {
        let map = self.map.load();
        match (&map.topology, map.owner(slot)) {
            (_, Some(link)) => Ok(link.clone()),
            (Some(_), None) => Err(RedisError::Down { why: DownReason::Unassigned }),
            (None, None) => Err(RedisError::Down { why: self.why_down() }),
        }
    }

    /// As [`State::link`], of a call.
    async fn serving(&self, slot: u16) -> Result<RedisLink, RedisError> {
        let link = self.heed(self.link(slot));
        if link.is_err() {
            // Whoever asks again and again without a pause must not keep the map from being asked for.
            tokio::task::consume_budget().await;
        }
        link
    }

    /// Passes `reply` on. Where it makes the topology doubtful, that is asked for anew.
    fn heed<T>(&self, reply: Result<T, RedisError>) -> Result<T, RedisError> {
        if reply.as_ref().is_err_and(RedisError::doubts_the_topology) {
            self.wanted.notify_one();
        }
        reply
    }

    /// The link to the node that the redirection `told` by `from` names, or to whoever else is said to serve `slot`,
    /// connected.
    ///
    /// It waits for a connection that was never made yet. Where one is lost, or nobody is known, the topology is asked for
    /// anew: another may have taken over.
    async fn link_to(&self, told: &RedisError, slot: u16, from: &RedisLink) -> Result<RedisLink, RedisError> {
        let mut versions = self.version.subscribe();
        let mut missing = told.clone();
        for look in 0..=ASKED_ANEW_MAX {
            if look > 0 {
                self.wanted.notify_one();
                // Its sender is this state's own.
                let _ = versions.changed().await;
            }
            let map = self.map.load_full();
            if map.topology.is_none() {
                return Err(RedisError::Down { why: self.why_down() });
            }
            for link in map.heirs(told.redirect(), slot).filter(|link| !link.is(from)) {
                match link.started().await {
                    Ok(()) => return Ok(link.clone()),
                    Err(error) => missing = error,
                }
            }
        }
        Err(missing)
    }

    fn set(&self, map: Map) {
        self.lost.store(false, Ordering::Relaxed);
        self.map.store(Arc::new(map));
        if self.closed.load(Ordering::SeqCst) {
            self.map.store(Arc::default());
        }
        self.version.send_modify(|version| *version += 1);
    }

    fn nobody_answers(&self) {
        self.lost.store(true, Ordering::Relaxed);
        self.version.send_modify(|version| *version += 1);
    }

    fn why_down(&self) -> DownReason {
        if self.closed.load(Ordering::Relaxed) {
            return DownReason::Closed;
        }
        let of_links = self.map.load().links.iter().find_map(|(_, link)| match link.state() {
            LinkState::Down { why, .. } => Some(why),
            LinkState::Up { .. } => None,
        });
        let unknown = if self.lost.load(Ordering::Relaxed) {
            DownReason::Connect(ConnectFailure::NoTopology)
        } else {
            DownReason::Starting
        };
        of_links.unwrap_or(unknown)
    }
}

impl Inner {
    /// Lets no more calls in.
    fn end(&self) -> Arc<Map> {
        self.state.closed.store(true, Ordering::SeqCst);
        let map = self.state.map.swap(Arc::default());
        self.state.version.send_modify(|version| *version += 1);
        self.merge.hub.end();
        map
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.abort();
        self.end();
    }
}

/// How often a redirected call has the topology asked for anew: what comes first may have been asked for before.
const ASKED_ANEW_MAX: u32 = 2;

/// How often to look whether a node that is connected and busy serves calls again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
