//! A connection to one Redis that is kept, and calls on it that never wait longer than they were told.
//!
//! Decides nothing of the connection: see [`LinkMachine`](super::link::LinkMachine).

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Pipeline, ToRedisArgs, Value};
use mesh_core::service::ConfigError;
use mesh_core::time::Instant;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::config::RedisConfig;
use super::connect::Connector;
use super::error::RedisError;
use super::event::{LinkEvents, Relay};
use super::link::LinkCounters;
use super::reason::{DownReason, Epoch};
use super::script::Script;
use super::shared::{Call, Shared};
use super::supervisor::Supervisor;
use crate::env::Environment;

/// One Redis, reached over one connection that is replaced whenever it fails. Cheap to clone; the connection ends with
/// the last clone.
///
/// While there is no connection, calls fail at once. None waits longer than its deadline, and none is sent twice.
#[derive(Clone, Debug)]
pub struct RedisLink {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    stop: mpsc::Sender<()>,
    supervisor: JoinHandle<()>,
}

/// Whether calls are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkState {
    /// They are.
    Up {
        /// On which connection.
        epoch: Epoch,
    },
    /// They fail at once.
    Down {
        /// Since when, by the environment's clock.
        since: Instant,
        /// Why.
        why: DownReason,
    },
}

/// What happened to a link so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// What its machine counted.
    pub link: LinkCounters,
    /// Pushes that named keys, or all.
    pub invalidations: u64,
    /// Pushes of keys that could not be understood, and were taken for all keys.
    pub odd_pushes: u64,
    /// Pushes about something else.
    pub foreign_pushes: u64,
    /// How often a reader of events was too far behind, and told to forget everything.
    pub overflows: u64,
    /// Calls that were refused because too many were under way.
    pub overloads: u64,
}

impl RedisLink {
    /// Begins to connect, in a task of its own; must be called within a tokio runtime.
    ///
    /// `scripts` are loaded on every connection before it serves calls.
    ///
    /// # Errors
    /// What is wrong with `config`, the files that it names included.
    pub fn start(config: RedisConfig, environment: &Environment, scripts: &[Script]) -> Result<Self, ConfigError> {
        config.validate()?;
        if config.is_cluster() {
            return Err(ConfigError::new("url", &config.url, "must name one server: a cluster is for RedisClient"));
        }
        let connector = Connector::new(config, environment, scripts)?;
        Ok(Self::over(connector, environment, None))
    }

    /// A link whose events are told to `relay` as well.
    pub(crate) fn over(connector: Connector, environment: &Environment, relay: Option<Arc<dyn Relay>>) -> Self {
        let (shared, signals) = Shared::new(connector.config(), environment, relay);
        let shared = Arc::new(shared);
        let (stop, stopped) = mpsc::channel(1);
        let supervisor = Supervisor::new(connector, environment, Arc::clone(&shared), signals, stopped);
        Self { inner: Arc::new(Inner { shared, stop, supervisor: tokio::spawn(supervisor.run()) }) }
    }

    /// Asks `cmd` and waits for the reply for at most `deadline`.
    ///
    /// Dropping the future stops waiting; the command may be carried out all the same.
    ///
    /// # Errors
    /// Why there is no reply, or the error that the server replied.
    pub async fn query(&self, cmd: &Cmd, deadline: Duration) -> Result<Value, RedisError> {
        let mut call = self.begin().await?;
        let reply = tokio::time::timeout(deadline, call.connection.send_packed_command(cmd)).await;
        let reply = call.settle(reply, deadline)?;
        call.checked(reply)
    }

    /// Sends the commands of `pipeline` at once and waits for all replies for at most `deadline`.
    ///
    /// The reply to each command stands at its place, but for an atomic pipeline, which has one: that of EXEC.
    ///
    /// # Errors
    /// Why there are no replies. An error that the server replied to one command stands at that command's place.
    pub async fn pipeline(
        &self,
        pipeline: &Pipeline,
        deadline: Duration,
    ) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
        if pipeline.is_empty() {
            return Err(RedisError::Unsendable);
        }
        let mut call = self.begin().await?;
        // MULTI and a QUEUED for each command come before the reply of EXEC.
        let (offset, count) = if pipeline.is_transaction() { (pipeline.len() + 1, 1) } else { (0, pipeline.len()) };
        let replies = call.connection.send_packed_commands(pipeline, offset, count);
        let replies = tokio::time::timeout(deadline, replies).await;
        let replies = call.settle(replies, deadline)?;
        Ok(replies.into_iter().map(|reply| call.checked(reply)).collect())
    }

    /// Runs `script` with `keys` and `args`, teaching it to the server first where it has forgotten it; all within
    /// `deadline`.
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
        self.taught(script, &script.call(keys, args), deadline).await
    }

    /// Whether calls are served.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.inner.shared.state()
    }

    /// Waits until calls are served, or the link is closed.
    ///
    /// # Errors
    /// That the link is closed.
    pub async fn ready(&self) -> Result<Epoch, RedisError> {
        self.inner.shared.ready().await
    }

    /// Reads what happens from now on, beginning with whether the link is up.
    #[must_use]
    pub fn events(&self) -> LinkEvents {
        self.inner.shared.hub.subscribe()
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> LinkStats {
        self.inner.shared.stats()
    }

    /// Ends the connection and waits until it is closed; calls fail from then on, of every clone.
    pub async fn close(&self) {
        // To ask a second time changes nothing.
        let _ = self.inner.stop.try_send(());
        self.inner.stop.closed().await;
    }

    /// Waits until it is known what came of the first attempt to connect; does not wait for any further one.
    ///
    /// # Errors
    /// That calls are not served.
    pub(crate) async fn started(&self) -> Result<(), RedisError> {
        self.inner.shared.started().await
    }

    /// Whether `other` is a clone of this one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Asks `cmd`, which runs `script`, and loads it in between where the server does not know it.
    pub(crate) async fn taught(&self, script: &Script, cmd: &Cmd, deadline: Duration) -> Result<Value, RedisError> {
        let until = self.inner.shared.now() + deadline;
        match self.query(cmd, deadline).await {
            Err(RedisError::NoScript) => {}
            reply => return reply,
        }
        let left = || until.since(self.inner.shared.now());
        if let Err(error) = self.query(&script.load(), left()).await {
            // The user may lack the right to load scripts; then the server's first answer says more.
            return Err(if error == RedisError::NoPerm { RedisError::NoScript } else { error });
        }
        self.query(cmd, left()).await
    }

    async fn begin(&self) -> Result<Call<'_>, RedisError> {
        match self.inner.shared.begin() {
            Ok(call) => Ok(call),
            Err(error) => {
                // Whoever asks again and again without a pause must not keep the link from coming back.
                tokio::task::consume_budget().await;
                Err(error)
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.close();
        self.supervisor.abort();
    }
}
