//! Where an agent listens.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use mesh_core::service::ConfigError;

/// Where an agent listens: `host:port`, `http://…`, `https://…` or `unix:///path`, as `CONSUL_HTTP_ADDR` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// Over TCP.
    Tcp {
        /// Whether TLS is spoken.
        tls: bool,
        /// `host:port`, and the path of a proxy in front, without a slash at its end.
        authority: String,
    },
    /// Over a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// This address with TLS, as `CONSUL_HTTP_SSL` asks for.
    #[must_use]
    pub(super) fn with_tls(self) -> Self {
        match self {
            Self::Tcp { authority, .. } => Self::Tcp { tls: true, authority },
            Self::Unix(path) => Self::Unix(path),
        }
    }

    /// What URLs begin with.
    pub(crate) fn base(&self) -> String {
        match self {
            Self::Tcp { tls: true, authority } => format!("https://{authority}"),
            Self::Tcp { tls: false, authority } => format!("http://{authority}"),
            Self::Unix(_) => "http://localhost".to_owned(),
        }
    }
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp { tls: false, authority: "127.0.0.1:8500".to_owned() }
    }
}

impl FromStr for Address {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let refuse = |rule| Err(ConfigError::new("address", without_userinfo(text), rule));
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                refuse("must be unix:// and an absolute path")
            };
        }
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return refuse("must begin with http://, https:// or unix://"),
            None => (false, text),
        };
        let authority = rest.trim_end_matches('/');
        if authority.contains('@') {
            return refuse("must hold no user or password: use basic_auth");
        }
        let url = format!("http://{authority}").parse::<http::Uri>();
        let fine = url.is_ok_and(|url| {
            let host = url.host().unwrap_or_default();
            let with_port = url.authority().is_some_and(|authority| authority.as_str().len() > host.len());
            !host.is_empty() && url.query().is_none() && (!with_port || url.port_u16().is_some())
        });
        if !fine || authority.contains('#') {
            return refuse("must be host:port, http://host:port, https://host:port or unix:///path");
        }
        Ok(Self::Tcp { tls, authority: authority.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { .. } => f.write_str(&self.base()),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <String as serde::Deserialize>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `text` as an error may show it: what stands before an `@` may be a password.
fn without_userinfo(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}
