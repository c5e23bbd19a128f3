//! TLS on a connection that somebody else opened.
//!
//! Decides whom to trust: the authorities of one file, or else the system's. There is no way to trust everybody.

use std::io;
use std::path::Path;
use std::sync::Arc;

use mesh_core::service::{ConfigError, Host};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::config::RedisTls;
use crate::dial::Stream;

/// Speaks TLS as one client.
#[derive(Clone)]
pub(crate) struct Tls {
    connector: TlsConnector,
    /// The name that certificates must have, where it is not the host's.
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the files that `config` names.
    pub(crate) fn load(config: &RedisTls) -> Result<Self, ConfigError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("tls", error, "must be possible with the versions of TLS there are"))?
            .with_root_certificates(roots(config.ca_file.as_deref())?);
        let client = match (&config.cert_file, &config.key_file) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("tls.cert_file", cert)?, private_key(key)?)
                .map_err(|error| ConfigError::new("tls.key_file", error, "must be the key of tls.cert_file"))?,
            _ => builder.with_no_client_auth(),
        };
        let name = config.server_name.as_ref().map(|name| {
            let rule = "must be a DNS name or an IP address";
            ServerName::try_from(name.clone()).map_err(|_| ConfigError::new("tls.server_name", name, rule))
        });
        Ok(Self { connector: TlsConnector::from(Arc::new(client)), name: name.transpose()? })
    }

    /// Agrees on keys with `host` over `stream`.
    pub(crate) async fn speak(&self, host: &Host, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.as_str().to_owned()).map_err(io::Error::other)?,
        };
        Ok(Box::new(self.connector.connect(name, stream).await?))
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    let Some(file) = ca_file else {
        // What a system has of certificates that cannot be used hides none of the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let rule = "must be given where the system trusts no authority";
        return if roots.is_empty() { Err(ConfigError::new("tls.ca_file", "", rule)) } else { Ok(roots) };
    };
    for certificate in certificates("tls.ca_file", file)? {
        let rule = "must be a PEM file of authorities' certificates";
        roots.add(certificate).map_err(|_| ConfigError::new("tls.ca_file", file.display(), rule))?;
    }
    Ok(roots)
}

fn certificates(field: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| ConfigError::new(field, file.display(), "must be a PEM file of certificates that can be read"))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let rule = "must be a PEM file of a private key that can be read";
    PrivateKeyDer::from_pem_file(file).map_err(|_| ConfigError::new("tls.key_file", file.display(), rule))
}
