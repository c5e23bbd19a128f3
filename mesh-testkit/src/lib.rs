#![doc = include_str!("../README.md")]
#![expect(clippy::panic, reason = "a test that cannot have its server fails, and says why")]

pub mod backend;
pub mod chaos;
pub mod consul;
pub mod http;
mod ip;
mod process;
pub mod proxy;
pub mod redis;
mod server;

pub use backend::{Backend, Sickness};
pub use chaos::ChaosOptions;
pub use consul::{ConsulCluster, ConsulServer};
pub use proxy::{Fault, FaultProxy};
pub use redis::{RedisCluster, RedisSentinel, RedisServer};
pub use server::Server;
