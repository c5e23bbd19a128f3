//! Which instances are alive: by what checks say, by how requests to them end ([`outlier`]), and by both taken together.
//!
//! Nothing here talks to an instance; the driver runs the probes that the machine of the service asks for.

mod checker;
mod flap;
mod history;
pub mod outlier;
pub mod own;
mod phi;
mod probe;
mod score;
mod slow_start;
mod status;
mod threshold;

pub use checker::CheckerConfig;
pub(crate) use checker::{Checker, Transition};
pub use flap::{Damper, Damping, DampingConfig};
pub use history::{Aggregate, History, HistoryConfig, Ledger, ServiceVerdict, StatusChange};
pub use phi::{PhiAccrual, PhiConfig};
pub use probe::{Probe, ProbeFailure, ProbeId, ProbeReport, ProbeVerdict, ServingStatus};
pub use score::{HealthWeight, ScoreConfig, Signals, Step, Weighting, slow_start};
pub use slow_start::SlowStartConfig;
pub use status::{CheckEvidence, Health, OutlierStanding, Reason, Sources, Status};
pub use threshold::Threshold;
