//! The client: sends requests with the token, reads it anew when Consul refuses it, and names what went wrong.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use mesh_core::service::{ConfigError, ServiceName};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::config::{BasicAuth, ConsulConfig};
use crate::env::Environment;
use crate::error::{Cause, ConsulError, ErrorClass};
use crate::health::{self, Listing, Vantage};
use crate::options::QueryOptions;
use crate::request::{Lane, Request};
use crate::reqwest_transport::{ReqwestTransport, TransportConfigError};
use crate::response::{Answer, Meta, retry_after};
use crate::secret::Secret;
use crate::transport::{Transport, TransportError};
use crate::version::{Agent, Version};
use crate::watch::{Hub, ServiceWatch};

/// A client of one Consul agent. Cheap to clone; clones share connections and watches.
#[derive(Clone, Debug)]
pub struct Consul {
    inner: Arc<Inner>,
    /// What the tasks of the watches do not hold: they end with the last of their clients.
    _life: Option<Arc<Life>>,
}

/// Ends the watches with the last client.
#[derive(Debug)]
struct Life(Arc<Inner>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.hub.close();
    }
}

struct Inner {
    config: ConsulConfig,
    transport: Arc<dyn Transport>,
    environment: Environment,
    token: Mutex<Option<HeaderValue>>,
    basic_auth: Option<HeaderValue>,
    agent: tokio::sync::OnceCell<Agent>,
    /// One for each request that may be under way, but for those that must not wait.
    requests: Semaphore,
    hub: Hub,
}

