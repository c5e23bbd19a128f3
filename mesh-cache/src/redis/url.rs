//! Where Redis is, as a URL says it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use mesh_core::service::{ConfigError, Host};
use percent_encoding::percent_decode_str;

use crate::secret::Secret;

/// Where Redis is, and who asks.
///
/// ```text
/// redis://[[user]:password@]host[:port][/db]          one server
/// unix:///path[?db=n]                                  one server of this machine
/// redis-sentinel://[[user]:password@]host[:port],…/name[/db]   the master that the sentinels name
/// redis-cluster://[[user]:password@]host[:port],…      the cluster that these nodes belong to
/// ```
///
/// `rediss`, `rediss-sentinel` and `rediss-cluster` speak TLS, also with the sentinels. User and password are percent-encoded. `Debug` and
/// `Display` show no password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisUrl {
    /// What listens there.
    pub mode: RedisMode,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Who asks; the server's default user where there is none.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// The number of the database; 0.
    pub database: u32,
}

/// What listens at a [`RedisUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisMode {
    /// One server over TCP.
    Server(Node),
    /// One server of this machine, over the Unix socket at this path.
    Unix(PathBuf),
    /// Sentinels, which know where the master is.
    Sentinel {
        /// Where they listen; the first that answers is asked.
        sentinels: Vec<Node>,
        /// What they call the master.
        master: String,
    },
    /// A cluster.
    Cluster {
        /// Nodes to ask for the others.
        seeds: Vec<Node>,
    },
}

/// Host and port of one server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Node {
    /// Reads `host[:port]`, with brackets around IPv6.
    pub(crate) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port > 0)?
            }
            Some(_) => return None,
            None => default_port,
        };
        Some(Self { host: host.parse().ok()?, port })
    }

    /// Whether nothing leaves this machine on the way there.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host.ip().map_or(self.host.as_str() == "localhost", |ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host.authority(self.port))
    }
}

impl RedisUrl {
    /// The addresses it names; none for a Unix socket.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        match &self.mode {
            RedisMode::Server(node) => std::slice::from_ref(node),
            RedisMode::Unix(_) => &[],
            RedisMode::Sentinel { sentinels, .. } => sentinels,
            RedisMode::Cluster { seeds } => seeds,
        }
    }

    /// How many addresses a URL may name.
    pub const NODES_MAX: usize = 64;
}

impl FromStr for RedisUrl {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        parse(text).map_err(|rule| ConfigError::new("url", without_userinfo(text), rule))
    }
}

fn parse(text: &str) -> Result<RedisUrl, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or(SCHEMES)?;
    if scheme == "unix" {
        return unix(rest);
    }
    let (plain, tls) = match scheme.strip_prefix("rediss") {
        Some(kind) => (kind, true),
        None => (scheme.strip_prefix("redis").ok_or(SCHEMES)?, false),
    };
    if rest.contains(['?', '#']) {
        return Err("must have no parameters and no fragment: they are fields of the configuration");
    }
    let (userinfo, rest) = rest.rsplit_once('@').map_or((None, rest), |(userinfo, rest)| (Some(userinfo), rest));
    let (user, password) = userinfo.map_or(Ok((None, None)), credentials)?;
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (mode, database) = match plain {
        "" => (RedisMode::Server(Node::parse(hosts, PORT).ok_or(NODE)?), path),
        "-sentinel" => {
            let (master, database) = path.split_once('/').unwrap_or((path, ""));
            if !is_master_name(master) {
                return Err("must end in /name, what the sentinels call the master: letters, digits, '.', '-' and '_'");
            }
            (RedisMode::Sentinel { sentinels: nodes(hosts, SENTINEL_PORT)?, master: master.to_owned() }, database)
        }
        "-cluster" if path.is_empty() => (RedisMode::Cluster { seeds: nodes(hosts, PORT)? }, path),
        "-cluster" => return Err("must have no database: a cluster has but one"),
        _ => return Err(SCHEMES),
    };
    Ok(RedisUrl { mode, tls, user, password, database: number(database)? })
}

fn unix(rest: &str) -> Result<RedisUrl, &'static str> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, "db="));
    if !path.starts_with('/') || path.contains('#') {
        return Err("must be unix:// and an absolute path");
    }
    let database = number(query.strip_prefix("db=").ok_or("must have no parameter but db")?)?;
    Ok(RedisUrl { mode: RedisMode::Unix(PathBuf::from(path)), tls: false, user: None, password: None, database })
}

fn nodes(text: &str, default_port: u16) -> Result<Vec<Node>, &'static str> {
    let nodes: Option<Vec<Node>> = text.split(',').map(|node| Node::parse(node, default_port)).collect();
    nodes.filter(|nodes| nodes.len() <= RedisUrl::NODES_MAX).ok_or(NODE)
}

/// `user`, `user:password` or `:password`.
fn credentials(text: &str) -> Result<(Option<String>, Option<Secret>), &'static str> {
    let (user, password) = text.split_once(':').map_or((text, None), |(user, password)| (user, Some(password)));
    let decode = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
    let decoded = (decode(user), password.map(decode).transpose());
    let (Ok(user), Ok(password)) = decoded else { return Err("must have UTF-8 in user and password") };
    Ok((Some(user).filter(|user| !user.is_empty()), password.filter(|text| !text.is_empty()).map(Secret::new)))
}

fn number(text: &str) -> Result<u32, &'static str> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    number.filter(|number| *number <= DATABASE_MAX).ok_or("must have a number of a database from 0 to 65535")
}

fn is_master_name(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

impl Default for RedisUrl {
    /// The server of this machine, `redis://127.0.0.1:6379`.
    fn default() -> Self {
        let node = Node { host: Host::loopback(), port: PORT };
        Self { mode: RedisMode::Server(node), tls: false, user: None, password: None, database: 0 }
    }
}

/// The URL without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls { "s" } else { "" };
        let nodes = self.nodes().iter().map(Node::to_string).collect::<Vec<_>>().join(",");
        match &self.mode {
            RedisMode::Server(_) => write!(f, "redis{s}://{nodes}")?,
            RedisMode::Unix(path) if self.database == 0 => return write!(f, "unix://{}", path.display()),
            RedisMode::Unix(path) => return write!(f, "unix://{}?db={}", path.display(), self.database),
            RedisMode::Sentinel { master, .. } => write!(f, "redis{s}-sentinel://{nodes}/{master}")?,
            RedisMode::Cluster { .. } => write!(f, "redis{s}-cluster://{nodes}")?,
        }
        if self.database == 0 { Ok(()) } else { write!(f, "/{}", self.database) }
    }
}

impl<'de> serde::Deserialize<'de> for RedisUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `text` as an error may show it: what stands before an `@` may be a password, and so may what stands after a colon
/// where the `@` was forgotten.
fn without_userinfo(text: &str) -> String {
    if let Some((_, host)) = text.rsplit_once('@') {
        return format!("…@{host}");
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let is_port =
        |text: &str| text.split(['/', ',']).next().is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    let harmless = rest.starts_with('[') || rest.split(',').all(|node| node.split(':').skip(1).all(is_port));
    if harmless { text.to_owned() } else { format!("{scheme}://…") }
}

const SCHEMES: &str = "must begin with redis://, rediss://, unix://, redis-sentinel:// or redis-cluster://";
const NODE: &str = "must have host or host:port, of sentinels and clusters at most 64 with commas between";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const DATABASE_MAX: u32 = 65_535;
