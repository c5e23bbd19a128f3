//! Whose word counts, and what is shown: read from files, or from the system.

use std::path::Path;

use mesh_core::service::ConfigError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::probe::tls_config::ProbeTlsConfig;

/// The authorities that `config` trusts; at least one.
pub(super) fn roots(config: &ProbeTlsConfig) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = &config.ca_file {
        for certificate in certificates("probe_tls.ca_file", file)? {
            let rule = "must be a PEM file of authorities' certificates";
            roots.add(certificate).map_err(|_| ConfigError::new("probe_tls.ca_file", file.display(), rule))?;
        }
    }
    let mut obstacle = None;
    if config.ca_file.is_none() || config.system_roots {
        let found = rustls_native_certs::load_native_certs();
        // What a system has of certificates that cannot be used hides none of the others.
        roots.add_parsable_certificates(found.certs);
        obstacle = found.errors.into_iter().next();
    }
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = obstacle.map_or_else(|| "none was found".to_owned(), |error| error.to_string());
    let rule = format!("must be given where the system trusts no authority: {why}");
    Err(ConfigError::new("probe_tls.ca_file", "", rule))
}

/// The certificates in `file`; at least one.
pub(super) fn certificates(field: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    read.ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| ConfigError::new(field, file.display(), "must be a PEM file of certificates that can be read"))
}

/// The key in `file`. What the reader has to say against it may repeat a part of it, and is not passed on.
pub(super) fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, ConfigError> {
    let rule = "must be a PEM file of a private key that can be read";
    PrivateKeyDer::from_pem_file(file).map_err(|_| ConfigError::new("probe_tls.key_file", file.display(), rule))
}

/// Takes every certificate for a good one, and demands only that the peer has its key.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
