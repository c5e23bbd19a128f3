//! The transport of production: reqwest, with connections of its own for each lane.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mesh_core::port::BoxFuture;
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use thiserror::Error;

use crate::config::{Address, ConsulConfig, TlsConfig};
use crate::request::Lane;
use crate::transport::{Transport, TransportError};

/// Three clients: blocking queries fill connections (HTTP/1.1) or streams (HTTP/2, 250 of them) for minutes, and what
/// is urgent must not wait behind them.
#[derive(Debug)]
pub struct ReqwestTransport {
    base: String,
    control: Client,
    watches: Client,
    heartbeats: Client,
    bytes_max: usize,
}

/// Why no client could be made. No secret is shown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransportConfigError {
    /// A file of certificates or keys could not be read.
    #[error("{field}: {path:?} cannot be read")]
    File {
        /// The field of [`TlsConfig`].
        field: &'static str,
        /// What it says.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no certificate or key that can be used.
    #[error("{field}: {path:?} holds no usable PEM")]
    Pem {
        /// The field of [`TlsConfig`].
        field: &'static str,
        /// What it says.
        path: PathBuf,
        /// Why not.
        #[source]
        source: reqwest::Error,
    },
    /// The server's name could not be put in the place of the address.
    #[error("tls.server_name: needs an address with a literal IP and a port, not {address}")]
    ServerName {
        /// The address.
        address: Address,
    },
    /// The client could not be made.
    #[error("no HTTP client could be made")]
    Client(#[source] reqwest::Error),
}

impl ReqwestTransport {
    /// Clients for the agent that `config` names. Reads the files of certificates; opens no connection yet.
    ///
    /// # Errors
    /// Which file or setting is at fault.
    pub fn new(config: &ConsulConfig) -> Result<Self, TransportConfigError> {
        let build = || builder(config)?.build().map_err(TransportConfigError::Client);
        Ok(Self {
            base: base(config)?.0,
            control: build()?,
            watches: build()?,
            heartbeats: build()?,
            bytes_max: config.answer_bytes_max.get(),
        })
    }

    fn client(&self, lane: Lane) -> &Client {
        match lane {
            Lane::Control => &self.control,
            Lane::Watch => &self.watches,
            Lane::Heartbeat => &self.heartbeats,
        }
    }

    async fn exchange(
        &self,
        lane: Lane,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let (parts, body) = request.into_parts();
        let mut outgoing = self.client(lane).request(parts.method, format!("{}{}", self.base, parts.uri));
        outgoing = outgoing.headers(parts.headers).body(body);
        let mut answer = outgoing.send().await.map_err(failure)?;
        let mut response = http::Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            *headers = answer.headers().clone();
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(failure)? {
            if body.len().saturating_add(chunk.len()) > self.bytes_max {
                return Err(TransportError::TooLarge { bytes_max: self.bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        response.body(body.freeze()).map_err(|error| TransportError::Broken(Box::new(error)))
    }
}

impl Transport for ReqwestTransport {
    fn send(
        &self,
        lane: Lane,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let exchanged = tokio::time::timeout(timeout, self.exchange(lane, request)).await;
            exchanged.unwrap_or(Err(TransportError::Timeout(timeout)))
        })
    }
}

fn failure(error: reqwest::Error) -> TransportError {
    // The URL may hold what was asked for, which belongs to whoever reports the failure.
    let error = error.without_url();
    if error.is_connect() { TransportError::Connect(Box::new(error)) } else { TransportError::Broken(Box::new(error)) }
}

fn builder(config: &ConsulConfig) -> Result<ClientBuilder, TransportConfigError> {
    let mut builder = Client::builder()
        .connect_timeout(config.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .gzip(true)
        .tcp_keepalive(KEEPALIVE)
        .pool_idle_timeout(POOL_IDLE)
        .tls_danger_accept_invalid_certs(!config.tls.verify);
    if let Address::Unix(path) = &config.address {
        builder = builder.unix_socket(path.as_path());
    }
    if let (_, Some((name, address))) = base(config)? {
        builder = builder.resolve(&name, address);
    }
    certificates(builder, &config.tls)
}

/// What URLs begin with, and where the host named there is, when it is the certificate's name and not the address.
fn base(config: &ConsulConfig) -> Result<(String, Option<(String, SocketAddr)>), TransportConfigError> {
    let (Some(name), Address::Tcp { tls: true, authority }) = (&config.tls.server_name, &config.address) else {
        return Ok((config.address.base(), None));
    };
    let (host, path) = authority.split_once('/').map_or((authority.as_str(), ""), |(host, path)| (host, path));
    let address: SocketAddr =
        host.parse().map_err(|_| TransportConfigError::ServerName { address: config.address.clone() })?;
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    Ok((format!("https://{name}:{}{path}", address.port()), Some((name.clone(), address))))
}

fn certificates(mut builder: ClientBuilder, tls: &TlsConfig) -> Result<ClientBuilder, TransportConfigError> {
    let mut trusted = Vec::new();
    if let Some(path) = &tls.ca_file {
        trusted.extend(authorities("tls.ca_file", path)?);
    }
    if let Some(directory) = &tls.ca_dir {
        let unreadable = |source| TransportConfigError::File { field: "tls.ca_dir", path: directory.clone(), source };
        for file in fs::read_dir(directory).map_err(unreadable)? {
            let path = file.map_err(unreadable)?.path();
            if path.is_file() {
                trusted.extend(authorities("tls.ca_dir", &path)?);
            }
        }
    }
    if tls.ca_file.is_some() || tls.ca_dir.is_some() {
        builder = builder.tls_certs_only(trusted);
    }
    if let (Some(cert), Some(key)) = (&tls.cert_file, &tls.key_file) {
        let mut pem = read("tls.cert_file", cert)?;
        pem.push(b'\n');
        pem.extend(read("tls.key_file", key)?);
        let unusable =
            |source| TransportConfigError::Pem { field: "tls.cert_file, tls.key_file", path: cert.clone(), source };
        builder = builder.identity(Identity::from_pem(&pem).map_err(unusable)?);
    }
    Ok(builder)
}

fn authorities(field: &'static str, path: &Path) -> Result<Vec<Certificate>, TransportConfigError> {
    let unusable = |source| TransportConfigError::Pem { field, path: path.to_owned(), source };
    Certificate::from_pem_bundle(&read(field, path)?).map_err(unusable)
}

fn read(field: &'static str, path: &Path) -> Result<Vec<u8>, TransportConfigError> {
    fs::read(path).map_err(|source| TransportConfigError::File { field, path: path.to_owned(), source })
}

const KEEPALIVE: Duration = Duration::from_secs(30);
/// Shorter than the idle time-outs of common proxies.
const POOL_IDLE: Duration = Duration::from_secs(30);
