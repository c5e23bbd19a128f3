//! One Redis, whatever it is made of.

use std::time::Duration;

use ::redis::{Cmd, Pipeline, ToRedisArgs, Value};
use mesh_core::service::ConfigError;

use super::client::{LinkState, RedisLink};
use super::cluster::RedisCluster;
use super::config::RedisConfig;
use super::error::RedisError;
use super::event::LinkEvents;
use super::reason::Epoch;
use super::script::Script;
use crate::env::Environment;

/// A server, the master that sentinels name, or a cluster: whoever uses it need not know. Cheap to clone.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RedisClient {
    /// One connection is all of it.
    Link(RedisLink),
    /// There is one to each primary.
    Cluster(RedisCluster),
}

impl RedisClient {
    /// Begins to connect; must be called within a tokio runtime. `scripts` are loaded on every connection.
    ///
    /// # Errors
    /// What is wrong with `config`, the files that it names included.
    pub fn start(config: RedisConfig, environment: &Environment, scripts: &[Script]) -> Result<Self, ConfigError> {
        if config.is_cluster() {
            RedisCluster::start(config, environment, scripts).map(Self::Cluster)
        } else {
            RedisLink::start(config, environment, scripts).map(Self::Link)
        }
    }

    /// Asks `cmd`, which is about `key`, and waits for the reply for at most `deadline`.
    ///
    /// # Errors
    /// Why there is no reply, or the error that the server replied.
    pub async fn query(&self, key: &[u8], cmd: &Cmd, deadline: Duration) -> Result<Value, RedisError> {
        match self {
            Self::Link(link) => link.query(cmd, deadline).await,
            Self::Cluster(cluster) => cluster.query(key, cmd, deadline).await,
        }
    }

    /// Sends the commands of `pipeline` at once, all about keys in the slot of `key`: see [`RedisLink::pipeline`].
    ///
    /// # Errors
    /// Why there are no replies.
    pub async fn pipeline(
        &self,
        key: &[u8],
        pipeline: &Pipeline,
        deadline: Duration,
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        match self {
            Self::Link(link) => link.pipeline(pipeline, deadline).await,
            Self::Cluster(cluster) => cluster.pipeline(key, pipeline, deadline).await,
        }
    }

    /// Runs `script` with `keys`, which must be in one slot, and `args`: see [`RedisLink::invoke`].
    ///
    /// # Errors
    /// Why there is no reply, or the error that the server replied.
    pub async fn invoke<K: AsRef<[u8]>>(
        &self,
        script: &Script,
        keys: &[K],
        args: impl ToRedisArgs,
        deadline: Duration,
    ) -> Result<Value, RedisError> {
        match self {
            Self::Link(link) => link.invoke(script, keys, args, deadline).await,
            Self::Cluster(cluster) => cluster.invoke(script, keys, args, deadline).await,
        }
    }

    /// Whether calls are served, of any key at all.
    #[must_use]
    pub fn state(&self) -> LinkState {
        match self {
            Self::Link(link) => link.state(),
            Self::Cluster(cluster) => cluster.state(),
        }
    }

    /// Waits until the calls of all keys are served, or the client is closed.
    ///
    /// # Errors
    /// That it is closed.
    pub async fn ready(&self) -> Result<Epoch, RedisError> {
        match self {
            Self::Link(link) => link.ready().await,
            Self::Cluster(cluster) => cluster.ready().await,
        }
    }

    /// Reads what happens from now on, beginning with whether calls are served.
    #[must_use]
    pub fn events(&self) -> LinkEvents {
        match self {
            Self::Link(link) => link.events(),
            Self::Cluster(cluster) => cluster.events(),
        }
    }

    /// Whether the changes of all keys are told while calls are served: see [`RedisCluster::hears_all`].
    #[must_use]
    pub fn hears_all(&self) -> bool {
        match self {
            Self::Link(_) => true,
            Self::Cluster(cluster) => cluster.hears_all(),
        }
    }

    /// Ends all connections and waits until they are closed; calls fail from then on, of every clone.
    pub async fn close(&self) {
        match self {
            Self::Link(link) => link.close().await,
            Self::Cluster(cluster) => cluster.close().await,
        }
    }
}
