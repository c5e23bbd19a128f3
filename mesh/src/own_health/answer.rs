//! What a probe over HTTP is answered, as plain data that any web framework can send.

use mesh_core::health::own::{Aggregate, CheckStatus, OwnStatus, Reason};
use serde::Serialize;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Whether the process works at all.
    Liveness,
    /// Whether it should be given requests.
    Readiness,
    /// Whether it has begun its work.
    Startup,
}

impl ProbeKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Startup => "startup",
        }
    }
}

/// The answer to a probe over HTTP. Should not be cached on the way: send `cache-control: no-store` with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthAnswer {
    /// The HTTP status: 200 where it is up or degraded, 503 where it is down, and for a degraded readiness 429 where
    /// [`degraded_is_429`](super::HealthConfig::degraded_is_429) says so.
    pub status: u16,
    /// JSON of at most [`HealthAnswer::BODY_BYTES_MAX`] bytes: `{"probe":"readiness","status":"down","reasons":[{"check":"db",
    /// "status":"failed"}],"omitted":0}`. The first 16 reasons are in it; a blocked check names its root as `"by"`.
    pub body: String,
}

impl HealthAnswer {
    /// What the body is.
    pub const CONTENT_TYPE: &'static str = "application/json";
    /// The most bytes of a body: 16 reasons with two names of 64 bytes and a note of 256, each byte of which JSON may have
    /// to escape.
    pub const BODY_BYTES_MAX: usize = 16 * 1024;

    pub(super) fn new(probe: ProbeKind, aggregate: &Aggregate, degraded_is_429: bool, with_notes: bool) -> Self {
        let status = match (aggregate.status, probe) {
            (OwnStatus::Down, _) => 503,
            (OwnStatus::Degraded, ProbeKind::Readiness) if degraded_is_429 => 429,
            (OwnStatus::Up | OwnStatus::Degraded, _) => 200,
        };
        let told = &aggregate.reasons[..aggregate.reasons.len().min(REASONS_MAX)];
        let body = Body {
            probe: probe.name(),
            status: aggregate.status.name(),
            reasons: told.iter().map(|reason| Told::of(reason, with_notes)).collect(),
            omitted: aggregate.reasons.len() - told.len(),
        };
        // Nothing in it can fail to be written.
        Self { status, body: serde_json::to_string(&body).unwrap_or_default() }
    }
}

#[derive(Debug, Serialize)]
struct Body<'a> {
    probe: &'static str,
    status: &'static str,
    reasons: Vec<Told<'a>>,
    omitted: usize,
}

#[derive(Debug, Default, Serialize)]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(reason: &'a Reason, with_notes: bool) -> Self {
        let status = reason.status();
        let by = match status {
            Some(CheckStatus::Blocked { by }) => Some(by.as_str()),
            Some(_) | None => None,
        };
        Self {
            check: reason.check().map(AsRef::as_ref),
            status: status.map_or("draining", CheckStatus::name),
            by,
            note: status.and_then(CheckStatus::note).filter(|_| with_notes).map(|note| note.as_str()),
        }
    }
}

const REASONS_MAX: usize = 16;
