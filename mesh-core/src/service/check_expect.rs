//! What a check in the making is told about its question and the answers, and how often it comes.

use core::time::Duration;

use super::check_builder::{HealthCheckBuilder, Kind};
use super::check_http::{BodyPart, HEADERS_MAX, HeaderName, HeaderValue, STATUSES_MAX, StatusRange};
use super::error::ConfigError;
use super::{CheckMethod, CheckRunner, HealthCheck};

impl HealthCheck {
    /// Begins a check that the process which calls the service has code of its own for: the mesh runs it.
    pub fn own() -> HealthCheckBuilder {
        HealthCheckBuilder { kind: Kind::Own, run_by: CheckRunner::Mesh, ..HealthCheckBuilder::default() }
    }
}

impl HealthCheckBuilder {
    /// Gives the request of an HTTP check a header, at most 16 in all; of a name that is given twice the last value
    /// counts. The value is a secret.
    pub fn header(
        mut self,
        name: impl TryInto<HeaderName, Error: Into<ConfigError>>,
        value: impl TryInto<HeaderValue, Error: Into<ConfigError>>,
    ) -> Self {
        let (name, value) = (self.problems.parse(name), self.problems.parse(value));
        if let Some((name, value)) = name.zip(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Takes the statuses of `range` for a good answer to an HTTP check, besides those named before; without any, 2xx
    /// are. A status, a range of them or its text: `204`, `200..=299`, `"200-299"`.
    pub fn expect_status(mut self, range: impl TryInto<StatusRange, Error: Into<ConfigError>>) -> Self {
        self.expected_statuses.extend(self.problems.parse(range));
        self
    }

    /// Takes an answer to an HTTP check for a good one only if `part` is in the first 4 KiB of its body.
    pub fn expect_body(mut self, part: impl TryInto<BodyPart, Error: Into<ConfigError>>) -> Self {
        self.expected_body = self.problems.parse(part);
        self
    }

    /// Takes an instance whose good answer has this header for degraded, as Envoy does with `x-envoy-degraded`.
    pub fn degraded_header(mut self, name: impl TryInto<HeaderName, Error: Into<ConfigError>>) -> Self {
        self.degraded_header = self.problems.parse(name);
        self
    }

    /// Sets the time between checks while the instance is unhealthy: HAProxy's `downinter`.
    pub const fn unhealthy_interval(mut self, interval: Duration) -> Self {
        self.unhealthy_interval = Some(interval);
        self
    }

    /// Sets the time between checks while a threshold is being counted: HAProxy's `fastinter`.
    pub const fn edge_interval(mut self, interval: Duration) -> Self {
        self.edge_interval = Some(interval);
        self
    }

    /// Sets the time between checks while an instance that may be picked had no request since the last one. What
    /// dies then is noticed that late; requests that fail there hurry its check.
    pub const fn no_traffic_interval(mut self, interval: Duration) -> Self {
        self.no_traffic_interval = Some(interval);
        self
    }

    /// Has one answer that says no put the instance out at once, as Envoy does: a status that is not expected, a body
    /// without its part, a gRPC service that does not serve. What the network may be to blame for, such as a refused
    /// connection, is counted by `fall` all the same.
    pub const fn immediate_on_status(mut self, immediate: bool) -> Self {
        self.immediate_on_status = immediate;
        self
    }

    /// What an HTTP check expects is possible, and no other check expects anything.
    pub(super) fn verify_expectations(&mut self) {
        let (headers, ranges) = (self.headers.len(), self.expected_statuses.len());
        let has = |given: bool| if given { "given" } else { "" };
        let part = self.expected_body.as_ref().map_or("", BodyPart::as_str);
        let degraded = self.degraded_header.as_ref().map_or("", HeaderName::as_str);
        let is_head = self.method == Some(CheckMethod::Head);
        for (field, value) in [
            ("headers", has(headers > 0)),
            ("expected_statuses", has(ranges > 0)),
            ("expected_body", part),
            ("degraded_header", degraded),
        ] {
            let fits = value.is_empty() || self.kind == Kind::Http;
            self.problems.require(fits, field, value, "only an HTTP check has one");
        }
        self.problems.require(headers <= HEADERS_MAX, "headers", headers, "must be at most 16");
        self.problems.require(ranges <= STATUSES_MAX, "expected_statuses", ranges, "must be at most 16 ranges");
        let rule = "must not be asked of HEAD, whose answers have no body";
        self.problems.require(part.is_empty() || !is_head, "expected_body", part, rule);
    }
}
