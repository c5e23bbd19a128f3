//! What may not be asked of a health check, and the numbers behind it.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use super::check::{CheckRunner, GrpcService};
use super::check_builder::{HealthCheckBuilder, Kind};
use super::check_http::CheckMethod;
use super::host::Host;
use super::name::InstanceId;
use super::path::CheckPath;

impl HealthCheckBuilder {
    pub(super) fn verify_times(&mut self) {
        let (least, rule) = match self.run_by {
            CheckRunner::Registry => (INTERVAL_MIN_REGISTRY, "must be 1s to 24h when the registry runs the check"),
            CheckRunner::Mesh => (INTERVAL_MIN_MESH, "must be 10ms to 24h when the mesh runs the check"),
        };
        let interval = self.interval;
        for (field, interval) in [
            ("interval", Some(interval)),
            ("unhealthy_interval", self.unhealthy_interval),
            ("edge_interval", self.edge_interval),
            ("no_traffic_interval", self.no_traffic_interval),
        ] {
            let fits = interval.is_none_or(|interval| (least..=INTERVAL_MAX).contains(&interval));
            self.problems.require(fits, field, Span(interval.unwrap_or_default()), rule);
        }
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

    pub(super) fn verify_kind(&mut self) {
        let path = self.path.as_ref().map_or("", CheckPath::as_str);
        let method = self.method.map_or("", CheckMethod::as_str);
        let host_header = self.host_header.as_ref().map_or("", Host::as_str);
        let grpc_service = self.grpc_service.as_ref().map_or("", GrpcService::as_str);
        let alias_of = self.alias_of.as_ref().map_or("", InstanceId::as_str);
        let tls = if self.tls { "true" } else { "" };
        let http = "only an HTTP check has one";
        for (field, value, kinds, rule) in [
            ("path", path, &[Kind::Http] as &[Kind], http),
            ("method", method, &[Kind::Http], http),
            ("host_header", host_header, &[Kind::Http], http),
            ("grpc_service", grpc_service, &[Kind::Grpc], "only a gRPC check has one"),
            ("tls", tls, &[Kind::Http, Kind::Grpc], "only an HTTP or gRPC check has it"),
            ("alias_of", alias_of, &[Kind::Alias], "only an alias has one"),
        ] {
            self.problems.require(value.is_empty() || kinds.contains(&self.kind), field, value, rule);
        }
        let immediate = if self.immediate_on_status { "true" } else { "" };
        let answers = matches!(self.kind, Kind::Http | Kind::Grpc | Kind::Own);
        let rule = "only an HTTP, gRPC or own check has answers that say no";
        self.problems.require(immediate.is_empty() || answers, "immediate_on_status", immediate, rule);
        self.verify_runner();
        self.verify_silence();
    }

    fn verify_runner(&mut self) {
        let agents = matches!(self.kind, Kind::Ttl | Kind::Alias);
        let rule = "must be registry: only a registry's agent runs TTL and alias checks";
        self.problems.require(!agents || self.run_by == CheckRunner::Registry, "run_by", "mesh", rule);
        let rule = "must be mesh: no registry can run a check of one's own";
        self.problems.require(self.kind != Kind::Own || self.run_by == CheckRunner::Mesh, "run_by", "registry", rule);
    }

    /// A check that asks nobody has nothing of one that does.
    fn verify_silence(&mut self) {
        if matches!(self.kind, Kind::Ttl | Kind::Alias) {
            let count = |count: Option<NonZeroU32>| count.map_or(String::new(), |count| count.to_string());
            let host = self.target_host.as_ref().map_or("", Host::as_str);
            let port = self.target_port.map_or(String::new(), |port| port.to_string());
            let span = |span: Option<Duration>| span.map_or(String::new(), |span| format!("{span:?}"));
            for (field, value) in [
                ("unhealthy_interval", span(self.unhealthy_interval)),
                ("edge_interval", span(self.edge_interval)),
                ("no_traffic_interval", span(self.no_traffic_interval)),
                ("timeout", span(self.timeout)),
                ("rise", count(self.rise)),
                ("fall", count(self.fall)),
                ("target_host", host.to_owned()),
                ("target_port", port),
            ] {
                self.problems.require(value.is_empty(), field, &value, "a check that asks nobody has none");
            }
        }
    }

    pub(super) fn verify_foreign(&mut self) {
        if let Some(host) = &self.target_host {
            self.problems.require(!host.is_forbidden_target(), "target", host, FORBIDDEN);
            let rule = "must be the instance's own host unless a foreign target is allowed";
            self.problems.require(self.allow_foreign_target, "target", host, rule);
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
pub(super) const fn thresholds(runner: CheckRunner) -> (NonZeroU32, NonZeroU32) {
    match runner {
        CheckRunner::Registry => (NonZeroU32::MIN, NonZeroU32::MIN),
        CheckRunner::Mesh => (NonZeroU32::MIN.saturating_add(1), NonZeroU32::MIN.saturating_add(2)),
    }
}

pub(super) const FORBIDDEN: &str = "no check may be aimed at a link-local or metadata address";
/// What the users of the predecessor know: every 30 s, failed after 10 s, deregistered after a minute.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const DEREGISTER_AFTER: Duration = Duration::from_secs(60);
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
