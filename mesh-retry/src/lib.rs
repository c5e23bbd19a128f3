#![doc = include_str!("../README.md")]

pub mod adaptive;
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod call;
pub mod classify;
pub mod coordinator;
pub mod deadline;
pub mod hedge;
pub mod limit;
pub mod policy;
mod sync;

pub use mesh_core::balance::{EndpointId, Tried};
pub use mesh_core::machine::Machine;
pub use mesh_core::rng::Rng;
pub use mesh_core::time::Instant;
