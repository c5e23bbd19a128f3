//! Makes a connection that is ready for calls: dials, speaks TLS, says who asks, arms the tracking, loads the scripts.
//!
//! Decides whether a server may be used at all. Waits without a limit of its own: the link's machine gives it up.

use std::error::Error;
use std::io;
use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Cmd, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo, Value};
use mesh_core::service::{ConfigError, escape_to};
use tokio::task::JoinHandle;

use super::config::{RedisConfig, SentinelConfig};
use super::error::RedisError;
use super::reason::{ConnectFailure, Epoch};
use super::script::Script;
use super::sentinel::{Sentinels, text};
use super::shared::Shared;
use super::tls::Tls;
use super::url::{Node, RedisMode};
use crate::dial::{Dial, Stream};
use crate::env::Environment;
use crate::secret::Secret;

/// Makes the connections of one link.
#[derive(Debug)]
pub(crate) struct Connector {
    config: RedisConfig,
    dial: Arc<dyn Dial>,
    tls: Option<Tls>,
    sentinels: Option<Sentinels>,
    scripts: Arc<[Script]>,
}

/// A connection that is ready for calls.
pub(crate) struct Ready {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) driver: Driver,
}

/// The task that reads and writes a connection; dropping this ends it, and with it the connection.
#[derive(Debug)]
pub(crate) struct Driver(JoinHandle<()>);

/// Why there is no connection, with what a log may show of it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: ConnectFailure,
    pub(crate) detail: String,
}

impl Connector {
    pub(crate) fn new(config: RedisConfig, environment: &Environment, scripts: &[Script]) -> Result<Self, ConfigError> {
        let tls = if config.url.tls { Some(Tls::load(&config.tls)?) } else { None };
        let sentinels = match &config.url.mode {
            RedisMode::Sentinel { sentinels, master } => {
                Some(Sentinels::new(sentinels.clone(), master.clone(), config.sentinel.deadline))
            }
            RedisMode::Server(_) | RedisMode::Unix(_) | RedisMode::Cluster { .. } => None,
        };
        Ok(Self { config, dial: Arc::clone(&environment.dial), tls, sentinels, scripts: scripts.into() })
    }

    /// One that connects to `node` and is like this one else.
    pub(crate) fn to(&self, node: &Node) -> Self {
        let mut config = self.config.clone();
        config.url.mode = RedisMode::Server(node.clone());
        let scripts = Arc::clone(&self.scripts);
        Self { config, dial: Arc::clone(&self.dial), tls: self.tls.clone(), sentinels: None, scripts }
    }

    pub(crate) const fn config(&self) -> &RedisConfig {
        &self.config
    }

    pub(crate) async fn connect(&self, epoch: Epoch, shared: &Arc<Shared>) -> Result<Ready, Failed> {
        let stream = self.open().await?;
        let shared = Arc::clone(shared);
        let pushed = move |info: PushInfo| -> Result<(), ()> {
            shared.pushed(epoch, info);
            Ok(())
        };
        let settings = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            // A call that is let in never waits for room.
            .set_pipeline_buffer_size(self.config.in_flight_max.get().saturating_add(1))
            .set_push_sender(pushed);
        let (mut connection, driver) =
            MultiplexedConnection::new_with_config(&self.identity(), stream, settings).await.map_err(Failed::hello)?;
        let driver = Driver(tokio::spawn(driver));
        self.prepare(&mut connection).await?;
        Ok(Ready { connection, driver })
    }

    async fn open(&self) -> Result<Box<dyn Stream>, Failed> {
        match (&self.config.url.mode, &self.sentinels) {
            (RedisMode::Server(node), _) => self.reach(node).await,
            (RedisMode::Unix(path), _) => self.dial.dial_unix(path).await.map_err(Failed::dial),
            (RedisMode::Sentinel { .. }, Some(sentinels)) => self.reach(&sentinels.master(self).await?).await,
            (RedisMode::Sentinel { .. }, None) | (RedisMode::Cluster { .. }, _) => {
                Err(Failed::new(ConnectFailure::Unreachable, "a cluster is no server"))
            }
        }
    }

    async fn reach(&self, node: &Node) -> Result<Box<dyn Stream>, Failed> {
        if !self.config.admits(node) {
            return Err(Failed::new(ConnectFailure::PlainText, node));
        }
        let stream = self.dial.dial(&node.host, node.port).await.map_err(Failed::dial)?;
        match &self.tls {
            Some(tls) => tls.speak(&node.host, stream).await.map_err(|error| Failed::new(ConnectFailure::Tls, error)),
            None => Ok(stream),
        }
    }

    /// Asks `cmd` of `node` over a connection of its own.
    pub(crate) async fn ask(&self, node: &Node, identity: RedisConnectionInfo, cmd: &Cmd) -> Result<Value, Failed> {
        let stream = self.reach(node).await?;
        let settings = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let (mut connection, driver) =
            MultiplexedConnection::new_with_config(&identity, stream, settings).await.map_err(Failed::hello)?;
        let _driver = Driver(tokio::spawn(driver));
        let reply = connection.send_packed_command(cmd).await.map_err(|error| RedisError::of(&error));
        reply.and_then(RedisError::check).map_err(|error| Failed::refused(&error))
    }

