//! Why a check is not run, or a report not taken.

use mesh_core::health::own::{OwnCheckError, UnknownCheck};
use mesh_core::service::ConfigError;
use thiserror::Error;

/// Why a check was not registered. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HealthCheckError {
    /// It does not fit in with the others, or one of its numbers breaks a rule.
    #[error(transparent)]
    Refused(#[from] OwnCheckError),
    /// One of the numbers of its runs breaks a rule.
    #[error(transparent)]
    Probing(#[from] ConfigError),
    /// There is no tokio runtime here to run it on.
    #[error("no tokio runtime to run health checks on")]
    NoRuntime,
    /// The mesh was shut down.
    #[error("the mesh was shut down")]
    ShutDown,
}

/// Why a report was not taken. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HealthReportError {
    /// There is no such check.
    #[error(transparent)]
    Unknown(#[from] UnknownCheck),
    /// The mesh was shut down.
    #[error("the mesh was shut down")]
    ShutDown,
}
