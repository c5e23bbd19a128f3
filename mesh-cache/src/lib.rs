#![doc = include_str!("../README.md")]

mod dial;
mod env;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "redis")]
mod secret;

pub use dial::{Dial, Stream, TcpDial};
pub use env::{Environment, OsEntropy, TokioClock};
pub use mesh_core;
#[cfg(feature = "redis")]
pub use secret::Secret;
