//! How the health of an instance is checked, and what may never be asked of a check.
//!
//! Decides nothing about health itself: that is the work of `health`.

use alloc::borrow::Cow;
use core::num::NonZeroU32;
use core::time::Duration;

use super::check_http::HttpCheck;
use super::host::Host;
use super::instance::Instance;
use super::name::InstanceId;
use super::text::{is_word, text_newtype};
use super::weight::Port;

/// A health check of one instance, valid by construction.
///
/// Made by a [`HealthCheckBuilder`](super::HealthCheckBuilder), whose documentation has the defaults and rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    pub(super) kind: CheckKind,
    pub(super) interval: Duration,
    pub(super) unhealthy_interval: Option<Duration>,
    pub(super) edge_interval: Option<Duration>,
    pub(super) no_traffic_interval: Option<Duration>,
    pub(super) timeout: Duration,
    pub(super) rise: NonZeroU32,
    pub(super) fall: NonZeroU32,
    pub(super) immediate_on_status: bool,
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

    /// The time from the end of one check to the start of the next, where that check left the instance in `standing`.
    ///
    /// The precedence is Envoy's (`health_checker_base_impl.cc`): without traffic first; then, while a threshold is
    /// being counted, the edge interval; then the interval of the state. As in Envoy's code, and not in its
    /// documentation, the edge interval holds while checks against the state are counted and not after the change.
    /// HAProxy's `inter` is the interval, its `fastinter` the edge interval, its `downinter` the unhealthy one.
    ///
    /// Unlike Envoy's, which asks whether the cluster ever had traffic, the interval without traffic is for one
    /// instance, and only for one that may be picked: what checks keep out has no requests because of them, and would
    /// come back as late as if nobody wanted it.
    #[must_use]
    pub fn interval_after(&self, standing: CheckStanding) -> Duration {
        let CheckStanding { is_up, is_counting, has_traffic } = standing;
        let idle = self.no_traffic_interval.filter(|_| is_up && !has_traffic);
        let edge = self.edge_interval.filter(|_| is_counting);
        let down = self.unhealthy_interval.filter(|_| !is_up);
        idle.or(edge).or(down).unwrap_or(self.interval)
    }

    /// The interval while the instance is unhealthy, where it is not [`HealthCheck::interval`].
    #[must_use]
    pub const fn unhealthy_interval(&self) -> Option<Duration> {
        self.unhealthy_interval
    }

    /// The interval while a threshold is being counted, where it is not that of the state.
    #[must_use]
    pub const fn edge_interval(&self) -> Option<Duration> {
        self.edge_interval
    }

    /// The interval while an instance that may be picked had no request since its last check, where there is one.
    #[must_use]
    pub const fn no_traffic_interval(&self) -> Option<Duration> {
        self.no_traffic_interval
    }

    /// Whether one answer that says no is enough, whatever `fall` is: see
    /// [`HealthCheckBuilder::immediate_on_status`](super::HealthCheckBuilder::immediate_on_status).
    #[must_use]
    pub const fn immediate_on_status(&self) -> bool {
        self.immediate_on_status
    }

    /// The first field of it that only the mesh can do and no registry's agent, by the name that builders and tables
    /// have for it.
    #[must_use]
    pub fn needs_mesh(&self) -> Option<&'static str> {
        let asked = match &self.kind {
            CheckKind::Http(check) => check.needs_mesh(),
            CheckKind::Own => Some("kind"),
            CheckKind::Tcp | CheckKind::Grpc(_) | CheckKind::Ttl | CheckKind::Alias(_) => None,
        };
        let timed = [
            ("unhealthy_interval", self.unhealthy_interval.is_some()),
            ("edge_interval", self.edge_interval.is_some()),
            ("no_traffic_interval", self.no_traffic_interval.is_some()),
            ("immediate_on_status", self.immediate_on_status),
        ];
        asked.or_else(|| timed.into_iter().find(|(_, given)| *given).map(|(field, _)| field))
    }

    /// Whether it holds what is nobody else's business: the values of request headers.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        matches!(&self.kind, CheckKind::Http(check) if check.headers().next().is_some())
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

/// Where a check has left an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckStanding {
    /// Whether its checks say that it is well.
    pub is_up: bool,
    /// Whether checks that say otherwise are being counted.
    pub is_counting: bool,
    /// Whether it had a request since the check before.
    pub has_traffic: bool,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// An HTTP request: unless the check says otherwise 2xx passes, 429 warns, all else fails, as with Consul.
    Http(HttpCheck),
    /// Whether a TCP connection can be opened.
    Tcp,
    /// A question of the gRPC health protocol (`grpc.health.v1.Health/Check`): `SERVING` passes, all else fails.
    Grpc(GrpcCheck),
    /// Nothing: the service reports by itself, at least every [`HealthCheck::interval`], or it is critical. Kept by a
    /// registry's agent only.
    Ttl,
    /// Nothing: it is as well as another instance of the same agent. Run by a registry's agent only.
    Alias(InstanceId),
    /// What the process that calls the service has code of its own for. Run by the mesh only.
    Own,
}

impl CheckKind {
    /// Whether a registry's agent alone can run it.
    #[must_use]
    pub const fn needs_agent(&self) -> bool {
        match self {
            Self::Http(_) | Self::Grpc(_) | Self::Tcp | Self::Own => false,
            Self::Ttl | Self::Alias(_) => true,
        }
    }

    /// Whether it is asked over TLS.
    #[must_use]
    pub const fn tls(&self) -> bool {
        match self {
            Self::Http(check) => check.tls,
            Self::Grpc(check) => check.tls,
            Self::Tcp | Self::Own | Self::Ttl | Self::Alias(_) => false,
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
            Self::Own => "own",
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
