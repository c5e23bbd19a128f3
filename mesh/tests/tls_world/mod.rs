//! Authorities, certificates, and real servers that show them.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail like tests")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh::ProbeTlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority, and a directory for the files of it and of what it signed.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key.
pub(crate) struct Signed {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: KeyPair,
    pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    pub(crate) fn sign(&self, params: &CertificateParams) -> Signed {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed { certificate: certificate.der().clone(), key, pem: certificate.pem() }
    }

    /// A certificate for 127.0.0.1.
    pub(crate) fn local(&self) -> Signed {
        self.sign(&server([SanType::IpAddress([127, 0, 0, 1].into())]))
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// A file of this authority's directory.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// What trusts this authority and no other.
    pub(crate) fn trusted(&self) -> ProbeTlsConfig {
        let mut config = ProbeTlsConfig::default();
        config.ca_file = Some(self.ca_file());
        config
    }

    /// As [`Authority::trusted`], showing `client`.
    pub(crate) fn showing(&self, client: &Signed) -> ProbeTlsConfig {
        let mut config = self.trusted();
        config.cert_file = Some(self.file("client.pem", &client.pem));
        config.key_file = Some(self.file("client-key.pem", &client.key.serialize_pem()));
        config
    }
}

pub(crate) fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(crate) fn server(names: impl IntoIterator<Item = SanType>) -> CertificateParams {
    let mut params = named("server");
    params.subject_alt_names = names.into_iter().collect();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub(crate) fn client() -> CertificateParams {
    let mut params = named("client");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// How a server speaks.
pub(crate) struct Manner {
    key: CertifiedKey,
    protocols: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Who signs its clients' certificates, where it wants to see any.
    clients: Option<Arc<RootCertStore>>,
    speaks_http2: bool,
    closes: bool,
}

impl Manner {
    /// HTTP/1.1 with this certificate.
    pub(crate) fn http(signed: &Signed) -> Self {
        Self::impostor(signed, signed)
    }

    /// HTTP/1.1 with the certificate of `shown` and the key of `held`.
    pub(crate) fn impostor(shown: &Signed, held: &Signed) -> Self {
        let pem = held.key.serialize_pem();
        let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap());
        Self {
            key: CertifiedKey::new(vec![shown.certificate.clone()], key.unwrap()),
            protocols: vec![b"http/1.1".to_vec()],
            versions: rustls::ALL_VERSIONS.to_vec(),
            clients: None,
            speaks_http2: false,
            closes: false,
        }
    }

    /// gRPC with this certificate.
    pub(crate) fn grpc(signed: &Signed) -> Self {
        Self { protocols: vec![b"h2".to_vec()], speaks_http2: true, ..Self::http(signed) }
    }

    /// This one, agreeing on nothing but `protocols`.
    pub(crate) fn agreeing_on(self, protocols: &[&str]) -> Self {
        Self { protocols: protocols.iter().map(|name| name.as_bytes().to_vec()).collect(), ..self }
    }

    /// This one, in this version of TLS alone.
    pub(crate) fn of(self, version: &'static SupportedProtocolVersion) -> Self {
        Self { versions: vec![version], ..self }
    }

    /// This one, for clients alone that `authority` knows.
    pub(crate) fn mutual(self, authority: &Authority) -> Self {
        Self { clients: Some(authority.roots()), ..self }
    }

    /// This one, closing each connection after an answer.
    pub(crate) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    fn config(self) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = self.clients.map_or_else(WebPkiClientVerifier::no_client_auth, |roots| {
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().unwrap()
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.key)));
        config.alpn_protocols = self.protocols;
        config
    }
}

/// A connection as the server saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shaken {
    pub(crate) name: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) kind: HandshakeKind,
}

/// What a server saw; its answers are good ones.
#[derive(Default)]
struct Seen {
    shaken: Mutex<Vec<Shaken>>,
    asked: Mutex<Vec<String>>,
}

/// A server for as long as the test runs.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

impl TlsServer {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Seen>::default());
        let server = Self { address, seen: Arc::clone(&seen) };
        let (speaks_http2, closes) = (manner.speaks_http2, manner.closes);
        let acceptor = TlsAcceptor::from(Arc::new(manner.config()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, acceptor.clone(), (speaks_http2, closes), Arc::clone(&seen)));
            }
        });
        server
    }

    /// The connections on which both agreed.
    pub(crate) fn shaken(&self) -> Vec<Shaken> {
        self.seen.shaken.lock().unwrap().clone()
    }

    /// Whom the requests asked for, with the scheme where they have one.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.seen.asked.lock().unwrap().clone()
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, (speaks_http2, closes): (bool, bool), seen: Arc<Seen>) {
    let stream = match acceptor.accept(stream).into_fallible().await {
        Ok(stream) => stream,
        Err((_, mut stream)) => {
            // What is unread when it is closed would reset the connection, and the client not hear why.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            return;
        }
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let connection = stream.get_ref().1;
    let (name, protocol) = (connection.server_name().map(str::to_owned), connection.alpn_protocol().map(text));
    let shaken = Shaken { name, protocol, kind: connection.handshake_kind().unwrap() };
    seen.shaken.lock().unwrap().push(shaken);
    let service = service_fn(|request: Request<Incoming>| {
        let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        seen.asked.lock().unwrap().push(host.unwrap_or_else(|| request.uri().to_string()));
        async move { Ok::<_, Infallible>(answer(speaks_http2)) }
    });
    // How the client leaves is no matter of the tests.
    if speaks_http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().keep_alive(!closes).serve_connection(TokioIo::new(stream), service).await;
    }
}

fn answer(is_grpc: bool) -> Response<BoxBody<Bytes, Infallible>> {
    if !is_grpc {
        return Response::new(Full::from("well").boxed());
    }
    let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect();
    let serving = Full::from(&[0, 0, 0, 0, 2, 8, 1][..]).with_trailers(async { Some(Ok(trailers)) }).boxed();
    Response::builder().header("content-type", "application/grpc").body(serving).unwrap()
}

/// The lines of the PEM file at `path` that are not its frame.
pub(crate) fn lines_of(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter(|line| !line.starts_with("-----")).map(str::to_owned).collect()
}
