//! The service's own health: runs its checks, and answers whoever asks whether it is alive and ready.
//!
//! Decides nothing that [`OwnHealth`] decides. One task runs one check, one more notices what expires; all of them end
//! with the mesh, or with the last handle.

mod answer;
mod error;
mod feed;
mod registry;
mod run;

pub use answer::{HealthAnswer, ProbeKind};
pub use error::{HealthCheckError, HealthReportError};
pub(crate) use feed::{feed, register};
pub use mesh_core::health::own::{
    Aggregate, CheckName, CheckStatus, OwnCheck, OwnHealth, OwnState, OwnStatus, Reason, Report,
};
pub use registry::{HealthConfig, HealthRegistry};
pub use run::Probing;
