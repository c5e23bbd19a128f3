//! Makes a connection that is ready for calls: dials, speaks TLS, says who asks, arms the tracking, loads the scripts.
//!
//! Decides whether a server may be used at all. Waits without a limit of its own: the link's machine gives it up.

use std::io;
use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ErrorKind, ProtocolVersion, PushInfo, RedisConnectionInfo, Value};
use mesh_core::service::{ConfigError, escape_to};
use tokio::task::JoinHandle;

use super::config::RedisConfig;
use super::error::RedisError;
use super::reason::{ConnectFailure, Epoch};
use super::script::Script;
use super::shared::Shared;
use super::url::{Node, RedisMode};
use crate::dial::{Dial, Stream};
use crate::env::Environment;

/// Makes the connections of one link.
#[derive(Debug)]
pub(crate) struct Connector {
    config: RedisConfig,
    dial: Arc<dyn Dial>,
    scripts: Vec<Script>,
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
        Ok(Self { config, dial: Arc::clone(&environment.dial), scripts: scripts.to_vec() })
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
        match &self.config.url.mode {
            RedisMode::Server(node) => self.reach(node).await,
            RedisMode::Unix(_) | RedisMode::Sentinel { .. } | RedisMode::Cluster { .. } => {
                Err(Failed::new(ConnectFailure::Unreachable, "not supported yet"))
            }
        }
    }

    async fn reach(&self, node: &Node) -> Result<Box<dyn Stream>, Failed> {
        if !self.config.admits(node) {
            return Err(Failed::new(ConnectFailure::PlainText, node));
        }
        self.dial.dial(&node.host, node.port).await.map_err(Failed::dial)
    }

    /// Who asks, and in which protocol; what the handshake of the `redis` crate says.
    fn identity(&self) -> RedisConnectionInfo {
        let mut identity = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_db(self.config.url.database.into())
            // CLIENT SETINFO is no part of least privilege, and unknown before 7.2.
            .set_skip_set_lib_name();
        if let Some(user) = self.config.user() {
            identity = identity.set_username(user);
        }
        if let Some(password) = self.config.password() {
            identity = identity.set_password(password.expose());
        }
        identity
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
        for script in &self.scripts {
            pipeline.add_command(script.load());
        }
        let ping = pipeline.len();
        pipeline.cmd("PING");
        let replies = connection.send_packed_commands(&pipeline, 0, ping + 1).await;
        let replies = replies.map_err(|error| Failed::refused(&RedisError::of(&error)))?;
        for (at, reply) in replies.into_iter().enumerate() {
            match RedisError::check(reply) {
                // Somebody else may load the scripts for us; a call will tell whether they are there.
                Err(RedisError::NoPerm) if at >= before_scripts => tracing::debug!("a user of Redis with few rights"),
                Err(error) => return Err(Failed::refused(&error)),
                Ok(reply) if at == ping && reply != Value::SimpleString("PONG".to_owned()) => {
                    return Err(Failed::new(ConnectFailure::Protocol, "what listens there does not answer PING"));
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

/// As much of a reason as a log shows.
const DETAIL_CHARS_MAX: usize = 256;
