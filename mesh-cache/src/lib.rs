#![doc = include_str!("../README.md")]

mod dial;
mod env;

pub use dial::{Dial, Stream, TcpDial};
pub use env::{Environment, OsEntropy, TokioClock};
pub use mesh_core;
