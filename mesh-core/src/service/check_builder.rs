//! The defaults and the rules of health checks.

use alloc::collections::BTreeMap;
use core::num::NonZeroU32;
use core::time::Duration;

use super::check::{CheckKind, CheckRunner, GrpcCheck, GrpcService, HealthCheck};
use super::check_http::{BodyPart, CheckMethod, HeaderName, HeaderValue, HttpCheck, StatusRange};
use super::check_rules::{DEREGISTER_AFTER, FORBIDDEN, INTERVAL, TIMEOUT, thresholds};
use super::error::{ConfigError, Problems};
use super::host::Host;
use super::instance::Instance;
use super::name::InstanceId;
use super::path::CheckPath;
use super::weight::Port;

/// A [`HealthCheck`] in the making; of values that are set twice the last one counts.
///
/// | value | default | rule |
/// |---|---|---|
/// | path | `/health` | see [`CheckPath`] |
/// | interval | 30 s | at least 1 s when the registry runs the check, 10 ms when the mesh does; at most 24 h |
/// | unhealthy, edge interval | those of [`HealthCheck::interval_after`] | as the interval |
/// | no traffic interval | none: traffic makes no difference (Envoy: 60 s) | as the interval |
/// | timeout | 10 s, or the interval if that is less | above 0, at most the interval |
/// | rise, fall | 1 and 1 when the registry runs it (Consul's), 2 and 3 when the mesh does (HAProxy's) | |
/// | deregister after | 1 min | at least 1 min, at most 365 days |
/// | immediate on status | no: failures are counted whatever they are (Envoy: yes) | not of TCP, TTL and alias checks |
/// | expected statuses | 200 to 299; 429 warns where it is not expected, others fail | at most 16 ranges within 200-599 |
/// | expected body | none | 1 to 1,024 bytes, looked for in the first 4 KiB; not of HEAD |
/// | degraded header | none | see [`HeaderName`] |
/// | headers | none | at most 16, names and values as [`HeaderName`] and [`HeaderValue`] have it |
/// | run by | the registry; of one's own check the mesh | |
/// | target | where the instance listens | its own host, unless a foreign one is allowed; never [a forbidden one] |
///
/// [a forbidden one]: super::is_forbidden_target
///
/// Consul would silently raise an interval below 1 s and a deregistration below 1 min; here they are refused.
///
/// TTL and alias checks are run by a registry's agent only. One's own checks are run by the mesh only; and what
/// Consul's agent cannot do ([`HealthCheck::needs_mesh`]) is refused there by name: expected statuses and body, the
/// degraded header, the separate intervals and the immediate end. A TTL check has no timeout, thresholds or target, an
/// alias besides no interval of its own.
///
/// As a table of a file its keys are `kind` (`http`, `tcp`, `grpc`, `ttl`, `alias` or `own`), `path`, `method`,
/// `host_header`, `headers` (a table of texts), `expected_statuses` (a list such as `["200-299", "304"]`),
/// `expected_body`, `degraded_header`, `grpc_service`, `tls`, `alias_of`, `interval`, `unhealthy_interval`,
/// `edge_interval`, `no_traffic_interval`, `timeout`, `rise`, `fall`, `immediate_on_status`, `deregister_after` (a
/// duration or `never`), `run_by`, `target_host`, `target_port` and `allow_foreign_target`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[must_use = "nothing is made until build() is called"]
pub struct HealthCheckBuilder {
    pub(super) kind: Kind,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) path: Option<CheckPath>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) method: Option<CheckMethod>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) host_header: Option<Host>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "BTreeMap::is_empty"))]
    pub(super) headers: BTreeMap<HeaderName, HeaderValue>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Vec::is_empty"))]
    pub(super) expected_statuses: Vec<StatusRange>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) expected_body: Option<BodyPart>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) degraded_header: Option<HeaderName>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) grpc_service: Option<GrpcService>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "core::ops::Not::not"))]
    pub(super) tls: bool,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) alias_of: Option<InstanceId>,
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    pub(super) interval: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    pub(super) unhealthy_interval: Option<Duration>,
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    pub(super) edge_interval: Option<Duration>,
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    pub(super) no_traffic_interval: Option<Duration>,
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    pub(super) timeout: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) rise: Option<NonZeroU32>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) fall: Option<NonZeroU32>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "core::ops::Not::not"))]
    pub(super) immediate_on_status: bool,
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration_or_never"))]
    pub(super) deregister_after: Option<Duration>,
    pub(super) run_by: CheckRunner,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) target_host: Option<Host>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(super) target_port: Option<Port>,
    pub(super) allow_foreign_target: bool,
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(super) problems: Problems,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
pub(super) enum Kind {
    #[default]
    Http,
    Tcp,
    Grpc,
    Ttl,
    Alias,
    Own,
}

