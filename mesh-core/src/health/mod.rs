//! Which instances are alive, by what they answer: thresholds and active checks.
//!
//! Nothing here talks to an instance; the driver runs the probes that the machine of the service asks for.

mod checker;
pub mod own;
mod status;
mod threshold;

pub(crate) use checker::{Checker, Transition};
pub use checker::{CheckerConfig, Probe, ProbeFailure, ProbeId, ProbeReport, ProbeVerdict};
pub use status::Health;
pub use threshold::Threshold;
