//! Asks one instance how it is: runs a probe that a service's machine wants, and reports what came back.
//!
//! Decides what an answer means (HTTP by its check, as [`ProbeVerdict::of_http`] has it; gRPC passes what is serving),
//! never what follows from it: thresholds, intervals and ejection are `mesh_core::health`'s. Nothing of a probe
//! outlives its future but a connection that is left for the next check: there is no task, and dropping it closes the
//! connection.

mod connection;
mod grpc;
mod grpc_wire;
mod http;
mod idle;
mod own;
mod tasks;
mod tcp;
#[cfg(feature = "probe-tls")]
mod tls;
#[cfg(not(feature = "probe-tls"))]
#[path = "no_tls.rs"]
mod tls;
mod tls_config;

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::health::{Probe, ProbeFailure, ProbeReport, ProbeVerdict};
use mesh_core::port::Clock;
use mesh_core::service::{CheckKind, Host, InstanceKey, escape};

use idle::IdleConnections;
use mesh_cache::Dial;
pub use own::CustomCheck;
pub(crate) use own::OwnCheck;
#[cfg(feature = "probe-tls")]
pub use tls::ProbeTls;
#[cfg(not(feature = "probe-tls"))]
pub(crate) use tls::ProbeTls;
pub(crate) use tls_config::NEEDS_FEATURE;
pub use tls_config::ProbeTlsConfig;

/// Runs `probe` over a connection of its own from `dial`, and ends within the check's timeout.
///
/// The latency runs, by `clock`, from the question to the head of the answer, or to the failure. Of an HTTP answer
/// the status and the headers decide, and the body where a part of it is expected; at most 4 KiB of it are read. Of
/// any other they are read and thrown away, for at most half the time that was left and never longer than 100 ms,
/// so that a server that is done can close in peace. Redirects are not followed: another address is another instance.
///
/// A host that nothing may be aimed at is never dialled; the verdict is [`ProbeFailure::Connect`]. What only a
/// registry's agent can run, a check of the process's own, and one over TLS, is [`ProbeFailure::Unsupported`] here.
pub async fn run(dial: &dyn Dial, probe: &Probe, clock: &dyn Clock) -> ProbeReport {
    run_with(dial, probe, clock, &Means::default()).await
}

/// [`run`], where a check may be one over TLS, which is spoken as `tls` has it. The handshake counts for timeout and
/// latency; one that fails is [`ProbeFailure::Tls`].
#[cfg(feature = "probe-tls")]
pub async fn run_tls(dial: &dyn Dial, probe: &Probe, clock: &dyn Clock, tls: &ProbeTls) -> ProbeReport {
    run_with(dial, probe, clock, &Means::new(OwnCheck::default(), tls.clone())).await
}

/// What the probes of one service are run with besides the network. Clones share the connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Means {
    own: OwnCheck,
    tls: ProbeTls,
    idle: Arc<IdleConnections>,
}

impl Means {
    /// Runs `own` where the check of the service is the process's own, and speaks `tls` where it is one over TLS.
    pub(crate) fn new(own: OwnCheck, tls: ProbeTls) -> Self {
        Self { own, tls, idle: Arc::default() }
    }

    /// Closes the idle connection to the instance `key`, if there is one.
    pub(crate) fn close(&self, key: &InstanceKey) {
        self.idle.close(key);
    }

    /// Closes the idle connections to instances that `stays` does not hold for.
    pub(crate) fn retain(&self, stays: impl Fn(&InstanceKey) -> bool) {
        self.idle.retain(stays);
    }
}

/// [`run`], with all that the service has, over an idle connection where there is one.
pub(crate) async fn run_with(dial: &dyn Dial, probe: &Probe, clock: &dyn Clock, means: &Means) -> ProbeReport {
    let (asked, timeout) = (clock.now(), probe.check.timeout());
    let (host, port) = probe.check.address(&probe.instance);
    let Means { own, tls, idle } = means;
    let target = Target { host, port, dial, probe, clock, tls };
    let mut answered = None;
    let judged = tokio::time::timeout(timeout, async {
        let mut answer = ask(&target, own, idle).await?;
        answered = Some(clock.now());
        answer.look_further().await.map(|()| answer)
    });
    let judged = judged.await.unwrap_or(Err(ProbeFailure::TimedOut));
    let latency = answered.filter(|_| judged.is_ok()).unwrap_or_else(|| clock.now()).since(asked);
    let verdict = match judged {
        Ok(Answer::Is(verdict)) => verdict,
        Ok(Answer::Http(exchange)) => {
            let verdict = exchange.verdict();
            let patience = (timeout.saturating_sub(clock.now().since(asked)) / 2).min(DRAIN_MAX);
            // How the body ends changes nothing.
            let _ = tokio::time::timeout(patience, exchange.drain(&target, idle)).await;
            verdict
        }
        Err(failure) => ProbeVerdict::Failed(failure),
    };
    ProbeReport { verdict, latency }
}

/// What an instance answered.
enum Answer<'a> {
    /// All that was asked.
    Is(ProbeVerdict),
    /// The head of an HTTP response.
    Http(Box<http::Exchange<'a>>),
}

impl Answer<'_> {
    /// Looks into the body of an HTTP response where the verdict hangs on it.
    async fn look_further(&mut self) -> Result<(), ProbeFailure> {
        match self {
            Self::Http(exchange) if exchange.awaits_body() => exchange.look_into_body().await,
            Self::Http(_) | Self::Is(_) => Ok(()),
        }
    }
}

/// A probe that is being run: where to, and for whom.
struct Target<'a> {
    host: &'a Host,
    port: u16,
    dial: &'a dyn Dial,
    probe: &'a Probe,
    clock: &'a dyn Clock,
    tls: &'a ProbeTls,
}

impl Target<'_> {
    /// The failure to report; its cause is logged, because a verdict does not carry it.
    fn failed(&self, failure: ProbeFailure, cause: &dyn Display) -> ProbeFailure {
        let (instance, cause) = (self.probe.instance.key().to_string(), cause.to_string());
        tracing::debug!(
            service = %self.probe.instance.service(),
            instance = %escape(&instance),
            ?failure,
            cause = %escape(&cause),
            "probe failed"
        );
        failure
    }
}

async fn ask<'a>(target: &Target<'a>, own: &OwnCheck, idle: &IdleConnections) -> Result<Answer<'a>, ProbeFailure> {
    let (host, probe) = (target.host, target.probe);
    if host.is_forbidden_target() {
        return Err(target.failed(ProbeFailure::Connect, &"nothing may be aimed at this host"));
    }
    let passed = |()| Answer::Is(ProbeVerdict::Passed);
    match probe.check.kind() {
        CheckKind::Tcp => tcp::ask(target).await.map(passed),
        CheckKind::Http(check) => http::ask(target, check, idle).await.map(|exchange| Answer::Http(Box::new(exchange))),
        CheckKind::Grpc(check) => grpc::ask(target, check, probe.check.timeout()).await.map(passed),
        CheckKind::Own => own.ask(&probe.instance).await.map(Answer::Is),
        // Registries without an agent take no such check, and for one with an agent the mesh runs none.
        CheckKind::Ttl | CheckKind::Alias(_) => {
            Err(target.failed(ProbeFailure::Unsupported, &"only a registry's agent runs such a check"))
        }
    }
}

/// Long enough for the rest of a small answer on any network, too short to keep the next probe waiting.
const DRAIN_MAX: Duration = Duration::from_millis(100);
