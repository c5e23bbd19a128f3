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
/// A key's call fails at once while its node is not connected; those of other nodes go on. Which nodes there are is
/// asked anew when one is lost or says that a slot has moved. Replicas are not used.
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
    /// Counts the topologies that were taken in.
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
        let replies = self.inner.state.link(slot_of(key))?.pipeline(pipeline, deadline).await?;
        if replies.iter().any(|reply| matches!(reply, Err(RedisError::Moved(_)))) {
            self.inner.state.wanted.notify_one();
        }
        Ok(replies)
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

    /// Waits until the calls of all keys are served, or the cluster is closed.
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
                ready = all, if map.topology.is_some() => {
                    ready?;
                    // Where one was lost meanwhile, the next look waits for it.
                    if let Ok(epoch) = self.inner.merge.up() {
                        return Ok(epoch);
                    }
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

    /// Whether the changes of all keys are told: not while a primary is not connected, though others serve calls.
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
        let until = self.inner.clock.now() + deadline;
        let slot = slot_of(key);
        let link = self.inner.state.link(slot)?;
        let (redirect, asking) = match order.on(&link, deadline).await {
            Err(RedisError::Moved(redirect)) => {
                self.inner.state.wanted.notify_one();
                (redirect, false)
            }
            Err(RedisError::Ask(redirect)) => (redirect, true),
            reply => return reply,
        };
        let left = || until.since(self.inner.clock.now());
        let link = tokio::time::timeout(left(), self.inner.state.link_to(&redirect, slot)).await;
        let link = link.unwrap_or(Err(RedisError::Moved(redirect)))?;
        if asking { order.asking(&link, left()).await } else { order.on(&link, left()).await }
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

impl State {
    /// The link to the node that serves `slot`.
    fn link(&self, slot: u16) -> Result<RedisLink, RedisError> {
        let map = self.map.load();
        match &map.topology {
            Some(topology) => {
                let link = topology.owner(slot).and_then(|owner| map.links.get(owner));
                link.map(|(_, link)| link.clone()).ok_or(RedisError::Down { why: DownReason::Unassigned })
            }
            None => Err(RedisError::Down { why: self.why_down() }),
        }
    }

    /// The link to the node that a redirection names, connected; the topology is asked anew where it is not known.
    async fn link_to(&self, redirect: &Redirect, slot: u16) -> Result<RedisLink, RedisError> {
        let mut versions = self.version.subscribe();
        let named = |map: &Map| {
            let links = redirect.node.as_ref().and_then(|named| map.links.iter().find(|(node, _)| node == named));
            links.map(|(_, link)| link.clone())
        };
        let link = match named(&self.map.load()) {
            Some(link) => link,
            None => {
                self.wanted.notify_one();
                // Its sender is this state's own.
                let _ = versions.changed().await;
                let link = named(&self.map.load());
                link.map_or_else(|| self.link(slot), Ok)?
            }
        };
        link.ready().await?;
        Ok(link)
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
