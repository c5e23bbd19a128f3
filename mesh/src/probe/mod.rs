//! Asks one instance how it is: runs a probe that a service's machine wants, and reports what came back.
//!
//! Decides what an answer means (HTTP 2xx passes, 429 warns, all else fails, as with Consul), never what
//! follows from it: thresholds, intervals and ejection are `mesh_core::health`'s. Nothing of a probe outlives
//! its future: there is no task, and dropping it closes the connection.

mod http;
mod tcp;

use std::fmt::Display;
use std::time::Duration;

use mesh_core::health::{Probe, ProbeFailure, ProbeReport, ProbeVerdict};
use mesh_core::port::Clock;
use mesh_core::service::{CheckKind, Host, escape};

use mesh_cache::Dial;

/// Runs `probe` over a connection of its own from `dial`, and ends within the check's timeout.
///
/// The latency runs, by `clock`, from the question to the head of the answer, or to the failure. For an HTTP
/// check the status alone decides, as with Consul; the first 4 KiB of the body are read and thrown away, for at
/// most half the time that was left and never longer than 100 ms, so that a server that is done can close in
/// peace. Redirects are not followed: another address is another instance.
///
/// A host that nothing may be aimed at is never dialled; the verdict is [`ProbeFailure::Connect`].
pub async fn run(dial: &dyn Dial, probe: &Probe, clock: &dyn Clock) -> ProbeReport {
    let asked = clock.now();
    let timeout = probe.check.timeout();
    let answer = tokio::time::timeout(timeout, ask(dial, probe)).await.unwrap_or(Err(ProbeFailure::TimedOut));
    let latency = clock.now().since(asked);
    let verdict = match answer {
        Ok(Answer::Connected) => ProbeVerdict::Passed,
        Ok(Answer::Http(exchange)) => {
            let verdict = ProbeVerdict::of_status(exchange.status());
            let patience = (timeout.saturating_sub(latency) / 2).min(DRAIN_MAX);
            // How the body ends changes nothing.
            let _ = tokio::time::timeout(patience, exchange.drain()).await;
            verdict
        }
        Err(failure) => ProbeVerdict::Failed(failure),
    };
    ProbeReport { verdict, latency }
}

/// What an instance answered.
enum Answer {
    /// It accepted a connection.
    Connected,
    /// It sent the head of an HTTP response.
    Http(Box<http::Exchange>),
}

/// A probe that is being run: where to, and for whom.
struct Target<'a> {
    host: &'a Host,
    port: u16,
    dial: &'a dyn Dial,
    probe: &'a Probe,
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

async fn ask(dial: &dyn Dial, probe: &Probe) -> Result<Answer, ProbeFailure> {
    let (host, port) = probe.check.address(&probe.instance);
    let target = Target { host, port, dial, probe };
    if host.is_forbidden_target() {
        return Err(target.failed(ProbeFailure::Connect, &"nothing may be aimed at this host"));
    }
    // Registries without an agent take no such check, and for one with an agent the mesh runs none.
    let an_agents = || Err(target.failed(ProbeFailure::Connect, &"only a registry's agent runs such a check"));
    match probe.check.kind() {
        CheckKind::Tcp => tcp::ask(&target).await.map(|()| Answer::Connected),
        CheckKind::Http(check) if check.tls() => an_agents(),
        CheckKind::Http(check) => http::ask(&target, check).await.map(|exchange| Answer::Http(Box::new(exchange))),
        CheckKind::Grpc(_) | CheckKind::Ttl | CheckKind::Alias(_) => an_agents(),
    }
}

/// Long enough for the rest of a small answer on any network, too short to keep the next probe waiting.
const DRAIN_MAX: Duration = Duration::from_millis(100);
