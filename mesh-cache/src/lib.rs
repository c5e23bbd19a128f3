#![doc = include_str!("../README.md")]

mod dial;
mod env;
pub mod seal;
#[cfg(feature = "suites")]
pub mod suite;

pub use dial::{Dial, Stream, TcpDial};
pub use env::{Environment, OsEntropy, TokioClock};
pub use mesh_core;
mod early;
mod entry;
mod fence;
mod key;
mod lifetimes;
mod local;
mod sieve;
pub use entry::{Freshness, Source, Version};
pub use key::{Key, Mark, Marks, Prefix, Scope, Tag};
pub use lifetimes::Lifetimes;
