//! How the health of an instance is checked, and what may never be asked of a check.
//!
//! Decides nothing about health itself: that is the work of `health`.

use alloc::borrow::Cow;
use core::num::NonZeroU32;
use core::time::Duration;

use super::host::Host;
use super::instance::Instance;
use super::name::InstanceId;
use super::path::CheckPath;
use super::text::{is_word, text_newtype};
use super::weight::Port;

/// A health check of one instance, valid by construction.
///
/// Made by a [`HealthCheckBuilder`](super::HealthCheckBuilder), whose documentation has the defaults and rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub(super) kind: CheckKind,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) rise: NonZeroU32,
    pub(super) fall: NonZeroU32,
    pub(super) deregister_after: Option<Duration>,
    pub(super) run_by: CheckRunner,
    pub(super) host: Option<Host>,
    pub(super) port: Option<Port>,
}

impl HealthCheck {
    /// What is asked.
    #[must_use]
    pub const fn kind(&self) -> &CheckKind {
        &self.kind
    }

    /// The time from the end of one check to the start of the next, as Consul and Envoy count it. Of a TTL check, how
    /// long a report is good for.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// When a check without an answer has failed; at most the interval.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How many checks in a row must pass before the instance counts as passing.
    #[must_use]
    pub const fn rise(&self) -> NonZeroU32 {
        self.rise
    }

    /// How many checks in a row must fail before the instance counts as critical.
    #[must_use]
    pub const fn fall(&self) -> NonZeroU32 {
        self.fall
    }

    /// How long an instance is critical before it is deregistered; `None` for never.
    #[must_use]
    pub const fn deregister_after(&self) -> Option<Duration> {
        self.deregister_after
    }

    /// Who runs it.
    #[must_use]
    pub const fn run_by(&self) -> CheckRunner {
        self.run_by
    }

    /// The host that it is aimed at, when that is not the instance's: somebody allowed a foreign target.
    #[must_use]
    pub const fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The port that it is aimed at, when that is not the instance's.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port.map(Port::get)
    }

    /// Host and port that it is aimed at, given the instance that it belongs to.
    ///
    /// Whoever dials refuses a host that [is forbidden](Host::is_forbidden_target): it may be a check for any
    /// instance, and this one's host be such an address.
    #[must_use]
    pub fn address<'a>(&'a self, instance: &'a Instance) -> (&'a Host, u16) {
        (self.host().unwrap_or(instance.host()), self.port().unwrap_or(instance.port()))
    }
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// An HTTP request: 2xx passes, 429 warns, all else fails, as with Consul.
    Http(HttpCheck),
    /// Whether a TCP connection can be opened.
    Tcp,
    /// A question of the gRPC health protocol. Run by a registry's agent only.
    Grpc(GrpcCheck),
    /// Nothing: the service reports by itself, at least every [`HealthCheck::interval`], or it is critical. Kept by a
    /// registry's agent only.
    Ttl,
    /// Nothing: it is as well as another instance of the same agent. Run by a registry's agent only.
    Alias(InstanceId),
}

impl CheckKind {
    /// Whether a registry's agent alone can run it.
    #[must_use]
    pub const fn needs_agent(&self) -> bool {
        match self {
            Self::Http(check) => check.tls,
            Self::Tcp => false,
            Self::Grpc(_) | Self::Ttl | Self::Alias(_) => true,
        }
    }

    /// Its name, as configurations have it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Tcp => "tcp",
            Self::Grpc(_) => "grpc",
            Self::Ttl => "ttl",
            Self::Alias(_) => "alias",
        }
    }
}

text_newtype! {
    /// The service that the gRPC health protocol asks for: 1 to 256 ASCII letters, digits, `.`, `_` and `-`.
    GrpcService, "grpc_service", grpc_service
}

fn grpc_service(text: &str) -> Result<Cow<'_, str>, &'static str> {
    if is_word(text, 256, b"._-") { Ok(text.into()) } else { Err("must be 1 to 256 letters, digits, '.', '_' and '-'") }
}

/// The question of a gRPC check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcCheck {
    pub(super) service: Option<GrpcService>,
    pub(super) tls: bool,
}

impl GrpcCheck {
    /// The service that is asked for; the whole server without.
    #[must_use]
    pub const fn service(&self) -> Option<&GrpcService> {
        self.service.as_ref()
    }

    /// Whether it is asked over TLS.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.tls
    }
}

/// The request of an HTTP check. Over TLS only where a registry's agent runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    pub(super) tls: bool,
    pub(super) path: CheckPath,
    pub(super) method: CheckMethod,
    pub(super) host_header: Option<Host>,
}

impl HttpCheck {
    /// Whether it is asked over TLS.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// The path, with its query if any.
    #[must_use]
    pub const fn path(&self) -> &CheckPath {
        &self.path
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> CheckMethod {
        self.method
    }

    /// The host to name in the `Host` header, when it is not the address that is dialled.
    #[must_use]
    pub const fn host_header(&self) -> Option<&Host> {
        self.host_header.as_ref()
    }
}

/// The method of an HTTP check: one that changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum CheckMethod {
    /// GET.
    #[default]
    Get,
    /// HEAD.
    Head,
}

impl CheckMethod {
    /// The method as the request line has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

/// Who runs a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub enum CheckRunner {
    /// The registry's agent; where the registry has none (in memory, a static list), the mesh in its place.
    #[default]
    Registry,
    /// The mesh, in every process that calls the service; the registry never hears of the check.
    Mesh,
}
