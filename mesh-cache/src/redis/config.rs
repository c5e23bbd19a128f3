//! How Redis is reached, and every number of the connection.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use mesh_core::service::ConfigError;

use super::url::{Node, RedisMode, RedisUrl};
use crate::secret::Secret;

/// How Redis is reached and used. The default is the server of this machine, `redis://127.0.0.1:6379`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisConfig {
    /// Where it is.
    pub url: RedisUrl,
    /// Who asks, where the URL does not say.
    pub user: Option<String>,
    /// The password, where it does not stand in the URL.
    pub password: Option<Secret>,
    /// How the sentinels are asked, where there are some.
    pub sentinel: SentinelConfig,
    /// Certificates, for URLs that speak TLS.
    pub tls: RedisTls,
    /// Whether passwords and data may leave this machine in plain text; false.
    pub allow_plain_text: bool,
    /// The prefix of the keys whose changes are told. Nothing is told without. It holds for all databases of the server.
    pub tracking_prefix: Option<String>,
    /// Whether changes of one's own are told as well; true. Without, whoever writes drops what it knows by itself.
    pub tracking_own: bool,
    /// When a connection counts as lost, and how it is replaced.
    pub link: LinkConfig,
    /// How many calls may be under way on one connection; 256. Of more, the newest is refused at once.
    pub in_flight_max: NonZeroUsize,
    /// How long a read of the second tier may take; 50 ms.
    #[serde(with = "mesh_core::text::duration")]
    pub read_deadline: Duration,
    /// How long a write may take; 100 ms.
    #[serde(with = "mesh_core::text::duration")]
    pub write_deadline: Duration,
    /// How often a cluster is asked which node serves what, besides whenever there is a reason to; 30 s.
    #[serde(with = "mesh_core::text::duration")]
    pub cluster_refresh: Duration,
    /// How many events one reader of them may be behind; 1,024. Beyond, it is told to forget everything.
    pub events_max: NonZeroUsize,
}

/// How sentinels are asked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SentinelConfig {
    /// Who asks, where sentinels want to know.
    pub user: Option<String>,
    /// The sentinels' own password.
    pub password: Option<Secret>,
    /// How long one sentinel may take; 500 ms.
    #[serde(with = "mesh_core::text::duration")]
    pub deadline: Duration,
}

/// How the server's certificate is checked, and which one is shown to it. There is no way to leave the check out.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RedisTls {
    /// A PEM file of certificate authorities that are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file of the certificate to show.
    pub cert_file: Option<PathBuf>,
    /// A PEM file of its key.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must have, where it is not the host's.
    pub server_name: Option<String>,
}

/// When a connection counts as lost, and how it is replaced.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LinkConfig {
    /// The time between two PINGs; 1 s.
    #[serde(with = "mesh_core::text::duration")]
    pub ping_period: Duration,
    /// How long a PING may go without an answer before the connection is given up; 500 ms.
    #[serde(with = "mesh_core::text::duration")]
    pub ping_deadline: Duration,
    /// How many calls in a row that nothing answered make the connection be given up; 3. Calls that wait at the same
    /// time count as one.
    pub timeouts_max: NonZeroU32,
    /// A call that waited less is no sign that the connection is lost; 20 ms.
    #[serde(with = "mesh_core::text::duration")]
    pub timeout_counts_from: Duration,
    /// How long connecting may take, TLS and handshake included; 2 s.
    #[serde(with = "mesh_core::text::duration")]
    pub connect_deadline: Duration,
    /// The longest wait before the first attempt to connect anew, doubled with each; 100 ms. The wait is drawn evenly
    /// below.
    #[serde(with = "mesh_core::text::duration")]
    pub retry: Duration,
    /// The longest wait after many attempts; 10 s.
    #[serde(with = "mesh_core::text::duration")]
    pub retry_max: Duration,
    /// How long a connection must have stood for the waits to be short again; 10 s.
    #[serde(with = "mesh_core::text::duration")]
    pub stable_after: Duration,
}

impl RedisConfig {
    /// Redis at `url`, with defaults for the rest.
    ///
    /// # Errors
    /// Why the URL is none.
    pub fn at(url: &str) -> Result<Self, ConfigError> {
        Ok(Self { url: url.parse()?, ..Self::default() })
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that breaks its rule, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.link.validate()?;
        self.tls.validate(self.url.tls)?;
        for (field, value) in [
            ("read_deadline", self.read_deadline),
            ("write_deadline", self.write_deadline),
            ("sentinel.deadline", self.sentinel.deadline),
            ("cluster_refresh", self.cluster_refresh),
        ] {
            within(field, value, SHORTEST, LONGEST, "must be 1ms to 10min")?;
        }
        for (field, value) in [("in_flight_max", self.in_flight_max), ("events_max", self.events_max)] {
            if value > MOST {
                return Err(ConfigError::new(field, value, "must be 1 to 65536"));
            }
        }
        if self.password.is_some() && self.url.password.is_some() {
            return Err(ConfigError::new("password", "", "must be absent when the URL has one"));
        }
        if let (Some(user), Some(_)) = (&self.user, &self.url.user) {
            return Err(ConfigError::new("user", user, "must be absent when the URL has one"));
        }
        for (field, user, password) in [
            ("password", self.user(), self.password()),
            ("sentinel.password", self.sentinel.user.as_deref(), self.sentinel.password.as_ref()),
        ] {
            if user.is_some() && password.is_none() {
                return Err(ConfigError::new(field, "", "must be given with a user"));
            }
        }
        if let Some(prefix) = self.tracking_prefix.as_ref().filter(|prefix| !is_prefix(prefix)) {
            return Err(ConfigError::new("tracking_prefix", prefix, "must be 1 to 128 printable ASCII characters"));
        }
        self.plain_text_is_safe()
    }

