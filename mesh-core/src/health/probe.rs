//! One question to one instance, and what its answer means.
//!
//! Decides what an answer is worth, never what follows from it: that is the checker's.

use alloc::sync::Arc;
use core::time::Duration;

use crate::service::{HealthCheck, HttpCheck, Instance};

/// The number of a probe, carried back by its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub(super) u64);

/// A probe that the world is to run: it must be answered, and is given up after `check.timeout()`.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its number.
    pub id: ProbeId,
    /// Who is asked.
    pub instance: Arc<Instance>,
    /// What is asked.
    pub check: Arc<HealthCheck>,
}

/// How a probe ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeReport {
    /// What the answer means.
    pub verdict: ProbeVerdict,
    /// From the question to the answer.
    pub latency: Duration,
}

/// What the answer to a probe means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeVerdict {
    /// The instance answered as it should.
    Passed,
    /// It answered that it is close to its limits: by HTTP 429, as Consul reads it, or by a header, as Envoy does.
    Warned,
    /// It did not.
    Failed(ProbeFailure),
}

impl ProbeVerdict {
    /// What the head of an HTTP answer to `check` means, `is_degraded` where it has the header that says so.
    ///
    /// An expected status passes, or warns where the instance is degraded; 429 warns unless it is expected; everything
    /// else fails. With 2xx expected, as without a word of the check, that is how Consul's agent reads statuses
    /// (`agent/checks/check.go`).
    #[must_use]
    pub fn of_http(check: &HttpCheck, status: u16, is_degraded: bool) -> Self {
        match status {
            expected if check.expects(expected) => {
                if is_degraded {
                    Self::Warned
                } else {
                    Self::Passed
                }
            }
            429 => Self::Warned,
            other => Self::Failed(ProbeFailure::Status(other)),
        }
    }
}

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeFailure {
    /// No connection was made: refused, unreachable, or a name that does not resolve.
    Connect,
    /// There was a connection, and no TLS on it: a certificate that is not to be trusted, is out of date or another's; a
    /// client's that is missing; or the peer speaks none.
    Tls,
    /// There was no answer in time.
    TimedOut,
    /// The connection broke, or what came was no HTTP or gRPC.
    Broken,
    /// The answer had this HTTP status.
    Status(u16),
    /// The answer's body, as far as it was read, lacks the part that is expected.
    Body,
    /// The gRPC service is not serving.
    NotServing(ServingStatus),
    /// The gRPC call ended with this code: 12, for one, says that the server does not know the health protocol.
    GrpcStatus(u32),
    /// A check of the process's own said no.
    Own,
    /// A check of the process's own panicked.
    Panicked,
    /// Whoever was to run the probe cannot run such a check.
    Unsupported,
}

impl ProbeFailure {
    /// Whether the instance was there and said no. Of anything else the network, or whoever asks, may be the cause.
    #[must_use]
    pub const fn is_an_answer(&self) -> bool {
        match self {
            Self::Status(_) | Self::Body | Self::NotServing(_) | Self::GrpcStatus(_) | Self::Own => true,
            Self::Connect | Self::Tls | Self::TimedOut | Self::Broken | Self::Panicked | Self::Unsupported => false,
        }
    }
}

/// What a gRPC service says of itself when it is not `SERVING` (`grpc.health.v1.HealthCheckResponse.ServingStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServingStatus {
    /// `UNKNOWN`, 0.
    Unknown,
    /// `NOT_SERVING`, 2.
    NotServing,
    /// `SERVICE_UNKNOWN`, 3.
    ServiceUnknown,
    /// A number that the protocol has no name for.
    Other(u64),
}