/// Why there is no client.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A field of the configuration breaks its rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The connections could not be prepared.
    #[error(transparent)]
    Transport(#[from] TransportConfigError),
    /// The file of the token could not be read.
    #[error("token_file: {path:?} cannot be read")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Consul {
    /// A client by `config`, over reqwest. Opens no connection yet.
    ///
    /// # Errors
    /// Which field, file or certificate is at fault.
    pub fn new(config: ConsulConfig) -> Result<Self, ClientError> {
        config.validate()?;
        let transport = ReqwestTransport::new(&config)?;
        Self::with(config, transport, Environment::default())
    }

    /// A client by `config` over a transport of one's own, in an environment of one's own.
    ///
    /// # Errors
    /// Which field or file is at fault.
    pub fn with(
        config: ConsulConfig,
        transport: impl Transport + 'static,
        environment: Environment,
    ) -> Result<Self, ClientError> {
        config.validate()?;
        let token = match (&config.token, &config.token_file) {
            (Some(token), _) => Some(header("token", token)?),
            (None, Some(path)) => Some(token_from(path)?),
            (None, None) => None,
        };
        let basic_auth = config.basic_auth.as_ref().map(basic_header).transpose()?;
        let hub = Hub::new(&config);
        let requests = Semaphore::new(config.requests_max.get().min(Semaphore::MAX_PERMITS));
        let inner = Inner {
            config,
            transport: Arc::new(transport),
            environment,
            token: Mutex::new(token),
            basic_auth,
            agent: tokio::sync::OnceCell::new(),
            requests,
            hub,
        };
        let inner = Arc::new(inner);
        Ok(Self { _life: Some(Arc::new(Life(Arc::clone(&inner)))), inner })
    }

    /// By what it was made.
    #[must_use]
    pub fn config(&self) -> &ConsulConfig {
        &self.inner.config
    }

    /// Sends `request`.
    ///
    /// Where Consul refuses the token and it came from a file, the file is read again, and the request sent once more if
    /// the file holds another one.
    ///
    /// # Errors
    /// What went wrong; every answer but 2xx is an error.
    pub async fn send(&self, request: &Request) -> Result<Answer, ConsulError> {
        let token = self.token();
        match self.attempt(request, token.clone()).await {
            Err(error) if error.class() == ErrorClass::AclDenied => match self.newer_token(token).await {
                Some(newer) => self.attempt(request, Some(newer)).await,
                None => Err(error),
            },
            result => result,
        }
    }

    /// Reads the instances of `service` once.
    ///
    /// # Errors
    /// What went wrong, and what the token lacks where nothing is shown for that. No instance is none: see [`Listing`].
    pub async fn health(&self, service: &ServiceName, options: &QueryOptions) -> Result<Listing, ConsulError> {
        let (listing, meta) = self.shown(service, options).await?;
        if listing.snapshot.is_empty() && listing.unusable == 0 && !options.prepared_query {
            self.verify_visible(service.as_str(), &meta).await?;
        }
        Ok(listing)
    }

    /// The instances of `service` that the token may see, which may be none for that.
    pub(crate) async fn shown(
        &self,
        service: &ServiceName,
        options: &QueryOptions,
    ) -> Result<(Listing, Meta), ConsulError> {
        let operation = "read health";
        options.validate().map_err(|error| invalid(operation, &error))?;
        self.verify_supported(options).await?;
        let mut first = None;
        for datacenter in legs(options) {
            let request = self.scoped(options.request(service.as_str(), datacenter, options.consistency), options);
            let vantage = self.vantage(datacenter).await?;
            let answer = self.send(&request).await?;
            let listing = read_listing(service, options, vantage, &answer)?;
            if listing.snapshot.iter().any(is_live) {
                return Ok((listing, answer.meta));
            }
            first.get_or_insert((listing, answer.meta));
        }
        Ok(first.unwrap_or_default())
    }

    /// Follows the instances of `service`. All who ask the same of one client share one query.
    ///
    /// # Errors
    /// Which of the options breaks its rule.
    pub fn watch(&self, service: &ServiceName, options: &QueryOptions) -> Result<ServiceWatch, ConfigError> {
        options.validate()?;
        Ok(ServiceWatch::new(self.clone(), service, options))
    }

    /// How many services are followed by blocking queries now, and how many are polled.
    #[must_use]
    pub fn watches(&self) -> (usize, usize) {
        self.inner.hub.census()
    }

    /// The agent's version; none where the token may not read it (`agent:read`).
    ///
    /// # Errors
    /// What went wrong.
    pub async fn version(&self) -> Result<Option<Version>, ConsulError> {
        Ok(self.agent().await?.version)
    }

    /// Who the agent is, asked once.
    async fn agent(&self) -> Result<&Agent, ConsulError> {
        self.inner.agent.get_or_try_init(|| crate::version::probe(self)).await
    }

    /// From where the instances of `datacenter` are seen.
    pub(crate) async fn vantage(&self, datacenter: Option<&str>) -> Result<Vantage, ConsulError> {
        let Some(datacenter) = datacenter else { return Ok(Vantage::Local) };
        let home = self.agent().await?.datacenter.as_deref() == Some(datacenter);
        Ok(if home { Vantage::Local } else { Vantage::Foreign })
    }

    /// This client for a task that must not keep the watches alive.
    pub(crate) fn for_task(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), _life: None }
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.inner.environment
    }

    /// `request` in the namespace and partition of the configuration, where the options name none.
    pub(crate) fn scoped(&self, request: Request, options: &QueryOptions) -> Request {
        let config = &self.inner.config;
        let namespace = config.namespace.as_ref().filter(|_| options.namespace.is_none());
        let partition = config.partition.as_ref().filter(|_| options.partition.is_none() && options.peer.is_none());
        let request = namespace.map_or(request.clone(), |namespace| request.param("ns", namespace));
        partition.map_or(request.clone(), |partition| request.param("partition", partition))
    }

    /// What tells its answers to `options` apart from those that others are given; holds a hash of the token.
    pub(crate) fn identity(&self, options: &QueryOptions) -> String {
        let token = self.token();
        let token = token.as_ref().map_or(&[][..], HeaderValue::as_bytes);
        let digest = Sha256::new().chain_update((token.len() as u64).to_be_bytes()).chain_update(token);
        let digest = digest.chain_update(format!("{options:?}")).finalize();
        digest.iter().take(16).fold("consul:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn token(&self) -> Option<HeaderValue> {
        self.inner.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the token's file holds now, where that is another than `used`.
    async fn newer_token(&self, used: Option<HeaderValue>) -> Option<HeaderValue> {
        let current = self.token();
        if current != used {
            return current;
        }
        let path = self.inner.config.token_file.clone()?;
        let read = tokio::task::spawn_blocking(move || token_from(&path)).await.ok()?;
        match read {
            Ok(token) if Some(&token) != used.as_ref() => {
                tracing::info!("Consul refused the token; its file holds another one by now");
                *self.inner.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
                Some(token)
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "Consul refused the token, and its file could not be read again");
                None
            }
        }
    }

    async fn attempt(&self, request: &Request, token: Option<HeaderValue>) -> Result<Answer, ConsulError> {
        let operation = request.operation;
        let mut outgoing = http::Request::builder().method(request.method.clone()).uri(&request.target);
        if let Some(token) = token {
            outgoing = outgoing.header("X-Consul-Token", token);
        }
        if let Some(basic_auth) = &self.inner.basic_auth {
            outgoing = outgoing.header(AUTHORIZATION, basic_auth.clone());
        }
        if !request.body.is_empty() {
            outgoing = outgoing.header(CONTENT_TYPE, "application/json");
        }
        let outgoing = outgoing.body(request.body.clone());
        let outgoing = outgoing.map_err(|error| {
            ConsulError::new(operation, Cause::Invalid("the request's text".into())).caused_by(error)
        })?;
        let sent = async {
            let _turn = match request.lane {
                // A semaphore that is never closed does not fail.
                Lane::Control => self.inner.requests.acquire().await.ok(),
                Lane::Watch | Lane::Heartbeat => None,
            };
            self.inner.transport.send(request.lane, outgoing, request.timeout).await
        };
        // The wait for a turn is part of the request's time.
        let sent = tokio::time::timeout(request.timeout, sent).await;
        let sent = sent.unwrap_or(Err(TransportError::Timeout(request.timeout)));
        let (parts, body): (_, Bytes) = sent.map_err(|error| transport_error(operation, error))?.into_parts();
        if parts.status.is_success() {
            return Ok(Answer { meta: Meta::of(&parts.headers), body });
        }
        // The headers of an error look like those of an answer, index included, and mean nothing.
        Err(ConsulError::of_answer(operation, parts.status.as_u16(), &body, retry_after(&parts.headers)))
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("config", &self.config)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// Reads what `answer` lists.
pub(crate) fn read_listing(
    service: &ServiceName,
    options: &QueryOptions,
    vantage: Vantage,
    answer: &Answer,
) -> Result<Listing, ConsulError> {
    // An agent that translates addresses has put the right ones in place already.
    let vantage = if answer.meta.translates_addresses { Vantage::Local } else { vantage };
    let listing = if options.prepared_query {
        health::decode_query(service, &answer.body)
    } else {
        health::decode(service, &answer.body, vantage)
    };
    let mut listing = listing
        .map_err(|error| ConsulError::new("read health", Cause::Decode(error.to_string().into())).caused_by(error))?;
    listing.age = answer.meta.staleness();
    if listing.unusable > 0 {
        let (unusable, reason) = (listing.unusable, listing.reason.as_deref().unwrap_or_default());
        tracing::warn!(%service, unusable, reason, "entries of Consul's list cannot be used");
    }
    Ok(listing)
}

/// The datacenters to ask, in order of preference.
pub(crate) fn legs(options: &QueryOptions) -> Vec<Option<&str>> {
    if options.datacenters.is_empty() {
        vec![None]
    } else {
        options.datacenters.iter().map(|datacenter| Some(datacenter.as_str())).collect()
    }
}

/// Whether an instance may be called as far as Consul knows.
pub(crate) fn is_live(entry: &mesh_core::snapshot::Entry) -> bool {
    use mesh_core::snapshot::RegistryStatus::{Critical, Maintenance};
    !matches!(entry.status(), Critical | Maintenance)
}

pub(crate) fn invalid(operation: &'static str, error: &ConfigError) -> ConsulError {
    ConsulError::new(operation, Cause::Invalid(error.to_string().into()))
}

fn transport_error(operation: &'static str, error: TransportError) -> ConsulError {
    let cause = match &error {
        TransportError::Connect(_) => Cause::Connect,
        TransportError::Timeout(after) => Cause::Timeout(*after),
        TransportError::Broken(_) => Cause::Broken,
        TransportError::TooLarge { .. } => Cause::Decode(error.to_string().into()),
    };
    ConsulError::new(operation, cause).caused_by(error)
}

fn header(field: &'static str, secret: &Secret) -> Result<HeaderValue, ConfigError> {
    let refused = |_| ConfigError::new(field, "(hidden)", "must be visible ASCII");
    let mut value = HeaderValue::from_str(secret.expose()).map_err(refused)?;
    value.set_sensitive(true);
    Ok(value)
}

fn token_from(path: &Path) -> Result<HeaderValue, ClientError> {
    let text = fs::read_to_string(path).map_err(|source| ClientError::TokenFile { path: path.to_owned(), source })?;
    Ok(header("token_file", &Secret::new(text.trim()))?)
}

fn basic_header(auth: &BasicAuth) -> Result<HeaderValue, ConfigError> {
    use base64::Engine as _;
    let pair = format!("{}:{}", auth.user, auth.password.expose());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    header("basic_auth", &Secret::new(format!("Basic {encoded}")))
}
