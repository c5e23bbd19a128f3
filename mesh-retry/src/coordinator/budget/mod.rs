//! One budget for the retries of a whole fleet.

mod config;
mod demand;
mod fleet;
#[cfg(all(test, mesh_loom))]
mod interleavings;
mod machine;
mod message;
mod settling;
mod share;
#[cfg(feature = "suites")]
pub mod suite;
mod told;
mod word;

pub use super::wake::Wake;
pub use config::{Fallback, FleetBudgetConfig};
pub use fleet::FleetBudget;
pub use machine::FleetMachine;
pub use message::{FleetChange, FleetEffect, FleetEvent, FleetInput, FleetState};