impl HealthCheck {
    /// Begins an HTTP check of `path`.
    pub fn http(path: impl TryInto<CheckPath, Error: Into<ConfigError>>) -> HealthCheckBuilder {
        let mut builder = HealthCheckBuilder::default();
        builder.path = builder.problems.parse(path);
        builder
    }

    /// Begins a check of whether a TCP connection can be opened.
    pub fn tcp() -> HealthCheckBuilder {
        HealthCheckBuilder { kind: Kind::Tcp, ..HealthCheckBuilder::default() }
    }

    /// Begins a check by the gRPC health protocol.
    pub fn grpc() -> HealthCheckBuilder {
        HealthCheckBuilder { kind: Kind::Grpc, ..HealthCheckBuilder::default() }
    }

    /// Begins a check that the service feeds itself, at least every `ttl`.
    pub fn ttl(ttl: Duration) -> HealthCheckBuilder {
        HealthCheckBuilder { kind: Kind::Ttl, interval: ttl, ..HealthCheckBuilder::default() }
    }

    /// Begins a check that follows the health of the instance `other` of the same agent.
    pub fn alias(other: impl TryInto<InstanceId, Error: Into<ConfigError>>) -> HealthCheckBuilder {
        let mut builder = HealthCheckBuilder { kind: Kind::Alias, ..HealthCheckBuilder::default() };
        builder.alias_of = builder.problems.parse(other);
        builder
    }
}

/// The HTTP check of `/health`.
impl Default for HealthCheckBuilder {
    fn default() -> Self {
        Self {
            kind: Kind::Http,
            path: None,
            method: None,
            host_header: None,
            headers: BTreeMap::new(),
            expected_statuses: Vec::new(),
            expected_body: None,
            degraded_header: None,
            grpc_service: None,
            tls: false,
            alias_of: None,
            interval: INTERVAL,
            unhealthy_interval: None,
            edge_interval: None,
            no_traffic_interval: None,
            timeout: None,
            rise: None,
            fall: None,
            immediate_on_status: false,
            deregister_after: Some(DEREGISTER_AFTER),
            run_by: CheckRunner::default(),
            target_host: None,
            target_port: None,
            allow_foreign_target: false,
            problems: Problems::default(),
        }
    }
}

