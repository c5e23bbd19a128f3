//! Which instances are alive, by what they answer: thresholds and active checks.
//!
//! Nothing here talks to an instance; the driver runs the probes that the machine of the service asks for.

mod checker;
mod probe;
mod status;
mod threshold;

pub use checker::CheckerConfig;
pub(crate) use checker::{Checker, Transition};
pub use probe::{Probe, ProbeFailure, ProbeId, ProbeReport, ProbeVerdict, ServingStatus};
pub use status::Health;
pub use threshold::Threshold;
