#![doc = include_str!("../README.md")]

mod cache;
pub mod codec;
mod config;
pub mod coordinator_store;
mod dial;
pub mod disk;
mod early;
mod entry;
mod env;
mod error;
mod failure;
mod fence;
mod history;
mod key;
mod lifetimes;
mod local;
mod memory_tier;
pub mod pattern;
#[cfg(feature = "redis")]
pub mod redis;
pub mod seal;
pub mod second;
#[cfg(feature = "redis")]
mod secret;
mod sieve;
#[cfg(feature = "suites")]
pub mod suite;

pub use cache::{Cache, CacheBuilder, CacheStats, Cached, Found, Hit, Loaded};
pub use config::{CacheConfig, FailureBackoff};
pub use dial::{Dial, Stream, TcpDial};
pub use entry::{Freshness, Source, Version};
pub use env::{Environment, OsEntropy, SystemWallClock, TokioClock, WallClock};
pub use error::{LoadError, NotTold, OriginError};
pub use key::{Key, Mark, Marks, Prefix, Scope, Tag};
pub use lifetimes::Lifetimes;
pub use memory_tier::MemoryTier;
pub use mesh_core;
pub use mesh_retry;
#[cfg(feature = "redis")]
pub use secret::Secret;
