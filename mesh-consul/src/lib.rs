#![doc = include_str!("../README.md")]

mod access;
mod agent;
mod client;
mod config;
mod env;
mod error;
mod guard;
pub mod health;
mod heartbeat;
mod index;
mod options;
mod registry;
mod request;
mod reqwest_transport;
mod response;
mod secret;
#[cfg(feature = "suites")]
pub mod suite;
mod transport;
mod version;
pub mod watch;

pub use access::{Access, TokenInfo};
pub use agent::TtlStatus;
pub use client::{ClientError, Consul};
pub use config::{Address, BasicAuth, ConsulConfig, TlsConfig, Verification};
pub use env::Environment;
pub use error::{BODY_BYTES_MAX, ConsulError, ErrorClass};
pub use index::Index;
pub use mesh_core;
pub use options::{Consistency, QueryOptions};
pub use registry::ConsulRegistry;
pub use request::{Lane, Request};
pub use reqwest_transport::{ReqwestTransport, TransportConfigError};
pub use response::{Answer, Meta};
pub use secret::Secret;
pub use transport::{Transport, TransportError};
pub use version::Version;
