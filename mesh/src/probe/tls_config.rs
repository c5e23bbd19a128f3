//! What checks over TLS trust and what they show.
//!
//! Decides which of it goes together. Holds names of files and no key.

use std::path::PathBuf;

use mesh_core::service::ConfigError;

/// How the checks that the mesh runs over TLS judge a server's certificate, and which one they show.
///
/// The certificate must be for the host that the check names in its `Host` header, or else for the one that is
/// dialled; of an IP address that is an entry of that kind and no DNS name. With the default the system's authorities
/// are trusted and nothing is shown. Anything else needs the feature `probe-tls`, and is refused without it.
///
/// The files are read when the mesh is built, and not again.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProbeTlsConfig {
    /// A PEM file of certificate authorities that are trusted, in place of the system's. Default none.
    pub ca_file: Option<PathBuf>,
    /// Whether the system's authorities are trusted besides those of `ca_file`. Without such a file they are in any case.
    /// Default no.
    pub system_roots: bool,
    /// A PEM file of the certificate to show to a server that asks for one, with those between it and its authority.
    /// Default none.
    pub cert_file: Option<PathBuf>,
    /// A PEM file of its private key. Default none.
    pub key_file: Option<PathBuf>,
    /// Takes any certificate for a good one, whoever signed it, whatever it is for and however old it is. Default no.
    ///
    /// For instances whose certificates nobody signed. Whoever is between here and there can then answer in an
    /// instance's place, say that it is well, and read the headers of the check. It holds for checks alone, of all
    /// services of the mesh, and is logged as a warning. The peer still has to have the key of what it shows.
    pub dangerously_accept_any_certificate: bool,
}

impl ProbeTlsConfig {
    /// Checks that the fields go together, and that there is TLS for them at all. Reads no file.
    ///
    /// # Errors
    /// The first field that breaks its rule.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !cfg!(feature = "probe-tls") && *self != Self::default() {
            return Err(ConfigError::new("probe_tls", "", NEEDS_FEATURE));
        }
        let is_trusting = self.dangerously_accept_any_certificate && (self.ca_file.is_some() || self.system_roots);
        for (is_wrong, field, rule) in [
            (self.cert_file.is_some() && self.key_file.is_none(), "probe_tls.key_file", "must be given with cert_file"),
            (self.key_file.is_some() && self.cert_file.is_none(), "probe_tls.cert_file", "must be given with key_file"),
            (
                is_trusting,
                "probe_tls.dangerously_accept_any_certificate",
                "must be left out where authorities are named",
            ),
        ] {
            if is_wrong {
                return Err(ConfigError::new(field, "", rule));
            }
        }
        Ok(())
    }
}

/// The rule that TLS breaks where nobody can speak it.
pub(crate) const NEEDS_FEATURE: &str = "must be left out unless the crate mesh is built with its feature probe-tls";