impl HealthCheckBuilder {
    /// Sets the method of an HTTP check.
    pub const fn method(mut self, method: CheckMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// Sets the host that an HTTP check names in its `Host` header.
    pub fn host_header(mut self, host: impl TryInto<Host, Error: Into<ConfigError>>) -> Self {
        self.host_header = self.problems.parse(host);
        self
    }

    /// Sets the service that a gRPC check asks for.
    pub fn grpc_service(mut self, service: impl TryInto<GrpcService, Error: Into<ConfigError>>) -> Self {
        self.grpc_service = self.problems.parse(service);
        self
    }

    /// Has an HTTP or gRPC check ask over TLS.
    pub const fn tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the time between checks.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets when a check without an answer has failed.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how many checks in a row must pass.
    pub const fn rise(mut self, checks: NonZeroU32) -> Self {
        self.rise = Some(checks);
        self
    }

    /// Sets how many checks in a row must fail.
    pub const fn fall(mut self, checks: NonZeroU32) -> Self {
        self.fall = Some(checks);
        self
    }

    /// Sets how long an instance is critical before it is deregistered; `None` for never.
    pub const fn deregister_after(mut self, critical_for: Option<Duration>) -> Self {
        self.deregister_after = critical_for;
        self
    }

    /// Sets who runs it.
    pub const fn run_by(mut self, runner: CheckRunner) -> Self {
        self.run_by = runner;
        self
    }

    /// Aims it at another port of the instance's host, such as one for administration.
    pub fn port(mut self, port: impl TryInto<Port, Error: Into<ConfigError>>) -> Self {
        self.target_port = self.problems.parse(port);
        self
    }

    /// Aims it elsewhere than where the instance listens; at another host only if that is allowed.
    pub fn target(
        mut self,
        host: impl TryInto<Host, Error: Into<ConfigError>>,
        port: impl TryInto<Port, Error: Into<ConfigError>>,
    ) -> Self {
        self.target_host = self.problems.parse(host);
        self.port(port)
    }

    /// Allows it to be aimed at another host than the instance's.
    ///
    /// Checks that anybody may aim anywhere are a way to send requests from inside the network, so whoever
    /// calls this vouches for the target.
    pub const fn allow_foreign_target(mut self) -> Self {
        self.allow_foreign_target = true;
        self
    }

    /// The check of `instance`.
    ///
    /// # Errors
    /// With every value that breaks a rule above.
    pub fn build(self, instance: &Instance) -> Result<HealthCheck, ConfigError> {
        self.seen_from(instance.host(), instance.port()).build_for_any()
    }

    /// A check for any instance; a host that it is aimed at is a foreign one.
    ///
    /// # Errors
    /// With every value that breaks a rule above.
    pub fn build_for_any(mut self) -> Result<HealthCheck, ConfigError> {
        self.verify_times();
        self.verify_kind();
        self.verify_expectations();
        self.verify_foreign();
        if !self.problems.is_empty() {
            return Err(self.problems.into_error());
        }
        let (rise, fall) = thresholds(self.run_by);
        let timeout = if self.kind == Kind::Ttl { self.interval } else { TIMEOUT.min(self.interval) };
        let kind = match (self.kind, self.alias_of) {
            (Kind::Tcp, _) => CheckKind::Tcp,
            (Kind::Http, _) => CheckKind::Http(HttpCheck {
                tls: self.tls,
                path: self.path.unwrap_or_default(),
                method: self.method.unwrap_or_default(),
                host_header: self.host_header,
                headers: self.headers,
                expected_statuses: self.expected_statuses,
                expected_body: self.expected_body,
                degraded_header: self.degraded_header,
            }),
            (Kind::Grpc, _) => CheckKind::Grpc(GrpcCheck { service: self.grpc_service, tls: self.tls }),
            (Kind::Ttl, _) => CheckKind::Ttl,
            (Kind::Own, _) => CheckKind::Own,
            (Kind::Alias, Some(other)) => CheckKind::Alias(other),
            (Kind::Alias, None) => return Err(ConfigError::new("alias_of", "", "must name the instance to follow")),
        };
        Ok(HealthCheck {
            kind,
            interval: self.interval,
            unhealthy_interval: self.unhealthy_interval,
            edge_interval: self.edge_interval,
            no_traffic_interval: self.no_traffic_interval,
            timeout: self.timeout.unwrap_or(timeout),
            rise: self.rise.unwrap_or(rise),
            fall: self.fall.unwrap_or(fall),
            immediate_on_status: self.immediate_on_status,
            deregister_after: self.deregister_after,
            run_by: self.run_by,
            host: self.target_host,
            port: self.target_port,
        })
    }

    /// The check of an instance that listens at `host` and `port`.
    pub(super) fn seen_from(mut self, host: &Host, port: u16) -> Self {
        self.target_host = self.target_host.filter(|target| target != host);
        if self.target_host.is_none() {
            self.target_port = self.target_port.filter(|target| target.get() != port);
            self.problems.require(!host.is_forbidden_target(), "target", host, FORBIDDEN);
        }
        self
    }

    /// The check of an instance that is not valid itself: only what needs no address is verified.
    pub(super) fn seen_from_nowhere(mut self) -> Self {
        self.target_host = None;
        self
    }
}

/// The builder of a check like this one, for any instance. A foreign target stays allowed.
impl From<HealthCheck> for HealthCheckBuilder {
    fn from(check: HealthCheck) -> Self {
        let of = |kind| Self { kind, ..Self::default() };
        let builder = match check.kind {
            CheckKind::Tcp => of(Kind::Tcp),
            CheckKind::Http(http) => Self {
                tls: http.tls,
                path: Some(http.path),
                method: Some(http.method),
                host_header: http.host_header,
                headers: http.headers,
                expected_statuses: http.expected_statuses,
                expected_body: http.expected_body,
                degraded_header: http.degraded_header,
                ..of(Kind::Http)
            },
            CheckKind::Grpc(GrpcCheck { service, tls }) => Self { grpc_service: service, tls, ..of(Kind::Grpc) },
            CheckKind::Ttl => of(Kind::Ttl),
            CheckKind::Own => of(Kind::Own),
            CheckKind::Alias(other) => Self { alias_of: Some(other), ..of(Kind::Alias) },
        };
        // What is not asked of anybody has no timeout and no thresholds.
        let asks = !matches!(builder.kind, Kind::Ttl | Kind::Alias);
        Self {
            interval: check.interval,
            unhealthy_interval: check.unhealthy_interval,
            edge_interval: check.edge_interval,
            no_traffic_interval: check.no_traffic_interval,
            immediate_on_status: check.immediate_on_status,
            timeout: Some(check.timeout).filter(|_| asks),
            rise: Some(check.rise).filter(|_| asks),
            fall: Some(check.fall).filter(|_| asks),
            deregister_after: check.deregister_after,
            run_by: check.run_by,
            allow_foreign_target: check.host.is_some(),
            target_host: check.host,
            target_port: check.port,
            ..builder
        }
    }
}
