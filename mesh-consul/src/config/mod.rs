//! Where Consul is, how to prove who asks, and every number of the adapter.

mod address;
mod tls;
mod vars;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use address::Address;
use mesh_core::service::ConfigError;
pub use tls::TlsConfig;

use crate::secret::Secret;
use crate::watch::WatchConfig;

/// How Consul is reached and used. The default is the agent of this machine, `http://127.0.0.1:8500`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConsulConfig {
    /// Where the agent listens.
    pub address: Address,
    /// The ACL token.
    pub token: Option<Secret>,
    /// A file that holds the ACL token; read at the start, and again whenever Consul refuses what was read before.
    pub token_file: Option<PathBuf>,
    /// User and password of HTTP basic authentication, for a proxy in front of Consul.
    pub basic_auth: Option<BasicAuth>,
    /// Certificates, for addresses that begin with `https://`.
    pub tls: TlsConfig,
    /// The namespace of what is registered and asked for (Consul Enterprise).
    pub namespace: Option<String>,
    /// The admin partition of what is registered and asked for (Consul Enterprise 1.11 and later).
    pub partition: Option<String>,
    /// How services are followed.
    pub watch: WatchConfig,
    /// How many blocking queries may be under way at once; 64. An agent takes 200 connections from one address, all
    /// processes of a machine together; services beyond the number are polled.
    pub watches_max: NonZeroUsize,
    /// How many registrations and single reads may be under way at once; 32. More wait, within their time: 300 at once
    /// would take 300 of the agent's 200 connections.
    pub requests_max: NonZeroUsize,
    /// How long a service is followed after the last who asked for it left; 1 min. A query that is dropped holds its
    /// connection at the agent until its wait is over, so coming and going costs more than staying.
    #[serde(with = "mesh_core::text::duration")]
    pub linger: Duration,
    /// How long a connection may take to open; 2 s.
    #[serde(with = "mesh_core::text::duration")]
    pub connect_timeout: Duration,
    /// The largest answer that is read; 64 MiB, which is 30,000 instances.
    pub answer_bytes_max: NonZeroUsize,
    /// Who this process is across its restarts. What an earlier one of the same owner left registered of a service, under
    /// ids that are not in use, is taken away when this one registers there. Nothing is without an owner.
    pub owner: Option<String>,
    /// Where a registration is looked for.
    pub verification: Verification,
}

/// Where a registration is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verification {
    /// At the agent and in the catalogue, where others find it. The token needs `node:read`.
    #[default]
    Catalog,
    /// At the agent only, which acknowledges also what no server has heard of.
    Agent,
}

/// User and password.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user's name, without a colon.
    pub user: String,
    /// The password.
    pub password: Secret,
}

impl ConsulConfig {
    /// What the environment says: [`ConsulConfig::from_vars`] of this process's variables.
    ///
    /// # Errors
    /// The variable that breaks its rule, with its value unless it is a secret.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(crate::env::variable)
    }

    /// What the `CONSUL_*` variables say, as Consul's own tools read them: `CONSUL_HTTP_ADDR` (also `unix://`),
    /// `CONSUL_HTTP_TOKEN`, `CONSUL_HTTP_TOKEN_FILE`, `CONSUL_HTTP_AUTH`, `CONSUL_HTTP_SSL`, `CONSUL_HTTP_SSL_VERIFY`,
    /// `CONSUL_CACERT`, `CONSUL_CAPATH`, `CONSUL_CLIENT_CERT`, `CONSUL_CLIENT_KEY`, `CONSUL_TLS_SERVER_NAME`,
    /// `CONSUL_NAMESPACE` and `CONSUL_PARTITION`. An empty one counts as unset.
    ///
    /// # Errors
    /// The variable that breaks its rule, with its value unless it is a secret.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        vars::read(&lookup)
    }

    /// The agent at `address`, with defaults for the rest.
    ///
    /// # Errors
    /// Why the address is none.
    pub fn at(address: &str) -> Result<Self, ConfigError> {
        Ok(Self { address: address.parse()?, ..Self::default() })
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.watch.validate()?;
        self.tls.validate()?;
        if self.token.is_some() && self.token_file.is_some() {
            return Err(ConfigError::new("token_file", "", "must be absent when there is a token"));
        }
        for (field, value) in [("linger", self.linger), ("connect_timeout", self.connect_timeout)] {
            if value > LONGEST || (value.is_zero() && field != "linger") {
                return Err(ConfigError::new(field, format_args!("{value:?}"), "must be above zero, at most 1h"));
            }
        }
        let words =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        for (field, text) in [("namespace", &self.namespace), ("partition", &self.partition), ("owner", &self.owner)] {
            if let Some(text) = text.as_ref().filter(|text| text.len() > 128 || !words(text)) {
                return Err(ConfigError::new(field, text, "must be 1 to 128 letters, digits, '-', '_' and '.'"));
            }
        }
        Ok(())
    }
}

impl Default for ConsulConfig {
    fn default() -> Self {
        Self {
            address: Address::default(),
            token: None,
            token_file: None,
            basic_auth: None,
            tls: TlsConfig::default(),
            namespace: None,
            partition: None,
            watch: WatchConfig::default(),
            watches_max: WATCHES_MAX,
            requests_max: REQUESTS_MAX,
            linger: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(2),
            answer_bytes_max: ANSWER_BYTES_MAX,
            owner: None,
            verification: Verification::default(),
        }
    }
}

const WATCHES_MAX: NonZeroUsize = NonZeroUsize::new(64).unwrap();
const REQUESTS_MAX: NonZeroUsize = NonZeroUsize::new(32).unwrap();
const ANSWER_BYTES_MAX: NonZeroUsize = NonZeroUsize::new(64 * 1024 * 1024).unwrap();
const LONGEST: Duration = Duration::from_hours(1);
