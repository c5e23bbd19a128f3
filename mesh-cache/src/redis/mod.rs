//! Redis, reached over one connection that is replaced whenever it fails.
//!
//! [`RedisLink`] keeps a connection to one server: it notices half-open connections, servers that load, and failovers;
//! it arms the tracking of keys and loads scripts on every connection before it serves calls, and tells
//! [readers](LinkEvents) when to forget what they keep. While there is no connection, calls fail at once.

mod client;
pub mod cluster;
pub mod config;
mod connect;
mod error;
mod event;
pub mod link;
mod lua;
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
