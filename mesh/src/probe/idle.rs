//! The connections that HTTP checks leave open for the next check of the same instance.
//!
//! Decides which of them may be asked over again. One shows that its peer is there and nothing of whether anybody else could
//! connect, so that none is used for long, or where the question is just that.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::SendRequest;
use mesh_core::service::{HealthCheck, Host, InstanceKey};
use mesh_core::time::Instant;

use super::Target;
use super::http::Http;

/// At most one idle connection for each instance. Nothing drives them: one that its peer closed meanwhile shows it when it
/// is used again, and another is opened in its place.
#[derive(Default)]
pub(crate) struct IdleConnections(Mutex<BTreeMap<InstanceKey, Idle>>);

/// A connection that one request at a time can be sent on.
pub(super) struct Line {
    pub(super) requests: SendRequest<Empty<Bytes>>,
    pub(super) connection: Http,
    /// When it was opened.
    pub(super) opened: Instant,
}

/// A connection without a request on it.
struct Idle {
    line: Line,
    /// Since when.
    since: Instant,
    host: Host,
    port: u16,
    /// Whom its certificate is for, over TLS.
    certified: Option<Host>,
}

impl IdleConnections {
    /// Takes the one to `target`, if there is one to its very address, over TLS with `certified` or without as asked, that is
    /// not too old, and if the check comes when it was to come: one that comes sooner does so because requests fail.
    pub(super) fn take(&self, target: &Target<'_>, certified: Option<&Host>) -> Option<Line> {
        let idle = self.kept().remove(target.probe.instance.key())?;
        let (check, now) = (&target.probe.check, target.clock.now());
        let is_there = idle.host == *target.host && idle.port == target.port && idle.certified.as_ref() == certified;
        let is_in_time = now.since(idle.since) >= pause_min(check) && now.since(idle.line.opened) <= AGE_MAX;
        (is_there && is_in_time && forgives(check)).then_some(idle.line)
    }

    /// Keeps one for the next check of `target`, unless that could not use it or there are too many.
    pub(super) fn keep(&self, target: &Target<'_>, certified: Option<&Host>, line: Line) {
        let (check, since) = (&target.probe.check, target.clock.now());
        let mut kept = self.kept();
        if forgives(check) && since.since(line.opened) + pause_min(check) <= AGE_MAX && kept.len() < KEPT_MAX {
            let (host, port, certified) = (target.host.clone(), target.port, certified.cloned());
            let idle = Idle { line, since, host, port, certified };
            kept.insert(target.probe.instance.key().clone(), idle);
        }
    }

    /// Closes the one to the instance `key`.
    pub(super) fn close(&self, key: &InstanceKey) {
        drop(self.kept().remove(key));
    }

    /// Closes those to instances that `stays` does not hold for.
    pub(super) fn retain(&self, stays: impl Fn(&InstanceKey) -> bool) {
        self.kept().retain(|key, _| stays(key));
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<InstanceKey, Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for IdleConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("IdleConnections").field(&self.kept().len()).finish()
    }
}

/// Whether one failure of `check` changes nothing yet. A connection that is half open costs a time-out, which a check whose
/// first failure counts cannot afford.
fn forgives(check: &HealthCheck) -> bool {
    check.fall().get() > 1
}

/// The least time from a check of an instance that is well to the next.
fn pause_min(check: &HealthCheck) -> Duration {
    check.no_traffic_interval().map_or(check.interval(), |idle| idle.min(check.interval()))
}

const KEPT_MAX: usize = 4096;
/// For as long as this a check may be about a machine that a DNS name has left, or a certificate that was replaced or has run
/// out: the time to live that names which are meant to move are commonly given. With the usual interval of 10 s, five of
/// six connections are saved.
const AGE_MAX: Duration = Duration::from_secs(60);
