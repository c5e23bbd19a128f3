//! Real servers for the tests of mesh: Consul agents, Redis servers, a TCP proxy that fails on demand, HTTP backends that fall ill.
//!
//! It knows nothing of mesh's own types. What it starts it ends, also when a test panics or its process is killed.
//! A server that is not installed is a failure that names the command to run, never a reason to skip.

#![expect(clippy::panic, reason = "a test that cannot have its server fails, and says why")]

pub mod backend;
pub mod consul;
pub mod http;
mod ip;
mod process;
pub mod proxy;
pub mod redis;
mod server;

pub use backend::{Backend, Sickness};
pub use consul::{ConsulCluster, ConsulServer};
pub use proxy::{Fault, FaultProxy};
pub use redis::{RedisCluster, RedisSentinel, RedisServer};
pub use server::Server;
