//! The connections that HTTP checks leave open for the next check of the same instance.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::SendRequest;
use mesh_core::service::{Host, InstanceKey};

use super::Target;
use super::http::Http;

/// At most one idle connection for each instance. Nothing drives them: one that its peer closed meanwhile shows it when it
/// is used again, and another is opened in its place.
#[derive(Default)]
pub(crate) struct IdleConnections(Mutex<BTreeMap<InstanceKey, Idle>>);

/// A connection without a request on it.
pub(super) struct Idle {
    pub(super) requests: SendRequest<Empty<Bytes>>,
    pub(super) connection: Http,
    host: Host,
    port: u16,
    /// Whom its certificate is for, over TLS.
    certified: Option<Host>,
}

impl IdleConnections {
    /// Takes the one to `target`, if there is one to its very address, and over TLS with `certified` or without as asked.
    pub(super) fn take(&self, target: &Target<'_>, certified: Option<&Host>) -> Option<Idle> {
        let idle = self.kept().remove(target.probe.instance.key())?;
        let is_there = idle.host == *target.host && idle.port == target.port;
        (is_there && idle.certified.as_ref() == certified).then_some(idle)
    }

    /// Keeps one for the next check of `target`, unless there are too many.
    pub(super) fn keep(
        &self,
        target: &Target<'_>,
        certified: Option<&Host>,
        (requests, connection): (SendRequest<Empty<Bytes>>, Http),
    ) {
        let mut kept = self.kept();
        if kept.len() < KEPT_MAX {
            let (host, port, certified) = (target.host.clone(), target.port, certified.cloned());
            let idle = Idle { requests, connection, host, port, certified };
            kept.insert(target.probe.instance.key().clone(), idle);
        }
    }

    /// Closes those to instances that `stays` does not hold for, where there may be any: more than `count`.
    pub(crate) fn retain(&self, count: usize, stays: impl Fn(&InstanceKey) -> bool) {
        let mut kept = self.kept();
        if kept.len() > count {
            kept.retain(|key, _| stays(key));
        }
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

const KEPT_MAX: usize = 4096;
