//! Certificates and keys, as files.

use std::path::PathBuf;

use mesh_core::service::ConfigError;

/// How the agent's certificate is checked, and which one is shown to it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsConfig {
    /// A PEM file of certificate authorities that are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A directory of such files.
    pub ca_dir: Option<PathBuf>,
    /// A PEM file of the certificate to show.
    pub cert_file: Option<PathBuf>,
    /// A PEM file of its key.
    pub key_file: Option<PathBuf>,
    /// The name that the agent's certificate must have, where it is not the address's.
    pub server_name: Option<String>,
    /// Whether the agent's certificate is checked at all; true. Without, anybody between can read and write.
    pub verify: bool,
}

impl TlsConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => Err(ConfigError::new("tls.key_file", "", "must be given with tls.cert_file")),
            (None, Some(_)) => Err(ConfigError::new("tls.cert_file", "", "must be given with tls.key_file")),
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { ca_file: None, ca_dir: None, cert_file: None, key_file: None, server_name: None, verify: true }
    }
}
