//! Redis, reached over connections that are replaced whenever they fail.
//!
//! [`RedisClient`] is one server, the master that sentinels name, or a cluster, as its [URL](RedisUrl) says. Each
//! [`RedisLink`] below it keeps one connection: it notices half-open connections, servers that load or hang, and
//! failovers; it arms the tracking of keys and loads scripts on every connection before it serves calls, and tells
//! [readers](LinkEvents) when to forget what they keep.
//!
//! What it never does: queue a call while there is no connection, send one twice that may have been carried out, let one
//! wait beyond its deadline, or show a password, key or value in an error.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mesh_cache::Environment;
//! use mesh_cache::redis::{RedisClient, RedisConfig};
//!
//! # async fn read() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = RedisConfig::at("redis://127.0.0.1:6379")?;
//! config.tracking_prefix = Some("mesh:v1:".to_owned());
//! let client = RedisClient::start(config, &Environment::system(), &[])?;
//! client.ready().await?;
//! let get = redis::cmd("GET").arg("mesh:v1:key").take();
//! let value = client.query(b"mesh:v1:key", &get, Duration::from_millis(50)).await?;
//! # drop(value);
//! # Ok(())
//! # }
//! ```
//!
//! # The rights of a user
//!
//! A link itself needs `+hello +auth +ping`, for scripts `+evalsha` and, where nobody else loads them, `+script|load`, for
//! tracking `+client|tracking`, for a database other than 0 `+select`, behind sentinels `+role`, in a cluster `+cluster|slots`
//! and `+asking`; and the commands that it is asked. [`RedisTier`] and
//! [`RedisCoordinator`](crate::coordinator_store::RedisCoordinator) say which theirs are. For one that is asked what stands
//! here this suffices on Redis 7.0 (a test holds it to that), for keys that begin with `mesh:v1:`:
//!
//! ```text
//! ACL SETUSER mesh on >password resetkeys ~mesh:v1:* resetchannels -@all +hello +auth +ping +get +getrange +set +del
//!   +hset +hget +hmget +pexpire +pttl +type +evalsha +script|load +client|tracking +client|id +time +zadd +zrem +zcard
//!   +zremrangebyscore +strlen
//! ```
//!
//! Two holes remain, on the server's side: the tracking tells the names of all keys, whatever the user may read, so names
//! must hold no secret; and whoever may run scripts depends on the server's Lua (CVE-2025-49844: use 8.2.2 or a version
//! with its fix).

mod client;
pub mod cluster;
pub mod config;
mod connect;
mod error;
mod event;
pub mod link;
mod listener;
mod lua;
mod names;
mod owed;
mod push;
mod reason;
mod route;
mod script;
mod sentinel;
mod shared;
#[cfg(feature = "suites")]
pub mod suite;
mod supervisor;
mod tier;
mod tls;
mod url;

pub use client::{LinkState, LinkStats, RedisLink};
pub use cluster::RedisCluster;
pub use config::{LinkConfig, RedisConfig, RedisTls, SentinelConfig};
pub use error::{Code, Redirect, RedisError};
pub use event::{LinkEvent, LinkEvents};
pub use push::Keys;
pub use reason::{ConnectFailure, DownReason, Epoch, Unfit};
pub use route::RedisClient;
pub use script::Script;
pub use tier::RedisTier;
pub use url::{Node, RedisMode, RedisUrl};