    /// Who asks the server, and in which protocol; what the handshake of the `redis` crate says.
    pub(crate) fn identity(&self) -> RedisConnectionInfo {
        identity(self.config.user(), self.config.password()).set_db(self.config.url.database.into())
    }

    /// Who asks the sentinels.
    pub(crate) fn sentinel_identity(&self) -> RedisConnectionInfo {
        let SentinelConfig { user, password, .. } = &self.config.sentinel;
        identity(user.as_deref(), password.as_ref())
    }

    /// Arms the tracking, loads the scripts, and asks a command that a busy or loading server refuses: HELLO is answered
    /// by either.
    async fn prepare(&self, connection: &mut MultiplexedConnection) -> Result<(), Failed> {
        let mut pipeline = ::redis::pipe();
        if let Some(prefix) = &self.config.tracking_prefix {
            pipeline.cmd("CLIENT").arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(prefix);
            if !self.config.tracking_own {
                pipeline.arg("NOLOOP");
            }
        }
        let before_scripts = pipeline.len();
        for script in &*self.scripts {
            pipeline.add_command(script.load());
        }
        let role = self.sentinels.as_ref().map(|_| pipeline.len());
        if role.is_some() {
            pipeline.cmd("ROLE");
        }
        let ping = pipeline.len();
        pipeline.cmd("PING");
        let replies = connection.send_packed_commands(&pipeline, 0, ping + 1).await;
        let replies = replies.map_err(|error| Failed::refused(&RedisError::of(&error)))?;
        for (at, reply) in replies.into_iter().enumerate() {
            match RedisError::check(reply) {
                // Somebody else may load the scripts for us; a call will tell whether they are there.
                Err(RedisError::NoPerm) if at >= before_scripts && Some(at) != role => {
                    tracing::debug!("a user of Redis with few rights");
                }
                Err(error) => return Err(Failed::refused(&error)),
                Ok(reply) if at == ping && reply != Value::SimpleString("PONG".to_owned()) => {
                    return Err(Failed::new(ConnectFailure::Protocol, "what listens there does not answer PING"));
                }
                Ok(reply) if Some(at) == role && !is_master(&reply) => {
                    return Err(Failed::new(ConnectFailure::NotMaster, "the sentinels named a replica"));
                }
                Ok(_) => {}
            }
        }
        Ok(())
    }
}

impl Driver {
    /// Waits until the connection has ended by itself. Cancel-safe.
    pub(crate) async fn ended(&mut self) {
        // That it panicked ends it as well.
        let _ = (&mut self.0).await;
    }

    /// Ends it, and waits until the connection is closed.
    pub(crate) async fn shut(mut self) {
        self.0.abort();
        self.ended().await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Failed {
    pub(crate) fn new(failure: ConnectFailure, detail: impl std::fmt::Display) -> Self {
        Self { failure, detail: escape_to(&detail.to_string(), DETAIL_CHARS_MAX).to_string() }
    }

    fn dial(error: io::Error) -> Self {
        Self::new(ConnectFailure::Unreachable, error)
    }

    /// What came of HELLO and SELECT.
    fn hello(error: ::redis::RedisError) -> Self {
        if error.kind() == ErrorKind::RESP3NotSupported {
            return Self::new(ConnectFailure::Protocol, "it does not know RESP3");
        }
        // In TLS 1.3 a server tells only after the handshake that it does not take the client's certificate.
        if let Some(refusal) = tls_refusal(&error) {
            return Self::new(ConnectFailure::Tls, refusal);
        }
        Self::refused(&RedisError::of(&error))
    }

    fn refused(error: &RedisError) -> Self {
        let failure = match (error.unfit(), error) {
            (Some(unfit), _) => ConnectFailure::Unfit(unfit),
            (None, RedisError::Auth) => ConnectFailure::Auth,
            (None, RedisError::Disconnected) => ConnectFailure::Disconnected,
            (None, RedisError::Hostile) => ConnectFailure::Protocol,
            (None, _) => ConnectFailure::Refused,
        };
        Self::new(failure, error)
    }
}

fn identity(user: Option<&str>, password: Option<&Secret>) -> RedisConnectionInfo {
    let mut identity = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        // CLIENT SETINFO is no part of least privilege, and unknown before 7.2.
        .set_skip_set_lib_name();
    if let Some(user) = user {
        identity = identity.set_username(user);
    }
    if let Some(password) = password {
        identity = identity.set_password(password.expose());
    }
    identity
}

fn is_master(role: &Value) -> bool {
    role.as_sequence().and_then(|role| text(role.first()?)) == Some("master")
}

fn tls_refusal(error: &::redis::RedisError) -> Option<&rustls::Error> {
    // The `redis` crate hands out the box around its cause, and not the cause.
    let cause = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// As much of a reason as a log shows.
const DETAIL_CHARS_MAX: usize = 256;
