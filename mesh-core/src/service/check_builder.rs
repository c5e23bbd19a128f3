//! The defaults and the rules of health checks.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use super::check::{CheckKind, CheckMethod, CheckRunner, HealthCheck, HttpCheck};
use super::error::{ConfigError, Problems};
use super::host::Host;
use super::instance::Instance;
use super::path::CheckPath;
use super::weight::Port;

/// A [`HealthCheck`] in the making; of values that are set twice the last one counts.
///
/// | value | default | rule |
/// |---|---|---|
/// | path | `/health` | see [`CheckPath`] |
/// | interval | 30 s | at least 1 s when the registry runs the check, 10 ms when the mesh does; at most 24 h |
/// | timeout | 10 s, or the interval if that is less | above 0, at most the interval |
/// | rise, fall | 1 and 1 when the registry runs it (Consul's), 2 and 3 when the mesh does (HAProxy's) | |
/// | deregister after | 1 min | at least 1 min, at most 365 days |
/// | run by | the registry | |
/// | target | where the instance listens | its own host, unless a foreign one is allowed; never [a forbidden one] |
///
/// [a forbidden one]: super::is_forbidden_target
///
/// Consul would silently raise an interval below 1 s and a deregistration below 1 min; here they are refused.
///
/// As a table of a file its keys are `kind` (`http` or `tcp`), `path`, `method`, `host_header`, `interval`,
/// `timeout`, `rise`, `fall`, `deregister_after` (a duration or `never`), `run_by`, `target_host`, `target_port` and
/// `allow_foreign_target`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[must_use = "nothing is made until build() is called"]
pub struct HealthCheckBuilder {
    kind: Kind,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    path: Option<CheckPath>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    method: Option<CheckMethod>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    host_header: Option<Host>,
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration"))]
    interval: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(with = "crate::text::maybe_duration", skip_serializing_if = "Option::is_none")
    )]
    timeout: Option<Duration>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    rise: Option<NonZeroU32>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    fall: Option<NonZeroU32>,
    #[cfg_attr(feature = "serde", serde(with = "crate::text::duration_or_never"))]
    deregister_after: Option<Duration>,
    run_by: CheckRunner,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    target_host: Option<Host>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    target_port: Option<Port>,
    allow_foreign_target: bool,
    #[cfg_attr(feature = "serde", serde(skip))]
    problems: Problems,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
enum Kind {
    #[default]
    Http,
    Tcp,
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
}

/// The HTTP check of `/health`.
impl Default for HealthCheckBuilder {
    fn default() -> Self {
        Self {
            kind: Kind::Http,
            path: None,
            method: None,
            host_header: None,
            interval: INTERVAL,
            timeout: None,
            rise: None,
            fall: None,
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
        self.verify_foreign();
        if !self.problems.is_empty() {
            return Err(self.problems.into_error());
        }
        let (rise, fall) = thresholds(self.run_by);
        let kind = match self.kind {
            Kind::Tcp => CheckKind::Tcp,
            Kind::Http => CheckKind::Http(HttpCheck {
                path: self.path.unwrap_or_default(),
                method: self.method.unwrap_or_default(),
                host_header: self.host_header,
            }),
        };
        Ok(HealthCheck {
            kind,
            interval: self.interval,
            timeout: self.timeout.unwrap_or(TIMEOUT.min(self.interval)),
            rise: self.rise.unwrap_or(rise),
            fall: self.fall.unwrap_or(fall),
            deregister_after: self.deregister_after,
            run_by: self.run_by,
            host: self.target_host,
            port: self.target_port,
        })
    }

    fn verify_times(&mut self) {
        let (least, rule) = match self.run_by {
            CheckRunner::Registry => (INTERVAL_MIN_REGISTRY, "must be 1s to 24h when the registry runs the check"),
            CheckRunner::Mesh => (INTERVAL_MIN_MESH, "must be 10ms to 24h when the mesh runs the check"),
        };
        let interval = self.interval;
        self.problems.require((least..=INTERVAL_MAX).contains(&interval), "interval", Span(interval), rule);
        if let Some(timeout) = self.timeout {
            let fits = !timeout.is_zero() && timeout <= interval;
            let rule = format!("must be above 0 and at most the interval of {interval:?}");
            self.problems.require(fits, "timeout", Span(timeout), rule);
        }
        if let Some(after) = self.deregister_after {
            let range = DEREGISTER_AFTER_MIN..=DEREGISTER_AFTER_MAX;
            self.problems.require(range.contains(&after), "deregister_after", Span(after), "must be 1min to 365 days");
        }
    }

    fn verify_kind(&mut self) {
        if self.kind == Kind::Tcp {
            let rule = "only an HTTP check has one";
            let path = self.path.as_ref().map_or("", CheckPath::as_str);
            let method = self.method.map_or("", CheckMethod::as_str);
            let host_header = self.host_header.as_ref().map_or("", Host::as_str);
            for (field, value) in [("path", path), ("method", method), ("host_header", host_header)] {
                self.problems.require(value.is_empty(), field, value, rule);
            }
        }
    }

    fn verify_foreign(&mut self) {
        if let Some(host) = &self.target_host {
            self.problems.require(!host.is_forbidden_target(), "target", host, FORBIDDEN);
            let rule = "must be the instance's own host unless a foreign target is allowed";
            self.problems.require(self.allow_foreign_target, "target", host, rule);
        }
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
        let (kind, http) = match check.kind {
            CheckKind::Tcp => (Kind::Tcp, None),
            CheckKind::Http(http) => (Kind::Http, Some(http)),
        };
        let (path, method, host_header) =
            http.map_or((None, None, None), |http| (Some(http.path), Some(http.method), http.host_header));
        Self {
            kind,
            path,
            method,
            host_header,
            interval: check.interval,
            timeout: Some(check.timeout),
            rise: Some(check.rise),
            fall: Some(check.fall),
            deregister_after: check.deregister_after,
            run_by: check.run_by,
            allow_foreign_target: check.host.is_some(),
            target_host: check.host,
            target_port: check.port,
            problems: Problems::default(),
        }
    }
}

/// Durations in errors read as they are written in configurations.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Rise and fall where none are given. A registry's single check decides, as Consul's does; the mesh's checks
/// come from many processes and often, and take HAProxy's defaults.
const fn thresholds(runner: CheckRunner) -> (NonZeroU32, NonZeroU32) {
    match runner {
        CheckRunner::Registry => (NonZeroU32::MIN, NonZeroU32::MIN),
        CheckRunner::Mesh => (NonZeroU32::MIN.saturating_add(1), NonZeroU32::MIN.saturating_add(2)),
    }
}

const FORBIDDEN: &str = "no check may be aimed at a link-local or metadata address";
/// What the users of the predecessor know: every 30 s, failed after 10 s, deregistered after a minute.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);
const DEREGISTER_AFTER: Duration = Duration::from_secs(60);
/// Consul raises shorter intervals to this without saying so.
const INTERVAL_MIN_REGISTRY: Duration = Duration::from_secs(1);
/// Below this, checks would be load.
const INTERVAL_MIN_MESH: Duration = Duration::from_millis(10);
/// An instance that is looked at less than once a day is not checked.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Consul raises shorter times to this, saying so in its own log only.
const DEREGISTER_AFTER_MIN: Duration = Duration::from_secs(60);
/// Far below what overflows the nanoseconds of Consul's durations.
const DEREGISTER_AFTER_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