    /// Who asks.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref().or(self.url.user.as_deref())
    }

    pub(crate) fn password(&self) -> Option<&Secret> {
        self.password.as_ref().or(self.url.password.as_ref())
    }

    /// Whether `node` may be spoken to: over TLS, on this machine, or because it is allowed.
    pub(crate) fn admits(&self, node: &Node) -> bool {
        self.url.tls || self.allow_plain_text || node.is_loopback()
    }

    fn plain_text_is_safe(&self) -> Result<(), ConfigError> {
        match self.url.nodes().iter().find(|node| !self.admits(node)) {
            Some(node) => Err(ConfigError::new("url", node, PLAIN_TEXT)),
            None => Ok(()),
        }
    }

    /// Whether one connection is not the whole of it.
    pub(crate) const fn is_cluster(&self) -> bool {
        matches!(self.url.mode, RedisMode::Cluster { .. })
    }
}

impl RedisTls {
    fn validate(&self, spoken: bool) -> Result<(), ConfigError> {
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => return Err(ConfigError::new("tls.key_file", "", "must be given with tls.cert_file")),
            (None, Some(_)) => return Err(ConfigError::new("tls.cert_file", "", "must be given with tls.key_file")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        // Whoever names certificates believes that they are used.
        if !spoken && *self != Self::default() {
            return Err(ConfigError::new("tls", "", "must be absent unless the URL begins with rediss"));
        }
        Ok(())
    }
}

impl LinkConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        for (field, value) in [
            ("link.ping_period", self.ping_period),
            ("link.ping_deadline", self.ping_deadline),
            ("link.connect_deadline", self.connect_deadline),
            ("link.retry", self.retry),
            ("link.stable_after", self.stable_after),
        ] {
            within(field, value, SHORTEST, LONGEST, "must be 1ms to 10min")?;
        }
        let rule = "must be at most link.ping_period";
        within("link.ping_deadline", self.ping_deadline, SHORTEST, self.ping_period, rule)?;
        within("link.timeout_counts_from", self.timeout_counts_from, Duration::ZERO, LONGEST, "must be at most 10min")?;
        within("link.retry_max", self.retry_max, self.retry, LONGEST, "must be at least link.retry, at most 10min")
    }
}

fn within(
    field: &'static str,
    value: Duration,
    least: Duration,
    most: Duration,
    rule: &'static str,
) -> Result<(), ConfigError> {
    let fits = (least..=most).contains(&value);
    if fits { Ok(()) } else { Err(ConfigError::new(field, format_args!("{value:?}"), rule)) }
}

fn is_prefix(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            url: RedisUrl::default(),
            user: None,
            password: None,
            sentinel: SentinelConfig::default(),
            tls: RedisTls::default(),
            allow_plain_text: false,
            tracking_prefix: None,
            tracking_own: true,
            link: LinkConfig::default(),
            in_flight_max: IN_FLIGHT_MAX,
            read_deadline: Duration::from_millis(50),
            write_deadline: Duration::from_millis(100),
            cluster_refresh: Duration::from_secs(30),
            events_max: EVENTS_MAX,
        }
    }
}

impl Default for SentinelConfig {
    fn default() -> Self {
        Self { user: None, password: None, deadline: Duration::from_millis(500) }
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            ping_period: Duration::from_secs(1),
            ping_deadline: Duration::from_millis(500),
            timeouts_max: TIMEOUTS_MAX,
            timeout_counts_from: Duration::from_millis(20),
            connect_deadline: Duration::from_secs(2),
            retry: Duration::from_millis(100),
            retry_max: Duration::from_secs(10),
            stable_after: Duration::from_secs(10),
        }
    }
}

const PLAIN_TEXT: &str = "must begin with rediss, be on this machine, or allow_plain_text be set: passwords and data could be read on the way";
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_mins(10);
const IN_FLIGHT_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
const EVENTS_MAX: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// No more than the queues of the libraries below can have.
const MOST: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
const TIMEOUTS_MAX: NonZeroU32 = NonZeroU32::new(3).unwrap();
