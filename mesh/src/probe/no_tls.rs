//! What stands in for TLS where the crate is built without it: nobody can speak it, and whoever wants to is told why.

use std::io;

use mesh_cache::Stream;
use mesh_core::health::ProbeFailure;
use mesh_core::service::{ConfigError, Host};

use super::connection::Protocol;
use super::tls_config::{NEEDS_FEATURE, ProbeTlsConfig};

/// No TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProbeTls;

impl ProbeTls {
    /// Nothing, unless somebody needs more than that.
    pub(crate) fn open(config: &ProbeTlsConfig, is_needed: bool) -> Result<Self, ConfigError> {
        config.validate()?;
        if is_needed { Err(ConfigError::new("check.tls", true, NEEDS_FEATURE)) } else { Ok(Self) }
    }

    /// Why nobody speaks TLS. Async, as where somebody does.
    pub(super) async fn clients(&self) -> Result<&Clients, ConfigError> {
        Err(ConfigError::new("check.tls", true, NEEDS_FEATURE))
    }
}

/// Nobody.
pub(super) enum Clients {}

impl Clients {
    /// Agrees with nobody.
    pub(super) async fn speak(
        &self,
        _: &Host,
        _: Protocol,
        _: Box<dyn Stream>,
    ) -> io::Result<(Box<dyn Stream>, Refusal)> {
        match *self {}
    }
}

/// What a peer without TLS can say against a connection by TLS: nothing.
pub(super) struct Refusal;

impl Refusal {
    /// The only one there is.
    pub(super) const fn none() -> Self {
        Self
    }

    /// What it means that a connection broke.
    pub(super) const fn failure(&self) -> ProbeFailure {
        ProbeFailure::Broken
    }
}
