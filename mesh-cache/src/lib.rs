#![doc = include_str!("../README.md")]

pub mod codec;
mod dial;
pub mod disk;
mod env;
pub mod seal;
#[cfg(feature = "suites")]
pub mod suite;

pub use dial::{Dial, Stream, TcpDial};
pub use env::{Environment, OsEntropy, TokioClock};
pub use mesh_core;
