//! TLS on a connection that somebody else opened, as the checks of a mesh speak it.
//!
//! Decides whom to trust: the authorities of one file, the system's, or both; everybody only where the configuration
//! says so by the name of the danger. Never resumes a session.

mod stream;
mod trust;

use std::fmt::{self, Debug, Formatter};
use std::io;
use std::sync::Arc;

use mesh_cache::Stream;
use mesh_core::service::{ConfigError, Host};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

pub(super) use self::stream::Refusal;
use self::stream::Secured;
use self::trust::AnyCertificate;
use super::connection::Protocol;
use super::tls_config::ProbeTlsConfig;

/// Speaks TLS as the checks of one mesh do. Clones share what was read of files; the default is able to speak none.
#[derive(Clone, Default)]
pub struct ProbeTls(Option<Arc<Shared>>);

struct Shared {
    config: ProbeTlsConfig,
    /// What could not be read is tried again: the cause may be one of the moment.
    clients: OnceCell<Clients>,
}

impl ProbeTls {
    /// Reads the files that `config` names, or the system's authorities. Blocks meanwhile: for the start of a program.
    ///
    /// # Errors
    /// The field that breaks its rule, and the file that cannot be read; nothing of what is in it.
    pub fn load(config: &ProbeTlsConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let clients = OnceCell::new_with(Some(Clients::load(config)?));
        Ok(Self(Some(Arc::new(Shared { config: config.clone(), clients }))))
    }

    /// As [`ProbeTls::load`] where a check that is known needs it or anything was configured. The system's authorities
    /// alone are read with the first check that needs them: a system without any may run a mesh without such checks.
    pub(crate) fn open(config: &ProbeTlsConfig, is_needed: bool) -> Result<Self, ConfigError> {
        if is_needed || *config != ProbeTlsConfig::default() {
            return Self::load(config);
        }
        Ok(Self(Some(Arc::new(Shared { config: config.clone(), clients: OnceCell::new() }))))
    }

    /// Those who speak, once there are any.
    pub(super) async fn clients(&self) -> Result<&Clients, ConfigError> {
        let Some(shared) = &self.0 else {
            return Err(ConfigError::new("check.tls", true, "must be false where no TLS was given"));
        };
        let read = shared.clients.get_or_try_init(|| async {
            let config = shared.config.clone();
            let read = tokio::task::spawn_blocking(move || Clients::load(&config)).await;
            read.unwrap_or_else(|error| Err(ConfigError::new("probe_tls", error, "must be possible to read")))
        });
        read.await
    }
}

impl Debug for ProbeTls {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProbeTls").field(&self.0.as_ref().map(|shared| &shared.config)).finish()
    }
}

/// One client for each protocol that is spoken over TLS.
pub(super) struct Clients {
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Clients {
    fn load(config: &ProbeTlsConfig) -> Result<Self, ConfigError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::new("probe_tls", error, "must be possible with the versions there are"))?;
        let builder = if config.dangerously_accept_any_certificate {
            tracing::warn!("health checks over TLS accept any certificate: probe_tls says so");
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(algorithms)))
        } else {
            builder.with_root_certificates(trust::roots(config)?)
        };
        let mut client = match (&config.cert_file, &config.key_file) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(trust::certificates("probe_tls.cert_file", cert)?, trust::private_key(key)?)
                .map_err(|_| {
                    ConfigError::new("probe_tls.key_file", key.display(), "must be the key of probe_tls.cert_file")
                })?,
            (_, _) => builder.with_no_client_auth(),
        };
        // Of a session that is resumed nobody looks at the certificate again, and it may have run out meanwhile.
        client.resumption = Resumption::disabled();
        let speaking = |protocol: &[u8]| {
            let mut client = client.clone();
            client.alpn_protocols = vec![protocol.to_vec()];
            TlsConnector::from(Arc::new(client))
        };
        Ok(Self { http1: speaking(HTTP1), http2: speaking(HTTP2) })
    }

    /// Agrees on keys with `host` over `stream`, and on what is spoken then.
    pub(super) async fn speak(
        &self,
        host: &Host,
        protocol: Protocol,
        stream: Box<dyn Stream>,
    ) -> io::Result<(Box<dyn Stream>, Refusal)> {
        let name = ServerName::try_from(host.as_str().to_owned()).map_err(io::Error::other)?;
        let client = match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        let stream = client.connect(name, stream).await?;
        // HTTP/2 over TLS must have been agreed on (RFC 9113, section 3.2); HTTP/1.1 is what is spoken without a word.
        if protocol == Protocol::Http2 && stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
            return Err(io::Error::other("the server did not agree to speak HTTP/2"));
        }
        let refusal = Refusal::watching();
        Ok((Box::new(Secured::new(stream, refusal.clone())), refusal))
    }
}

/// The names of the protocols (RFC 7301's registry).
const HTTP1: &[u8] = b"http/1.1";
const HTTP2: &[u8] = b"h2";
